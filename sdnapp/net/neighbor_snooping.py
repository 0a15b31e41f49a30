"""ARP, ND and DHCP snooping: which bindings in messages are accepted into the state.

An address outside the network's subnets is not accepted, nor one of the file at another port: that is a
conflict, kept for as long as it is repeated. Leases count for stations at ports without port security.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from ipaddress import ip_address

from sdnapp.net.fdb import PortRef
from sdnapp.net.neighbors import (
    BindingEntry,
    IpMacPair,
    NeighborTable,
    RecoveredNeighbor,
    add_lease,
    set_conflicts,
    silent,
    snoop,
    with_bindings,
)
from sdnapp.net.state import State, port_ref


@dataclass(frozen=True, slots=True)
class SnoopedBinding:
    """A claim that came in on a port of a host's bridge, in the network with this VNI.

    ``lease``: it is true for so many seconds, says a DHCP server.
    """

    host: str
    vni: int
    ofport: int
    claim: IpMacPair
    lease: int = 0


def on_arp_nd(state: State, said: SnoopedBinding, now: float) -> State:
    """Return the state after an ARP or ND message, at a time in seconds."""
    network, place = _where(state, said)
    if network is None or place is None:
        return state
    if _is_lie(state, network, said.claim.ip, place):
        return _with(state, set_conflicts(state.addresses, network, {(said.claim.ip, place): True}))
    if not _may_be(state, network, said.claim.ip):
        return state
    return _with(state, snoop(state.addresses, network, said.claim, place, now))


def on_lease(state: State, said: SnoopedBinding, now: float) -> State:
    """The state, after a DHCP server that may said this, at a time in seconds; no lease: it has ended."""
    network, ((ip, mac), lease) = state.paths.get(said.vni), (said.claim, said.lease)
    if network is None:
        return state
    home = _home(state, network, mac)
    if not lease:
        return _end(state, network, said.claim)
    if home is None or not _is_free(state, network, home) or not _may_be(state, network, ip):
        return state
    granted = BindingEntry(mac, None, now, lease)
    known = add_lease(state.addresses, network, ip, granted, lambda of: _home(state, network, of) is not None)
    return _with(state, known)


def on_release(state: State, said: SnoopedBinding) -> State:
    """The state, after a DHCP client said that it does not use this address."""
    network, place = _where(state, said)
    if network is None or place != _home(state, network, said.claim.mac):
        return state
    return _end(state, network, said.claim)


def _end(state: State, network: str, claim: IpMacPair) -> State:
    before = state.addresses.bound.get(network, {}).get(claim.ip)
    if before is None or not before.lease or before.mac != claim.mac:
        return state
    return _with(state, with_bindings(state.addresses, network, {claim.ip: None}))


def on_expiry(state: State, said: SnoopedBinding) -> State:
    """Return the state after a binding's flow expired: no message within ``mac_age``, or the end of its
    lease.
    """
    network, place = _where(state, said)
    if network is None or place is None:
        return state
    return _with(state, silent(state.addresses, network, said.claim, place, said.lease))


def restore_bindings(
    state: State, host: str, memories: Iterable[RecoveredNeighbor], read: frozenset[str]
) -> State:
    """Restore bindings read back from a bridge; ``read``: hosts whose bridges were read before.

    Entries for the bridge's own ports replace what is known, unless the bridge is contested; entries for
    other places are accepted only if that station is known there.
    """
    changes: dict[str, dict[str, BindingEntry | None]] = {}
    lies: dict[str, dict[tuple[str, PortRef], bool]] = {}
    if host not in state.contested:
        for path, bindings in state.addresses.bound.items():
            changes[path] = {ip: None for ip, of in bindings.items() if _is_on(state, path, of, host)}
        for path, told_of in state.addresses.lies.items():
            lies[path] = {lie: False for lie in told_of if lie[1].host == host}
    for vni, claim, ofport, seconds in memories:
        network = state.paths.get(vni)
        if network is not None and not claim.mac and ofport is not None:
            at = port_ref(state, host, ofport)
            if at is not None and _is_lie(state, network, claim.ip, at):
                lies.setdefault(network, {})[claim.ip, at] = True
        if network is None or not claim.mac or not _may_be(state, network, claim.ip):
            continue
        if ofport is None:
            known = claim.ip in state.addresses.bound.get(network, {})
            there = _home(state, network, claim.mac)
            place = None if known or there is None or there.host in read | {host} else there
        else:
            place = port_ref(state, host, ofport)
        if place is not None:
            known_as = BindingEntry(claim.mac, None if seconds else place, 0.0, seconds)
            changes.setdefault(network, {})[claim.ip] = known_as
    addresses = state.addresses
    for path, of_network in changes.items():
        addresses = with_bindings(addresses, path, of_network)
    for path, of_path in lies.items():
        addresses = set_conflicts(addresses, path, of_path)
    return _with(state, addresses)


def prune_bindings(before: State, state: State) -> State:
    """The state without addresses that can be no more, after something else of it changed."""
    if state.bridges is before.bridges and state.overlay is before.overlay:
        return state
    addresses = state.addresses
    for network, bindings in state.addresses.bound.items():
        gone: Mapping[str, BindingEntry | None] = {
            ip: None
            for ip, binding in bindings.items()
            if network not in state.networks
            or (binding.place is not None and not state.exists(network, binding.place))
            or not _may_be(state, network, ip)
        }
        addresses = with_bindings(addresses, network, gone)
    for network, lies in state.addresses.lies.items():
        there = state.networks.keys() & {network}
        over = (lie for lie in lies if not there or not _is_lie(state, network, *lie))
        addresses = set_conflicts(addresses, network, dict.fromkeys(over, False))
    return _with(state, addresses)


def _where(state: State, said: SnoopedBinding) -> tuple[str | None, PortRef | None]:
    network, place = state.paths.get(said.vni), port_ref(state, said.host, said.ofport)
    exists = network is not None and place is not None and state.exists(network, place)
    return (network, place) if exists else (None, None)


def _home(state: State, network: str, mac: str) -> PortRef | None:
    return state.fixed(network, mac) or state.place_of(network, mac)


def _is_on(state: State, network: str, binding: BindingEntry, host: str) -> bool:
    place = binding.place or _home(state, network, binding.mac)
    return place is not None and place.host == host


def _is_free(state: State, network: str, place: PortRef) -> bool:
    """Whether there is a port at this place, without port security."""
    here = (port for port in state.members[network] if (port.host, port.interface) == place)
    return any(port.security.allowed_mac is None for port in here)


def _may_be(state: State, network: str, ip: str) -> bool:
    """Whether the address is in a subnet of the network and belongs to no port of the file."""
    if ip in state.given[network]:
        return False
    address, subnets = ip_address(ip), state.networks[network].subnets
    return not subnets or address.is_link_local or any(address in subnet for subnet in subnets)


def _is_lie(state: State, network: str, ip: str, place: PortRef) -> bool:
    """Whether the file gives the address to a port elsewhere. Each bridge checks its own ports."""
    home = state.given[network].get(ip, place)
    return home != place and place.interface is not None and state.exists(network, place)


def _with(state: State, addresses: NeighborTable) -> State:
    return state if addresses is state.addresses else replace(state, addresses=addresses)
