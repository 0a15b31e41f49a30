"""IGMP and MLD queries that are accepted: those that all listeners answer, from ports that may query.

A query starts, or prolongs, forwarding to known listeners only. Hosts drop an IPv4 packet whose source is
their own address, a network address or, with reverse path filtering, an unreachable one (RFC 1812 section
5.3.8): they would send no report, and be removed.
"""

from __future__ import annotations

from ipaddress import IPv4Address, ip_address

from sdnapp.net.fdb import PortRef
from sdnapp.net.igmp_mld import Query
from sdnapp.net.state import State


def may_ask(state: State, network: str, place: PortRef, query: Query) -> bool:
    """Whether a query that came in at this place counts."""
    return _is_router(state, network, place) and _is_answered(state, network, place, query)


def _is_router(state: State, network: str, place: PortRef) -> bool:
    """Whether the port may query: with port security it needs the role. Peers check their own ports."""
    here = (port for port in state.members[network] if (port.host, port.interface) == place)
    return all(port.security.allowed_mac is None or "router" in port.security.roles for port in here)


def _is_answered(state: State, network: str, place: PortRef, query: Query) -> bool:
    """Whether hosts take the query: MLD from any address, which is link-local; IGMP from none or from the
    sender's own.
    """
    address = ip_address(query.address)
    if not isinstance(address, IPv4Address) or address.is_unspecified:
        return True
    home = state.given[network].get(query.address, place)
    elsewhere = home != place if place.interface is not None else home.host != place.host
    bound = state.addresses.bound.get(network, {}).get(query.address)
    if elsewhere or (bound is not None and bound.mac != query.source):
        return False
    subnets = [subnet for subnet in state.networks[network].subnets if subnet.version == 4]
    return not subnets or any(
        address in subnet and address not in {subnet.network_address, subnet.broadcast_address}
        for subnet in subnets
    )
