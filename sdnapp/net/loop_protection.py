"""Loops between local ports of a network: probes, and which port is held down for how long. Pure.

A probe is a frame that leaves by one port. Where it comes in again, at another port of the network or at
the same one, what the network floods there comes in again as well: a loop. (Switches call this loopback
detection; STP, IEEE 802.1Q clause 13, needs both ends.) One of the ports is then held down. It is released
when its time is over and no probe from it has come back lately, or by the operator; a loop that is back makes
it longer.

A probe carries a token that none but this controller can make: a keyed digest, another one for each port each
time that it comes up. A workload that plays back the probe of its own port at another one is a loop: it makes
frames of one port come in at another.

MACs that move between ports are no proof, as any workload can forge them: they have the ports probed sooner.

Time is an argument, in seconds, and only differences count.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from struct import Struct
from typing import NamedTuple, TypeVar

from flows.match import to_wire
from sdnapp.net.fdb import PortRef

V = TypeVar("V")

LONGEST = 960.0
"""Seconds for which a port is held down at most, however often the loop came back."""
QUIET = 6.0
"""Seconds without a returned probe after which a loop counts as gone: three probes."""

PROBES = "03:73:64:6e:61:01"
"""Destination of probes: a locally administered group address, which bridges forward (IEEE 802.1Q §8.6.3)."""
_HEADER = Struct("!6s6sH8s")
_ETHERTYPE = 0x88B5
"""IEEE Std 802 local experimental EtherType 1."""
_MAGIC = b"sdnloop1"
_TOKEN = 16
_SHORTEST = 60
"""Bytes of an Ethernet frame without its checksum."""


class Held(NamedTuple):
    """A port that is held down. ``peer``: the port at the other end of the loop, by the probe.

    ``seen``: when a probe came back last; ``until``: when it may be released, ``seconds`` after it was held.
    """

    network: str
    peer: PortRef
    since: float
    until: float
    seconds: float
    seen: float


class Past(NamedTuple):
    """A hold that is over: how long it was to last, and when it ended."""

    seconds: float
    ended: float


@dataclass(frozen=True, slots=True)
class Loops:
    """Ports that are held down, and those that were."""

    held: Mapping[PortRef, Held] = field(default_factory=dict)
    past: Mapping[PortRef, Past] = field(default_factory=dict)


NO_LOOPS = Loops()


def found(  # noqa: PLR0917  # what came back, and what may follow
    loops: Loops,
    network: str,
    ends: tuple[PortRef, PortRef],
    may_hold: Callable[[PortRef], bool],
    first: float,
    now: float,
) -> Loops:
    """A probe of the first of these ports came in at the second: hold the last of them by name.

    ``first``: seconds for which a port is held that was not held lately. Without a port that may be held,
    nothing changes.
    """
    sent, _ = ends
    if (held := loops.held.get(sent)) is not None:
        return replace(loops, held={**loops.held, sent: held._replace(seen=now)})
    able = sorted(place for place in set(ends) if may_hold(place) and place not in loops.held)
    if not able or any(place in loops.held for place in ends):
        return loops
    place = able[-1]
    past = loops.past.get(place)
    again = past is not None and now - past.ended <= past.seconds
    seconds = min(2 * past.seconds, LONGEST) if past and again else first
    peer = next((end for end in ends if end != place), place)
    held = Held(network, peer, now, now + seconds, seconds, now)
    return replace(loops, held={**loops.held, place: held})


def aged(loops: Loops, now: float) -> Loops:
    """Release what was held for long enough, where no probe has come back lately."""
    over = [p for p, held in loops.held.items() if held.until <= now and now - held.seen >= QUIET]
    old = [p for p, past in loops.past.items() if now - past.ended > past.seconds and p not in over]
    if not over and not old:
        return loops
    past = {place: it for place, it in loops.past.items() if place not in old}
    past |= {place: Past(loops.held[place].seconds, now) for place in over}
    return Loops({place: held for place, held in loops.held.items() if place not in over}, past)


def released(loops: Loops, place: PortRef) -> Loops:
    """Release a port at once, as if it had never been held."""
    if place not in loops.held:
        return loops
    return Loops(_without(loops.held, place), _without(loops.past, place))


def sound(loops: Loops, may_hold: Callable[[PortRef], bool]) -> Loops:
    """Release ports that are gone, or that the configuration does not protect any more."""
    held = {place: it for place, it in loops.held.items() if may_hold(place)}
    return replace(loops, held=held) if len(held) < len(loops.held) else loops


def _without(some: Mapping[PortRef, V], place: PortRef) -> dict[PortRef, V]:
    return {key: value for key, value in some.items() if key != place}


class Sender(NamedTuple):
    """A network on a port, by which a probe leaves."""

    network: str
    place: PortRef


class Tokens:
    """What the probes of each sender carry, and where they come from.

    ``source``: their source MAC. It is never learned from a probe with a token, so the miss of ``learn``
    hands each of them to the controller, and no bridge needs a flow. Other frames from it are those of any
    station. Each process has its own: what is still on its way from an earlier one is any frame.
    """

    def __init__(self, key: bytes) -> None:
        """``key``: known to nothing but this process, 16 bytes or more."""
        self._key = key
        self._made = 0
        self._senders: dict[bytes, Sender] = {}
        self._tokens: dict[Sender, bytes] = {}
        self.source = b"\x02" + self._digest(b"source", 5)

    def of(self, sender: Sender) -> bytes:
        """Return the token of a sender."""
        token = self._tokens.get(sender)
        if token is None:
            self._made += 1
            token = self._tokens[sender] = self._digest(self._made.to_bytes(8, "big"), _TOKEN)
            self._senders[token] = sender
        return token

    def drop(self, places: Collection[PortRef]) -> None:
        """Forget the tokens of these ports."""
        for sender in [sender for sender in self._tokens if sender.place in places]:
            del self._senders[self._tokens.pop(sender)]

    def frame(self, sender: Sender) -> bytes:
        """Make a probe, untagged."""
        header = _HEADER.pack(to_wire(PROBES), self.source, _ETHERTYPE, _MAGIC)
        return (header + self.of(sender)).ljust(_SHORTEST, b"\0")

    def sender(self, data: bytes) -> Sender | None:
        """Find the sender of an untagged probe; None where the frame is no probe."""
        if len(data) < _HEADER.size + _TOKEN:
            return None
        if _HEADER.unpack_from(data) != (to_wire(PROBES), self.source, _ETHERTYPE, _MAGIC):
            return None
        return self._senders.get(data[_HEADER.size : _HEADER.size + _TOKEN])

    def _digest(self, data: bytes, size: int) -> bytes:
        return blake2b(data, digest_size=size, key=self._key).digest()
