"""Which addresses traffic says belong to which station: heard in ARP and neighbour discovery.

What the file gives a port is its own, whatever anybody says. An address that somebody else claims has moved,
but not within the ``HOLD`` of its last move: two that quarrel do not keep the bridges busy. An address counts
as long as its station lives where it was heard. Times are in seconds, and always arguments.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import NamedTuple

from sdnapp.net.learning import Place

HOLD = 1.0
LIMIT = 1024
"""Addresses that may be heard at one place: whoever invents more is not listened to."""

_ARP, _IPV6, _ICMPV6 = b"\x08\x06", b"\x86\xdd", 58
_ARP_HEAD = bytes.fromhex("000108000604")
_SOLICITATION, _ADVERTISEMENT = 135, 136
_OPTION = {_SOLICITATION: 1, _ADVERTISEMENT: 2}
"""The option of each that has a MAC (RFC 4861 §4.6.1)."""


class Claim(NamedTuple):
    """Somebody says that this address is at this MAC."""

    ip: str
    mac: str


class Binding(NamedTuple):
    """The station that has an address, where it was heard, and since when; 0: before this controller."""

    mac: str
    place: Place
    since: float


class AddressMemory(NamedTuple):
    """A bridge remembers an address in the network with this VNI; ``ofport`` None: somewhere else."""

    vni: int
    claim: Claim
    ofport: int | None


@dataclass(frozen=True, slots=True)
class Addresses:
    """``bound``: by network and address. ``held``: how many there are at each place."""

    bound: Mapping[str, Mapping[str, Binding]] = field(default_factory=dict)
    held: Mapping[Place, int] = field(default_factory=dict)


NO_ADDRESSES = Addresses()


def decode(data: bytes) -> Claim | None:
    """What an untagged frame says about an address; None for all that says nothing, garbage included."""
    if data[12:14] == _ARP and data[14:20] == _ARP_HEAD and len(data) >= 42:
        return _claim(data[28:32], data[22:28])
    if data[12:14] == _IPV6 and len(data) >= 78 and data[20] == _ICMPV6 and data[54] in _OPTION:
        said = data[62:78] if data[54] == _ADVERTISEMENT else data[22:38]
        return _claim(said, _option(data[78:], _OPTION[data[54]]))
    return None


def _option(options: bytes, wanted: int) -> bytes:
    """The MAC in the first option of this kind (RFC 4861 §4.6)."""
    while len(options) >= 8 and options[1]:
        if options[0] == wanted:
            return options[2:8]
        options = options[8 * options[1] :]
    return b""


def _claim(address: bytes, mac: bytes) -> Claim | None:
    ip = ip_address(address)
    nobody = ip.is_unspecified or ip.is_multicast or ip.is_loopback or address == b"\xff" * 4
    if nobody or len(mac) < 6 or mac[0] & 1 or not any(mac):
        return None
    return Claim(str(ip), mac.hex(":"))


def heard(known: Addresses, network: str, claim: Claim, place: Place, now: float) -> Addresses:
    """The addresses, after somebody made this claim there."""
    ip, mac = claim
    before = known.bound.get(network, {}).get(ip)
    if known.held.get(place, 0) >= LIMIT:
        return known
    if before is not None and (before[:2] == (mac, place) or 0 <= now - before.since < HOLD):
        return known
    return changed(known, network, {ip: Binding(mac, place, now)})


def silent(known: Addresses, network: str, claim: Claim, place: Place) -> Addresses:
    """The addresses, after nobody made this claim there for long."""
    before = known.bound.get(network, {}).get(claim.ip)
    if before is None or before[:2] != (claim.mac, place):
        return known
    return changed(known, network, {claim.ip: None})


def changed(known: Addresses, network: str, changes: Mapping[str, Binding | None]) -> Addresses:
    """The addresses with these instead of what was known of them; None: nothing is."""
    if not changes:
        return known
    bindings, held = dict(known.bound.get(network, {})), dict(known.held)
    for ip, binding in changes.items():
        for of, step in ((bindings.pop(ip, None), -1), (binding, 1)):
            if of is not None:
                held[of.place] = held.get(of.place, 0) + step
        if binding is not None:
            bindings[ip] = binding
    others = {path: of for path, of in known.bound.items() if path != network}
    bound = {**others, network: bindings} if bindings else others
    return Addresses(bound, {place: count for place, count in held.items() if count})
