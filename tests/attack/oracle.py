"""What each kind of port may make others take to be true: the judge of frames that come out of the overlay.

It knows the file and how Linux reads frames, and nothing of flows. A finding is a frame of an attack at a
port where it must not be, or one that says there what its sender may not say.

What a port that learns may say is not in the file: it may use the MAC of another port until the controller
has seen it, and any IP address that is nobody's. No frame is judged for that.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import ip_address

from tests.attack.ground import Ground, Sender, Station
from tests.attack.linux import Fact, Receiver

_NAMELESS4 = ("ipv4 protocol 17 port 67", "ipv4 protocol 2")
_NAMELESS6 = tuple(f"ipv6 protocol 58 type {kind}" for kind in (131, 132, 133, 135, 143))
"""What has no source address yet: DHCP, group membership (RFC 3590), solicitations, duplicate detection."""
_UNREAD6 = ("ipv6 fragment", "ipv6 protocol 51")
"""Of these Linux reads no more, and an unspecified source is the address of no other."""
_TO_ALL = "224.0.0.1"


@dataclass(frozen=True)
class Finding:
    """``rule``: which one was broken; ``where``: at which port; ``seen``: the frame there, or what a kernel
    holds.
    """

    rule: str
    where: str
    seen: str


class Judge:
    """Judges frames of one sender; keeps what each victim has of fragments."""

    def __init__(self, ground: Ground, sender: Sender) -> None:
        self._ground, self._sender = ground, sender
        inside = sender.station is not None and sender.station.strict
        self._receivers = {name: Receiver(station.mac, inside) for name, station in ground.stations.items()}

    def frame(self, port: str, frame: bytes) -> list[Finding]:
        """What is wrong with a frame of the sender's that came out at another port, with that port's tags."""
        station = self._ground.stations[port]
        network, bare = _network(station, frame)
        seen = frame.hex()
        own = self._sender.station
        if own is None or network not in own.tags:
            return [Finding(f"reached {network or 'a port'}, where it has no business", port, seen)]
        facts = self._receivers[port].facts(bare)
        rules = {*_from_anyone(self._ground, own, network, bare, facts)}
        if own.strict:
            rules |= {*_from_strict(own, network, bare, facts)}
        return [Finding(rule, port, seen) for rule in sorted(rules)]


def _network(station: Station, frame: bytes) -> tuple[str, bytes]:
    """The network of a frame at a port, by its outermost tag, and the frame without that."""
    by_tag = {tag: path for path, tag in station.tags.items() if tag is not None}
    if by_tag and frame[12:14] == b"\x81\x00":
        path = by_tag.get(int.from_bytes(frame[14:16], "big") & 0xFFF)
        if path is not None:
            return path, frame[:12] + frame[16:]
    return next((path for path, tag in station.tags.items() if tag is None), ""), frame


def _from_anyone(
    ground: Ground, own: Station, network: str, frame: bytes, facts: Iterable[Fact]
) -> Iterator[str]:
    """What no port may make others take to be true, whether it may speak for others or not."""
    source = frame[6:12]
    others = [station for station in ground.of(network) if station is not own]
    if source[0] & 1:
        yield "a group as source MAC"
    if not any(source):
        yield "no source MAC"
    homes = {ip: each.mac for each in others for ip in each.addresses[network]}
    for fact in facts:
        if fact.what == "claim" and fact.mac and homes.get(fact.ip, fact.mac) != fact.mac:
            yield f"claims the address of another port by {fact.how}"
        if fact.what == "dhcp-server" and "dhcp-server" not in own.may:
            yield f"says what only DHCP servers say: {fact.how}"
        if fact.what == "router" and "router" not in own.may:
            yield f"says what only routers say: {fact.how}"


def _from_strict(own: Station, network: str, frame: bytes, facts: Iterable[Fact]) -> Iterator[str]:
    """A strict port sends from its own addresses alone, and nothing of routers unless it has the role.

    The option of a router solicitation may have another MAC: that misdirects its own address and no other,
    and OpenFlow can match that option in neighbour solicitations only.
    """
    addresses = own.addresses[network]
    if frame[6:12].hex(":") != own.mac:
        yield "source MAC that is not its own"
    for fact in facts:
        if fact.what == "claim":
            probe = fact.ip == "0.0.0.0" and fact.how == "arp 1"
            if fact.ip not in addresses and not probe:
                yield f"speaks for an address that is not its own by {fact.how}"
            elif fact.mac not in {own.mac, ""} and fact.how != "rs":
                yield f"gives its address another MAC by {fact.how}"
        elif fact.what == "source" and fact.ip not in addresses and not _nameless(fact):
            yield f"source address that is not its own: {fact.how.split(' ')[0]}"
        elif fact.what == "query" and "router" not in own.may and not _like_a_report(fact):
            yield f"asks for listeners by {fact.how}"


def _like_a_report(fact: Fact) -> bool:
    """A question about a group is sent to that group, as reports are: OpenFlow cannot tell them apart."""
    return bool(fact.ip) and ip_address(fact.ip).is_multicast and fact.ip != _TO_ALL


def _nameless(fact: Fact) -> bool:
    if fact.ip == "0.0.0.0":
        return fact.how.startswith(_NAMELESS4)
    return fact.ip == "::" and fact.how.startswith((*_NAMELESS6, *_UNREAD6))


@dataclass(frozen=True)
class Belief:
    """What the kernel of a victim holds: the MAC of each neighbour, its addresses, its routes."""

    neighbours: Mapping[str, str]
    addresses: frozenset[str]
    routes: frozenset[str]


def beliefs(ground: Ground, sender: Sender, port: str, before: Belief, after: Belief) -> list[Finding]:
    """What a victim's kernel took for true and is not. A port that learns may misdirect its own addresses."""
    station = ground.stations[port]
    (network,) = station.tags
    homes = {ip: each.mac for each in ground.of(network) for ip in each.addresses[network]}
    if sender.station is not None and not sender.station.strict:
        for ip in sender.station.addresses.get(network, ()):
            homes.pop(ip, None)
    found = [
        Finding("the neighbour cache of a victim is wrong", port, f"{ip} at {mac}, not {homes[ip]}")
        for ip, mac in sorted(after.neighbours.items())
        if homes.get(ip, mac) != mac
    ]
    for what, old, new in (
        ("address", before.addresses, after.addresses),
        ("route", before.routes, after.routes),
    ):
        found += [Finding(f"a victim has a new {what}", port, each) for each in sorted(new - old)]
        found += [Finding(f"a victim lost its {what}", port, each) for each in sorted(old - new)]
    return found
