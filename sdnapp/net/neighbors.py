"""Neighbor table: IP-MAC bindings from ARP, ND and DHCP snooping, and address conflicts.

An address of the file stays with its port: a claim elsewhere is a conflict (RFC 5227). A learned address that
another station claims has moved, but not within ``MOVE_HOLDDOWN`` of its last move, so that two stations with
one address do not keep the bridges busy. A binding is valid while its station is where it was seen; a leased
one follows its station until the lease ends. Times are in seconds, and always arguments.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sized
from dataclasses import dataclass, field, replace
from ipaddress import ip_address
from typing import NamedTuple, TypeVar

from sdnapp.net.fdb import PortRef

Known = TypeVar("Known", bound=Sized)

HOLD = 1.0
MAX_PER_PORT = 1024
"""Addresses that are learned at one port; more are ignored."""
LEASES = 16_384
"""Addresses that may be leased in one network."""

_ARP, _IPV6, _ICMPV6 = b"\x08\x06", b"\x86\xdd", 58
_ARP_HEAD = bytes.fromhex("000108000604")
_SOLICITATION, _ADVERTISEMENT = 135, 136
_OPTION = {_SOLICITATION: 1, _ADVERTISEMENT: 2}
"""The option of each that has a MAC (RFC 4861 §4.6.1)."""


class IpMacPair(NamedTuple):
    """An address and the MAC that a message binds it to."""

    ip: str
    mac: str


class BindingEntry(NamedTuple):
    """The station that has an address, the port where it was seen, and since when; 0: before this controller.

    ``lease``: seconds for which a DHCP server gave it; then ``place`` is None.
    """

    mac: str
    place: PortRef | None
    since: float
    lease: int = 0


class RecoveredNeighbor(NamedTuple):
    """A binding read back from a bridge, in the network with this VNI. ``ofport`` None: at another host.
    Without a MAC: an address conflict there.

    ``lease``: seconds of its lease from the beginning; 0: none.
    """

    vni: int
    claim: IpMacPair
    ofport: int | None
    lease: int = 0


@dataclass(frozen=True, slots=True)
class NeighborTable:
    """``bound``: bindings by network and address. ``held``: their number by port, with conflicts. ``lies``:
    conflicts by network: address and port.
    """

    bound: Mapping[str, Mapping[str, BindingEntry]] = field(default_factory=dict)
    held: Mapping[PortRef, int] = field(default_factory=dict)
    lies: Mapping[str, frozenset[tuple[str, PortRef]]] = field(default_factory=dict)


NO_ADDRESSES = NeighborTable()


def parse_arp_nd(data: bytes) -> IpMacPair | None:
    """What an untagged frame says about an address; None for all that says nothing, garbage included."""
    if data[12:14] == _ARP and data[14:20] == _ARP_HEAD and len(data) >= 42:
        return claim(data[28:32], data[22:28])
    if data[12:14] == _IPV6 and len(data) >= 78 and data[20] == _ICMPV6 and data[54] in _OPTION:
        said = data[62:78] if data[54] == _ADVERTISEMENT else data[22:38]
        return claim(said, _option(data[78:], _OPTION[data[54]]))
    return None


def _option(options: bytes, wanted: int) -> bytes:
    """The MAC in the first option of this kind (RFC 4861 §4.6)."""
    while len(options) >= 8 and options[1]:
        if options[0] == wanted:
            return options[2:8]
        options = options[8 * options[1] :]
    return b""


def claim(address: bytes, mac: bytes) -> IpMacPair | None:
    """That this address is at this MAC; None where no station can have the one or the other."""
    ip = ip_address(address)
    no_station = ip.is_unspecified or ip.is_multicast or ip.is_loopback or address == b"\xff" * 4
    if no_station or len(mac) < 6 or mac[0] & 1 or not any(mac):
        return None
    return IpMacPair(str(ip), mac.hex(":"))


def snoop(known: NeighborTable, network: str, claim: IpMacPair, place: PortRef, now: float) -> NeighborTable:
    """Return the table after this claim at a port."""
    ip, mac = claim
    before = known.bound.get(network, {}).get(ip)
    if known.held.get(place, 0) >= MAX_PER_PORT:
        return known
    if before is not None and (_is(before, mac, place) or 0 <= now - before.since < HOLD):
        return known
    return with_bindings(known, network, {ip: BindingEntry(mac, place, now)})


def silent(known: NeighborTable, network: str, claim: IpMacPair, place: PortRef, lease: int) -> NeighborTable:
    """Return the table after a binding or conflict expired."""
    if not claim.mac:
        return set_conflicts(known, network, {(claim.ip, place): False})
    before = known.bound.get(network, {}).get(claim.ip)
    if before is None or before.lease != lease or not _is(before, claim.mac, place):
        return known
    return with_bindings(known, network, {claim.ip: None})


def _is(binding: BindingEntry, mac: str, place: PortRef) -> bool:
    return binding.mac == mac and binding.place in (None, place)


def add_lease(
    known: NeighborTable, network: str, ip: str, granted: BindingEntry, is_there: Callable[[str], bool]
) -> NeighborTable:
    """Return the table after a DHCP server gave an address; ``is_there``: whether the place of a station is
    known.

    Leases that ended without a flow, as their stations were not there, are removed. A renewed lease gets a
    second more or less than before, so that its flow has another identity and a new hard timeout.
    """
    bindings = known.bound.get(network, {})
    leases = {other: of for other, of in bindings.items() if of.lease and other != ip}
    over = [o for o, of in leases.items() if of.since + of.lease <= granted.since and not is_there(of.mac)]
    changes: dict[str, BindingEntry | None] = dict.fromkeys(over)
    if len(leases) - len(over) < LEASES:
        before = bindings.get(ip)
        again = before is not None and (before.mac, before.lease) == (granted.mac, granted.lease)
        changes[ip] = granted._replace(lease=granted.lease - again)
    return with_bindings(known, network, changes)


def with_bindings(
    known: NeighborTable, network: str, changes: Mapping[str, BindingEntry | None]
) -> NeighborTable:
    """The addresses with these instead of what was known of them; None: nothing is."""
    if not changes:
        return known
    bindings, held = dict(known.bound.get(network, {})), Counter(known.held)
    for ip, binding in changes.items():
        for of, step in ((bindings.pop(ip, None), -1), (binding, 1)):
            if of is not None and of.place is not None:
                held[of.place] += step
        if binding is not None:
            bindings[ip] = binding
    return replace(known, bound=_with(known.bound, network, bindings), held=dict(+held))


def set_conflicts(
    known: NeighborTable, network: str, lies: Mapping[tuple[str, PortRef], bool]
) -> NeighborTable:
    """The addresses, after these were claimed where the file does not have them, or are no more."""
    before = known.lies.get(network, frozenset())
    after, held = set(before), Counter(known.held)
    for (ip, place), claimed in lies.items():
        if not claimed and (ip, place) in after:
            after.discard((ip, place))
            held[place] -= 1
        elif claimed and (ip, place) not in after and held[place] < MAX_PER_PORT:
            after.add((ip, place))
            held[place] += 1
    if after == before:
        return known
    return replace(known, lies=_with(known.lies, network, frozenset(after)), held=dict(+held))


def _with(of: Mapping[str, Known], network: str, known: Known) -> Mapping[str, Known]:
    others = {path: other for path, other in of.items() if path != network}
    return {**others, network: known} if known else others
