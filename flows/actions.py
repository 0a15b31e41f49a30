"""What a flow does with a frame, as values. They take effect in the order in which a flow lists them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

from flows.fields import code
from flows.match import Ingress
from flows.tables import Table


@dataclass(frozen=True, slots=True)
class Output:
    """A copy leaves on this OpenFlow port; never on the one it came in on (OpenFlow 1.3 §5.12)."""

    port: int

    def __str__(self) -> str:
        return f"output:{self.port}"


@dataclass(frozen=True, slots=True)
class PushVlan:
    """An 802.1Q header with this tag, outermost."""

    vlan: int

    def __str__(self) -> str:
        return f"push_vlan:{self.vlan}"


@dataclass(frozen=True, slots=True)
class PopVlan:
    """The outermost 802.1Q header goes."""

    def __str__(self) -> str:
        return "pop_vlan"


@dataclass(frozen=True, slots=True)
class SetTunnelKey:
    """The tunnel key (VNI, GRE key) with which a tunnel port will send the frame."""

    key: int

    def __str__(self) -> str:
        return f"set_tunnel:{self.key}"


@dataclass(frozen=True, slots=True)
class SetIngress:
    """Which side of the bridge the frame came in on."""

    ingress: Ingress

    def __str__(self) -> str:
        return f"set_ingress:{self.ingress.name.lower()}"


@dataclass(frozen=True, slots=True)
class SetNetwork:
    """From here on the frame belongs to the network with this VNI."""

    network: int

    def __str__(self) -> str:
        return f"set_network:{self.network}"


@dataclass(frozen=True, slots=True)
class SetField:
    """A field of the frame, by its OpenFlow name (``flows.match.Header``, ``eth_src``, ``eth_dst``)."""

    name: str
    value: int | str

    def __str__(self) -> str:
        return f"set_{self.name}:{self.value}"


@dataclass(frozen=True, slots=True)
class Move:
    """One field of the frame gets the value of another, which has the same width."""

    source: str
    target: str

    def __str__(self) -> str:
        return f"move:{self.source}->{self.target}"


@dataclass(frozen=True, slots=True)
class OutputInPort:
    """A copy leaves on the port that the frame came in on (OFPP_IN_PORT)."""

    def __str__(self) -> str:
        return "output:in_port"


@dataclass(frozen=True, slots=True)
class CheckPacketLarger:
    """From here on a frame of more than ``size`` bytes is one from ``Ingress.TOO_LARGE``.

    Counted are the bytes from the Ethernet header on, as the frame came in: also those of a tag that has been
    popped since. The kernel's datapath alone keeps a tag beside the frame and does not count it.
    """

    size: int

    def __str__(self) -> str:
        return f"check_pkt_larger:{self.size}"


@dataclass(frozen=True, slots=True)
class Learn:
    """The bridge itself learns, without its controller: what is for this source leaves where it came in.

    A flow of ``Table.FORWARD`` with this priority, for frames of ``network`` without a tag; it sends with
    ``key``, and with a tag where ``vlan`` says so. It goes ``age`` seconds after it was last taught, or with
    the flow that teaches it; ``most`` are taught at a time.
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
    """Frames beyond the rate of this meter end here. Always first."""

    meter: int

    def __str__(self) -> str:
        return f"meter:{self.meter}"


@dataclass(frozen=True, slots=True)
class OutputMetered:
    """A copy goes through the flow of this port in ``pace``, which drops it or lets it out there.

    Whatever becomes of that copy, the others of the frame leave: a clone, ovs-actions(7).
    """

    port: int

    def __str__(self) -> str:
        return f"output_metered:{self.port}"


@dataclass(frozen=True, slots=True)
class NoteNumber:
    """Nothing happens to the frame; the flow keeps the number for whoever reads it."""

    number: int

    def __str__(self) -> str:
        return f"note:{self.number}"


@dataclass(frozen=True, slots=True)
class Punt:
    """A copy of the first ``max_len`` bytes reaches the controller, within the rate of the punt meter."""

    max_len: int

    def __str__(self) -> str:
        return f"punt:{self.max_len}"


@dataclass(frozen=True, slots=True)
class Goto:
    """The frame goes on to a later table. Always last."""

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
