"""Loop protection: which ports send a probe when, and what is said of ports that are held down."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from sdnapp.engine.messages import Effect, LogEvent, PacketOut
from sdnapp.engine.status import Alarm, port_names
from sdnapp.frames.packet import with_tag
from sdnapp.net.events import FdbKey
from sdnapp.net.fdb import PortRef
from sdnapp.net.loop_protection import QUIET, Sender, Tokens
from sdnapp.net.model import Overlay, Port
from sdnapp.net.state import State, port_ref

FAST = 2.0
"""Seconds between probes of a port at which a loop may be: it is new, or MACs move from or to it."""
SLOW = 60.0
"""Seconds between probes of other ports."""
ALERT = 10.0
"""Seconds for which a port is probed fast."""
MOST = 50
"""Frames of probes in each round, of one second: what a controller of thousands of ports has time for."""


@dataclass(slots=True)
class _Turn:
    """When a port is probed next, and until when fast."""

    next: float
    alert: float


@dataclass(slots=True)
class Probes:
    """The schedule of probes. ``key`` makes their tokens."""

    key: bytes
    turns: dict[PortRef, _Turn] = field(default_factory=dict)
    _tokens: Tokens = field(init=False)
    _overlay: Overlay | None = None
    _ports: Mapping[PortRef, Port] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._tokens = Tokens(self.key)

    def follow(self, overlay: Overlay) -> bool:
        """Take the ports that this overlay protects; whether there are any."""
        if overlay is not self._overlay:
            self._overlay = overlay
            self._ports = {
                PortRef(port.host, port.interface): port
                for port in (overlay.ports.values() if overlay.loop_hold else ())
                if port.security.loop_protect
            }
            self._forget([place for place in self.turns if place not in self._ports])
        return bool(self._ports)

    def suspect(self, places: Iterable[PortRef], now: float) -> None:
        """Probe these ports fast for a while."""
        for place in places:
            if (turn := self.turns.get(place)) is not None:
                turn.next, turn.alert = min(turn.next, now), now + ALERT

    def due(self, state: State, there: Mapping[str, int], now: float) -> Iterator[PacketOut]:
        """Yield the probes of this round. ``there``: by host, the datapath ids of connected bridges."""
        waiting: list[tuple[bool, float, PortRef]] = []
        away: list[PortRef] = []
        for place in self._ports:
            if place.host not in there or place.interface not in state.ports(place.host).number:
                away.append(place)
                continue
            if (turn := self.turns.get(place)) is None:
                turn = self.turns[place] = _Turn(now, now + ALERT)
            if (held := state.loops.held.get(place)) is not None and held.until - QUIET <= now:
                turn.next, turn.alert = min(turn.next, now + FAST), now + ALERT
            if turn.next <= now:
                waiting.append((turn.alert <= now, turn.next, place))
        self._forget([place for place in away if place in self.turns])
        left = MOST
        for _, _, place in sorted(waiting):
            senders = [*_senders(place, self._ports[place])]
            if (left := left - len(senders)) < 0 and left + len(senders) < MOST:
                return
            turn = self.turns[place]
            turn.next = now + (FAST if turn.alert > now else SLOW)
            number = state.ports(place.host).number[place.interface or ""]
            for sender in senders:
                data = _tagged(self._tokens.frame(sender), self._ports[place], sender.network)
                yield PacketOut(there[place.host], number, data)

    @property
    def source(self) -> bytes:
        """The source MAC of probes."""
        return self._tokens.source

    def returned(self, data: bytes) -> Sender | None:
        """Find the sender of a probe; None where the frame is no probe."""
        return self._tokens.sender(data)

    def _forget(self, places: Collection[PortRef]) -> None:
        for place in places:
            del self.turns[place]
        if places:
            self._tokens.drop(places)


def _senders(place: PortRef, port: Port) -> Iterator[Sender]:
    for path in dict.fromkeys(attachment.network for attachment in port.attachments):
        yield Sender(path, place)


def _tagged(data: bytes, port: Port, network: str) -> bytes:
    """The frame as the wire of the port has it."""
    attachment = next(each for each in port.attachments if each.network == network)
    tag = attachment.vlan if attachment.tagged else None
    return data if tag is None else with_tag(data, tag)


def elsewhere(state: State, host: str, sightings: Iterable[FdbKey]) -> Iterator[PortRef]:
    """Find the places of sources that were seen elsewhere than where they are: both."""
    for vni, mac, ofport in sightings:
        network, place = state.paths.get(vni, ""), port_ref(state, host, ofport)
        known = state.fixed(network, mac) or state.place_of(network, mac)
        if place is not None and known is not None and known != place:
            yield from (place, known)


def loop_notes(before: State, after: State) -> Iterator[Effect]:
    """A line for each port that is held down or released."""
    old, new = before.loops.held, after.loops.held
    if old is new:
        return
    for place in sorted(new.keys() - old.keys()):
        held = new[place]
        fields = {"host": place.host, "port": place.interface or "-", "network": held.network}
        peer = {"peer_host": held.peer.host, "peer_port": held.peer.interface or "-"}
        yield LogEvent("port.loop_detected", {**fields, **peer, "seconds": held.seconds}, warning=True)
    for place in sorted(old.keys() - new.keys()):
        yield LogEvent("port.loop_cleared", {"host": place.host, "port": place.interface or "-"})


def loop_alarms(state: State) -> Iterator[Alarm]:
    """Ports that are held down."""
    names = port_names(state)
    for place, held in sorted(state.loops.held.items()):
        name, peer = names.get(place, place.interface or "-"), names.get(held.peer, held.peer.interface)
        where = "at itself" if held.peer == place else f"at port {peer} of {held.peer.host}"
        text = (
            f"port {name} is held down: its frames in {held.network} come in again {where} "
            f"('sdnapp unfreeze --port {name}' ends that)"
        )
        yield Alarm("loop", text, held.network, None, place.host, name, held.since)
