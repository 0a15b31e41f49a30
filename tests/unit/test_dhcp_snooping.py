"""Leases of DHCP servers that are not ours: what is believed, where it is answered, and when it ends."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv6Address

import pytest
from os_ken.lib.packet import dhcp, ethernet, ipv4, udp

from flows.actions import Punt
from flows.compile import compile_bridge
from flows.features.local_services import NO_TRUNCATION
from flows.flow import Flow
from flows.tables import Table
from flows.trace import Frame, trace
from flows.view import NeighborEntry
from sdnapp.engine.messages import LogEvent, NeighborFlowExpired, PacketIn, SourceSeen
from sdnapp.frames import dhcp6
from sdnapp.frames.packet import Ends, with_udp
from sdnapp.net import neighbors
from sdnapp.net.dhcp_snooping import MAX_LEASE, LeaseEvent, decode
from sdnapp.net.events import BridgeFound, FdbKey, SourcesSeen
from sdnapp.net.neighbor_snooping import (
    SnoopedBinding,
    on_arp_nd,
    on_expiry,
    on_lease,
    on_release,
    restore_bindings,
)
from sdnapp.net.neighbors import BindingEntry, IpMacPair, RecoveredNeighbor, add_lease
from sdnapp.net.state import State
from sdnapp.net.step import step
from tests.overlays import numbers, overlay, view_of
from tests.unit.test_dhcp import asked4, built
from tests.unit.test_engine import Fake, connected
from tests.views import BROADCAST, SERVED

RED = 5010
FILE = """
tenants: {red: {networks: {web: {vni: 5010, subnet: [10.1.1.0/24, "fd00:1::/64"]}}}}
hosts: {host1: {vtep: 192.168.4.201}, host2: {vtep: 192.168.4.202}}
ports:
  guest1: {host: host1, network: red/web, attach: external, interface: guest1}
  guest2: {host: host2, network: red/web, attach: external, interface: guest2}
  strict: {host: host1, network: red/web, address: 10.1.1.1, mac: "02:00:00:00:00:01"}
  server: {host: host2, network: red/web, address: 10.1.1.2, mac: "02:00:00:00:00:02", roles: dhcp-server}
peers:
  nas: {host: host2, vtep: 192.168.4.79, keys: {red/web: 7010}, roles: dhcp-server}
  lab: {host: host2, vtep: 192.168.4.78, keys: {red/web: 7010}}
"""
OVERLAY = overlay(FILE)
GUEST, OTHER, STRICT, SERVER = (f"02:{n}:00:00:00:01" for n in ("aa", "bb", "00", "00"))
SERVER = "02:00:00:00:00:02"
IP, IP6 = "10.1.1.77", "fd00:1::77"


def port(name: str) -> int:
    return OVERLAY.ports[name].ofport


def up(meaning: str = FILE) -> State:
    state = State.of(overlay(meaning))
    for host in state.overlay.hosts.values():
        state = step(state, BridgeFound(host.name, numbers(host)))
    return step(state, SourcesSeen("host1", (FdbKey(RED, GUEST, port("guest1")),), 0.0))


def told(ip: str = IP, mac: str = GUEST, lease: int = 3600) -> SnoopedBinding:
    """By the server, on its port."""
    return SnoopedBinding("host2", RED, port("server"), IpMacPair(ip, mac), lease)


def with_lease(at: float = 10.0) -> State:
    return on_lease(up(), told(), at)


def binding(state: State, ip: str = IP) -> BindingEntry | None:
    return state.addresses.bound.get("red/web", {}).get(ip)


def answers(state: State, host: str) -> dict[str, NeighborEntry]:
    return {a.ip: a for network in view_of(state, host).networks for a in network.neighbors if a.learned}


def known_by(state: State, host: str) -> list[Flow]:
    """The flows that say that the address is no news."""
    flows = compile_bridge(view_of(state, host)).flows.values()
    return [
        f
        for f in flows
        if f.table is Table.NEIGHBOR_SNOOPING and f.match.header and f.match.header.arp_spa == IP
    ]


def ack(seconds: bytes | None = b"\0\0\x0e\x10", kind: int = 5, yours: str = IP, op: int = 2) -> bytes:
    """What a server says, as os-ken writes it."""
    options = [dhcp.option(53, bytes([kind]))]
    options += [] if seconds is None else [dhcp.option(51, seconds)]
    message = dhcp.dhcp(op=op, chaddr=GUEST, yiaddr=yours, options=dhcp.options(option_list=options))
    return built(
        ethernet.ethernet(BROADCAST, SERVER, 0x0800),
        ipv4.ipv4(src="10.1.1.2", dst="255.255.255.255", proto=17),
        udp.udp(67, 68),
        message,
    )


def said6(kind: dhcp6.Kind, valid: int, to: str, ports: tuple[int, int]) -> bytes:
    body = dhcp6.association(1, 100, [(IPv6Address(IP6), valid)])
    payload = bytes([kind]) + b"xid" + b"\0\3" + len(body).to_bytes(2, "big") + body
    ends = Ends(GUEST if ports[0] == 546 else SERVER, to, IPv6Address("fe80::1"), IPv6Address("fe80::2"))
    return with_udp(ends, *ports, payload)


@pytest.mark.parametrize(
    ("frame", "words"),
    [
        (ack(), [LeaseEvent(IpMacPair(IP, GUEST), 3600, by_server=True)]),
        (ack(b"\xff" * 4), [LeaseEvent(IpMacPair(IP, GUEST), MAX_LEASE, by_server=True)]),
        (ack(kind=2), []),
        (ack(kind=6), []),
        (ack(None), []),
        (ack(yours="0.0.0.0"), []),
        (ack(yours="224.0.0.1"), []),
        (ack(op=1), []),
        (asked4(7, src=IP, mac=GUEST), [LeaseEvent(IpMacPair(IP, GUEST), 0, by_server=False)]),
        (
            asked4(4, mac=GUEST, requested=bytes([10, 1, 1, 77])),
            [LeaseEvent(IpMacPair(IP, GUEST), 0, by_server=False)],
        ),
        (asked4(4, mac=GUEST), []),
        (asked4(3, mac=GUEST), []),
        (
            said6(dhcp6.Kind.REPLY, 600, GUEST, (547, 546)),
            [LeaseEvent(IpMacPair(IP6, GUEST), 600, by_server=True)],
        ),
        (
            said6(dhcp6.Kind.REPLY, 0, GUEST, (547, 546)),
            [LeaseEvent(IpMacPair(IP6, GUEST), 0, by_server=True)],
        ),
        (said6(dhcp6.Kind.ADVERTISE, 600, GUEST, (547, 546)), []),
        (said6(dhcp6.Kind.REPLY, 600, "33:33:00:01:00:02", (547, 546)), []),
        (
            said6(dhcp6.Kind.RELEASE, 0, SERVER, (546, 547)),
            [LeaseEvent(IpMacPair(IP6, GUEST), 0, by_server=False)],
        ),
        (said6(dhcp6.Kind.REQUEST, 0, SERVER, (546, 547)), []),
    ],
)
def test_what_servers_and_clients_say_of_leases(frame: bytes, words: list[LeaseEvent]) -> None:
    assert list(decode(frame)) == words
    assert not list(decode(frame[:60]))


def test_a_leased_address_is_answered_everywhere_and_ends_with_its_lease() -> None:
    state = with_lease()

    assert answers(state, "host1")[IP] == NeighborEntry(IP, GUEST, port("guest1"), True, False, 3600)
    assert answers(state, "host2")[IP].mac == GUEST
    (flow,) = known_by(state, "host1")
    assert (flow.idle, flow.hard) == (0, 3600)
    over = SnoopedBinding("host1", RED, port("guest1"), IpMacPair(IP, GUEST), 3600)
    assert binding(on_expiry(state, over)) is None
    assert on_expiry(state, SnoopedBinding("host1", RED, port("guest1"), IpMacPair(IP, GUEST))) is state


def test_a_lease_that_is_renewed_counts_anew() -> None:
    """Its flow is another one, so the bridge begins to count."""
    first = with_lease()
    second = on_lease(first, told(), 1000.0)
    third = on_lease(second, told(), 2000.0)

    assert [known_by(state, "host1")[0].hard for state in (first, second, third)] == [3600, 3599, 3600]


def test_a_lease_goes_where_its_station_goes() -> None:
    moved = step(with_lease(), SourcesSeen("host2", (FdbKey(RED, GUEST, port("guest2")),), 20.0))

    assert answers(moved, "host2")[IP].port == port("guest2")
    assert answers(moved, "host1")[IP].port is None
    assert (
        binding(on_expiry(moved, SnoopedBinding("host2", RED, port("guest2"), IpMacPair(IP, GUEST), 3600)))
        is None
    )


def test_it_is_no_news_that_its_station_has_it_and_news_that_another_has() -> None:
    state = with_lease()
    claims = [SnoopedBinding("host1", RED, port("guest1"), IpMacPair(IP, mac)) for mac in (GUEST, OTHER)]

    assert on_arp_nd(state, claims[0], 100.0) is state
    assert binding(on_arp_nd(state, claims[1], 100.0)) == BindingEntry(
        OTHER, step(state, SourcesSeen("host1", (), 0.0)).place_of("red/web", GUEST), 100.0
    )


@pytest.mark.parametrize(
    "said",
    [
        told("10.1.1.1"),
        told("10.9.9.9"),
        told("10.1.1.78", mac="02:00:00:00:00:01"),
        told("10.1.1.78", mac=OTHER),
    ],
    ids=["the file's", "outside the subnet", "a strict port", "nobody knows where"],
)
def test_no_lease_counts(said: SnoopedBinding) -> None:
    state = up()

    assert on_lease(state, said, 0.0) is state


def test_who_gives_back_is_who_has_it() -> None:
    state = with_lease()
    here, there = port("guest1"), port("guest2")

    assert on_release(state, SnoopedBinding("host2", RED, there, IpMacPair(IP, GUEST))) is state
    assert on_release(state, SnoopedBinding("host1", RED, here, IpMacPair(IP, OTHER))) is state
    assert binding(on_release(state, SnoopedBinding("host1", RED, here, IpMacPair(IP, GUEST)))) is None
    assert binding(on_lease(state, told(lease=0), 20.0)) is None
    heard = on_arp_nd(up(), SnoopedBinding("host1", RED, here, IpMacPair(IP, GUEST)), 0.0)
    assert on_release(heard, SnoopedBinding("host1", RED, here, IpMacPair(IP, GUEST))) is heard


def test_a_bridge_remembers_leases_and_what_it_forgot_is_forgotten() -> None:
    memory = RecoveredNeighbor(RED, IpMacPair(IP, GUEST), port("guest1"), 3600)
    again = restore_bindings(up(), "host1", [memory], frozenset())

    assert view_of(again, "host1") == view_of(with_lease(), "host1")
    assert view_of(again, "host2") == view_of(with_lease(), "host2")
    assert binding(restore_bindings(with_lease(), "host1", [], frozenset({"host1"}))) is None
    contested = replace(with_lease(), contested={"host1": 5.0})
    assert restore_bindings(contested, "host1", [], frozenset({"host1"})) is contested


def test_leases_that_ended_unseen_make_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """Their stations were not there, so no flow of theirs was either. There is an end to those that are."""
    monkeypatch.setattr(neighbors, "LEASES", 5)
    known = up().addresses
    for number in range(1, 8):
        known = add_lease(
            known, "red/web", f"10.1.1.{number}", BindingEntry(OTHER, None, 0.0, 60), {OTHER}.__contains__
        )

    assert set(known.bound["red/web"]) == {f"10.1.1.{number}" for number in range(1, 6)}
    granted = BindingEntry(GUEST, None, 60.0, 60)
    assert set(add_lease(known, "red/web", IP, granted, {GUEST}.__contains__).bound["red/web"]) == {IP}
    assert add_lease(known, "red/web", IP, granted, {GUEST, OTHER}.__contains__) is known
    assert not known.held


@pytest.mark.parametrize(
    ("name", "believed"), [("server", True), ("nas", True), ("guest2", False), ("lab", False)]
)
def test_servers_are_ports_and_strangers_that_may(name: str, believed: bool) -> None:
    program = compile_bridge(view_of(up(), "host2"))
    source = SERVER if name == "server" else OTHER
    key = 7010 if name in {"nas", "lab"} else 0
    for said in SERVED:
        header = said._replace(ipv4_src=said.ipv4_src and "10.1.1.2")
        ours = header._replace(ipv6_src=said.ipv6_src and "fe80::ff:fe00:2")
        walked = trace(program, Frame(port(name), source, BROADCAST, key=key, header=ours))
        assert bool(walked.copies) is believed
        assert any(Punt(NO_TRUNCATION) in flow.actions for flow in walked.flows) is believed


def test_where_the_network_serves_itself_no_client_is_listened_to() -> None:
    for dhcp_key, listens in (("", True), ("dhcp: true, ", False)):
        state = up(FILE.replace("vni: 5010, ", f"vni: 5010, {dhcp_key}"))
        flows = compile_bridge(view_of(state, "host1")).flows.values()
        heard = [
            f
            for f in flows
            if f.table is Table.DHCP_RA_GUARD and f.match.header and f.match.header.udp_dst == 67
        ]
        assert bool(heard) is listens


def test_the_engine_hears_of_leases_keeps_them_and_loses_them() -> None:
    fake = Fake(OVERLAY)
    host1, host2 = OVERLAY.hosts["host1"], OVERLAY.hosts["host2"]
    fake.tell(connected(host1), connected(host2))
    fake.tell(SourceSeen(host1.datapath_id, FdbKey(RED, GUEST, port("guest1")), 1.0))

    effects = fake.tell(PacketIn(host2.datapath_id, Table.DHCP_RA_GUARD, RED, port("server"), ack(), 2.0))

    assert (
        LogEvent("lease.learned", {"network": "red/web", "ip": IP, "mac": GUEST, "seconds": 3600}) in effects
    )
    status = fake.engine.status("f")
    assert status.service_counters["red/web"] == {"lease learned": 1}
    assert any(IP in at.addresses for at in status.locations)
    (flow,) = known_by(fake.engine.state, "host1")
    assert flow.key in fake.flows[host1.datapath_id]
    fake.flows[host1.datapath_id].discard(flow.key)
    memory = RecoveredNeighbor(RED, IpMacPair(IP, GUEST), port("guest1"), 3600)
    fake.tell(NeighborFlowExpired(host1.datapath_id, memory, flow.key))
    assert binding(fake.engine.state) is None
    assert fake.flows[host1.datapath_id] == set(compile_bridge(fake.view("host1")).flows)
