"""Actions of flows, as values. They are carried out in the order of the flow's list."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

from flows.fields import code
from flows.match import Ingress
from flows.tables import Table


@dataclass(frozen=True, slots=True)
class Output:
    """Send a copy out of this OpenFlow port; never out of the port of ingress (OpenFlow 1.3 section 5.12)."""

    port: int

    def __str__(self) -> str:
        return f"output:{self.port}"


@dataclass(frozen=True, slots=True)
class PushVlan:
    """Push an 802.1Q header with this tag, outermost."""

    vlan: int

    def __str__(self) -> str:
        return f"push_vlan:{self.vlan}"


@dataclass(frozen=True, slots=True)
class PopVlan:
    """Pop the outermost 802.1Q header."""

    def __str__(self) -> str:
        return "pop_vlan"


@dataclass(frozen=True, slots=True)
class SetTunnelKey:
    """Set the tunnel key (VNI, GRE key) with which a tunnel port sends the frame."""

    key: int

    def __str__(self) -> str:
        return f"set_tunnel:{self.key}"


@dataclass(frozen=True, slots=True)
class SetIngress:
    """Set the side of the bridge that the frame came in on: ``flows.match.Ingress``."""

    ingress: Ingress

    def __str__(self) -> str:
        return f"set_ingress:{self.ingress.name.lower()}"


@dataclass(frozen=True, slots=True)
class SetNetwork:
    """Set the network of the frame by its VNI, in the metadata."""

    network: int

    def __str__(self) -> str:
        return f"set_network:{self.network}"


@dataclass(frozen=True, slots=True)
class SetField:
    """Set a field of the frame, by its name in ``flows.fields``."""

    name: str
    value: int | str

    def __str__(self) -> str:
        return f"set_{self.name}:{self.value}"


@dataclass(frozen=True, slots=True)
class Move:
    """Copy one field of the frame to another of the same width."""

    source: str
    target: str

    def __str__(self) -> str:
        return f"move:{self.source}->{self.target}"


@dataclass(frozen=True, slots=True)
class OutputInPort:
    """Send a copy out of the port of ingress (OFPP_IN_PORT)."""

    def __str__(self) -> str:
        return "output:in_port"


@dataclass(frozen=True, slots=True)
class CheckPacketLarger:
    """Set ``Ingress.TOO_LARGE`` for a frame of more than ``size`` bytes (check_pkt_larger, ovs-actions(7)).

    Bytes count from the Ethernet header, as the frame came in, with a tag that was popped since. The kernel's
    datapath keeps a tag beside the frame and does not count it.
    """

    size: int

    def __str__(self) -> str:
        return f"check_pkt_larger:{self.size}"


@dataclass(frozen=True, slots=True)
class Learn:
    """Have the bridge learn a source: a flow of ``Table.FORWARD`` that sends to it by the port of ingress.

    The flow has this priority, and matches frames of ``network`` without a tag; it sends with ``key``, and
    with a tag where ``vlan`` has one. It is removed ``age`` seconds after the last frame, or with the flow
    that learned it; ``most`` is the limit (learn, ovs-actions(7)).
    """

    network: int
    port: int
    key: int
    vlan: int | None
    priority: int
    age: int
    most: int

    def __str__(self) -> str:
        tag = "" if self.vlan is None else f",push_vlan:{self.vlan}"
        return f"learn(set_tunnel:{self.key}{tag},output:{self.port}, for {self.age} s, {self.most} at most)"


@dataclass(frozen=True, slots=True)
class ApplyMeter:
    """Drop frames beyond the rate of this meter. Always first."""

    meter: int

    def __str__(self) -> str:
        return f"meter:{self.meter}"


@dataclass(frozen=True, slots=True)
class OutputMetered:
    """Send a copy by way of this port's flow in ``egress-policer``, which drops it or sends it.

    Other copies of the frame are not affected: a clone, ovs-actions(7).
    """

    port: int

    def __str__(self) -> str:
        return f"output_metered:{self.port}"


@dataclass(frozen=True, slots=True)
class NoteNumber:
    """Keep a number in the flow, for read-back; the frame is not changed (note, ovs-actions(7))."""

    number: int

    def __str__(self) -> str:
        return f"note:{self.number}"


@dataclass(frozen=True, slots=True)
class Punt:
    """Send the first ``max_len`` bytes to the controller, within the rate of the controller meter."""

    max_len: int

    def __str__(self) -> str:
        return f"punt:{self.max_len}"


@dataclass(frozen=True, slots=True)
class Goto:
    """Continue with a later table. Always last."""

    table: Table

    def __str__(self) -> str:
        return f"goto:{self.table.label}"


Action = (
    Output
    | PushVlan
    | PopVlan
    | SetTunnelKey
    | SetIngress
    | SetNetwork
    | SetField
    | Move
    | OutputInPort
    | CheckPacketLarger
    | ApplyMeter
    | OutputMetered
    | NoteNumber
    | Learn
    | Punt
    | Goto
)

_OPCODES: Mapping[type[Action], int] = {
    Output: 1,
    PushVlan: 2,
    PopVlan: 3,
    SetTunnelKey: 4,
    SetIngress: 5,
    SetNetwork: 6,
    SetField: 7,
    Move: 8,
    OutputInPort: 9,
    CheckPacketLarger: 10,
    ApplyMeter: 11,
    OutputMetered: 12,
    NoteNumber: 13,
    Learn: 14,
    Punt: 15,
    Goto: 16,
}
"""The number of each action in a flow's identity. One that changes replaces its flows on every bridge."""


def canonical(action: Action) -> str:
    """Return the number of an action and its arguments, as numbers or addresses: ``16:40``."""
    arguments: tuple[int | str | None, ...]
    match action:
        case SetField():
            arguments = code(action.name), action.value
        case Move():
            arguments = code(action.source), code(action.target)
        case _:
            arguments = tuple(getattr(action, field.name) for field in fields(action))
    numbers = (
        int(each) if isinstance(each, int) else each for each in arguments
    )  # a member of an enum: its number
    return ":".join(map(str, (_OPCODES[type(action)], *numbers)))
