"""Which queries for multicast listeners begin that groups go to them alone."""

from __future__ import annotations

import pytest

from sdnapp.net.events import BridgeFound, GroupsHeard
from sdnapp.net.igmp_mld import Family, Query
from sdnapp.net.neighbor_snooping import SnoopedBinding, on_arp_nd
from sdnapp.net.neighbors import IpMacPair
from sdnapp.net.state import State
from sdnapp.net.step import step
from tests.overlays import numbers, overlay

FILE = """
tenants: {red: {networks: {web: {vlan: 10, vni: 5010, subnet: [10.1.1.0/24, "fd00:1::/64"]}}}}
hosts: {host1: {vtep: 192.168.4.201}, host2: {vtep: 192.168.4.202}}
ports:
  red1: {host: host1, network: red/web, address: 10.1.1.1}
  gw1:  {host: host1, network: red/web, address: 10.1.1.254, roles: [router]}
  any1: {host: host1, network: red/web, address: 10.1.1.4, port_security: false}
  red2: {host: host2, network: red/web, address: 10.1.1.2}
"""
VNI = 5010
MAC = "02:00:00:00:00:66"


@pytest.fixture
def state() -> State:
    state = State.of(overlay(FILE))
    for host in state.overlay.hosts.values():
        state = step(state, BridgeFound(host.name, numbers(host)))
    return state


def number(state: State, port: str) -> int:
    return state.overlay.ports[port].ofport


def counts(state: State, port: str, address: str, source: str = MAC) -> bool:
    """Whether a general query from this port begins something."""
    family: Family = 6 if ":" in address else 4
    query = Query(family, source, address, general=True, response=10.0)
    heard = step(state, GroupsHeard("host1", VNI, number(state, port), query, 1.0))
    return bool(heard.multicast.known)


@pytest.mark.parametrize(("port", "expected"), [("red1", False), ("gw1", True), ("any1", True)])
def test_a_port_with_port_security_needs_the_role_of_a_router(
    state: State, port: str, expected: bool
) -> None:
    own = str(state.overlay.ports[port].attachments[0].addresses[0].ip)

    assert counts(state, port, own) is expected
    assert counts(state, port, "fe80::1") is expected


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("10.1.1.2", False),  # red2 drops what comes from its own address
        ("10.1.1.254", False),
        ("10.1.1.0", False),
        ("10.1.1.255", False),
        ("192.0.2.1", False),
        ("10.1.1.4", True),
        ("10.1.1.99", True),
        ("0.0.0.0", True),
        ("fe80::1", True),
    ],
)
def test_hosts_must_take_the_source_for_a_neighbour(state: State, address: str, expected: bool) -> None:
    assert counts(state, "any1", address) is expected


def test_an_address_that_another_station_was_heard_to_have_is_its_own(state: State) -> None:
    other = SnoopedBinding("host1", VNI, number(state, "any1"), IpMacPair("10.1.1.99", "02:00:00:00:00:77"))
    known = on_arp_nd(state, other, 0.0)

    assert not counts(known, "any1", "10.1.1.99")
    assert counts(known, "any1", "10.1.1.99", source="02:00:00:00:00:77")
