"""What a sender of hostile frames knows of its surroundings, and what it picks addresses from."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address
from random import Random

from tests.attack.ground import (
    PEER_MAC,
    SERVICE_MAC,
    STRANGER_MAC,
    Ground,
    Sender,
    Station,
    link_local,
)
from tests.attack.packets import EVERYONE, group_mac

GROUPS4 = ("239.1.2.3", "224.0.0.1", "224.0.0.22", "239.255.0.9", "224.0.0.251")
GROUPS6 = ("ff05::1:3", "ff02::1", "ff02::2", "ff02::16", "ff02::1:2", "ff02::1:ff00:1")
LISTENED4, LISTENED6 = GROUPS4[0], GROUPS6[0]
"""Groups that a real process listens to meanwhile."""
FOREIGN_MACS = tuple(f"02:ee:00:00:00:{number:02x}" for number in range(12))
"""Of stations that the file does not know. Few: each costs an entry in neighbour caches of this machine."""
FOREIGN4 = ("10.1.1.99", "10.1.1.100", "10.1.2.99", "10.9.9.9", "192.168.4.10", "192.168.4.201", "127.0.0.1")
FOREIGN6 = ("fd00:1::99", "fd00:1::100", "fd00:2::99", "2001:db8::1", "fe80::99", "::1", "::ffff:10.1.1.1")
_LINK_CONTROL = tuple(f"01:80:c2:00:00:{number:02x}" for number in (0, 1, 2, 3, 0xE))


@dataclass(frozen=True)
class Scene:
    """One sender in one network. ``tag``: that of its own frames there. ``victims``: the other stations of
    the network; ``elsewhere``: those of other networks. ``own4``, ``own6``: an address of its own.
    """

    kind: str
    network: str
    tag: int | None
    mac: str
    own4: str
    own6: str
    victims: tuple[Station, ...]
    elsewhere: tuple[Station, ...]
    vlans: tuple[int, ...]
    keys: tuple[int, ...]
    vteps: tuple[str, ...]
    shy: bool
    """A strict sender: a frame with another source MAC ends at once, so most have its own."""

    def victim(self, random: Random) -> Station:
        return random.choice(self.victims)

    def source_mac(self, random: Random) -> str:
        """Its own more often than not; those of others, groups, nobody's."""
        if random.random() < (0.8 if self.shy else 0.5):
            return self.mac
        return self.any_mac(random)

    def any_mac(self, random: Random) -> str:
        if random.random() < 0.6:
            return self.victim(random).mac
        others = (self.mac, random.choice(self.elsewhere).mac, SERVICE_MAC, EVERYONE, "00:00:00:00:00:00")
        groups = (group_mac(random.choice(GROUPS4)), group_mac(random.choice(GROUPS6)))
        return random.choice((*others, *groups, *FOREIGN_MACS, random.choice(_LINK_CONTROL)))

    def target_mac(self, random: Random) -> str:
        """Where a frame goes: a victim, everyone, or a group."""
        choice = random.random()
        if choice < 0.5:
            return self.victim(random).mac
        if choice < 0.75:
            return EVERYONE
        return random.choice((group_mac(random.choice((*GROUPS4, *GROUPS6))), self.any_mac(random)))

    def ip4(self, random: Random, of: str = "") -> str:
        """An address of a victim (or of the station with this MAC), its own, or one of no station."""
        choice = random.random()
        if choice < 0.55:
            return _one(random, self._addresses(random, of), 4) or self.own4
        if choice < 0.8:
            return self.own4
        special = ("0.0.0.0", "255.255.255.255", "10.1.1.255", "169.254.0.67", random.choice(GROUPS4))
        return random.choice((*special, *FOREIGN4))

    def ip6(self, random: Random, of: str = "") -> str:
        choice = random.random()
        if choice < 0.55:
            return _one(random, self._addresses(random, of), 6) or self.own6
        if choice < 0.8:
            return random.choice((self.own6, link_local(self.mac)))
        return random.choice(("::", random.choice(GROUPS6), link_local(SERVICE_MAC), *FOREIGN6))

    def _addresses(self, random: Random, of: str) -> frozenset[str]:
        named = [station for station in self.victims if station.mac == of]
        station = named[0] if named else self.victim(random)
        return station.addresses.get(self.network, frozenset())


def _one(random: Random, addresses: frozenset[str], version: int) -> str:
    found = sorted(address for address in addresses if ip_address(address).version == version)
    return random.choice(found) if found else ""


def scenes(ground: Ground, sender: Sender) -> tuple[Scene, ...]:
    """One for each network of the sender; one that the file does not know tries all."""
    station = sender.station
    paths = tuple(ground.vnis) if station is None else tuple(station.tags)
    return tuple(_scene(ground, sender, station, path) for path in paths)


def _scene(ground: Ground, sender: Sender, station: Station | None, path: str) -> Scene:
    numbered = station.addresses[path] if station is not None else frozenset()
    own = {ip_address(address).version: address for address in sorted(numbered, reverse=True)}
    tags = {tag for each in ground.stations.values() for tag in each.tags.values() if tag is not None}
    return Scene(
        sender.kind,
        path,
        station.tags[path] if station is not None else None,
        station.mac if station is not None else STRANGER_MAC,
        own.get(4, "10.1.1.77"),
        own.get(6, link_local(PEER_MAC)),
        tuple(s for s in ground.of(path) if s is not station and any(s.addresses.values())),
        tuple(s for s in ground.stations.values() if path not in s.tags),
        tuple(sorted({*tags, *ground.vlans.values()})),
        (*ground.vnis.values(), *ground.peer_keys.values()),
        tuple(ground.vteps.values()),
        station is not None and station.strict,
    )
