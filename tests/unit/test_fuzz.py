"""Whatever reaches the controller, it stays whole, answers who asked, and bridges hold what they should."""

from __future__ import annotations

from itertools import islice

import pytest

from flows.compile import compile_bridge
from flows.tables import Table
from sdnapp.engine.messages import Event, PacketIn, PacketOut, SourceSeen
from sdnapp.net.events import FdbKey
from tests.fuzz import frames
from tests.overlays import overlay
from tests.unit.test_engine import Fake, connected

COUNT, BATCH = 25_000, 250

OVERLAY = overlay("""
tenants:
  red:
    networks:
      web: {vni: 5010, vlan: 10, subnet: [10.1.1.0/24, "fd00:1::/64"], dhcp: {router: 10.1.1.254}}
  blue: {networks: {web: {vni: 5020, vlan: 10, subnet: [10.1.1.0/24, "fd00:1::/64"], dhcp: true}}}
hosts: {host1: {vtep: 192.168.4.201}, host2: {vtep: 192.168.4.202}}
ports:
  red1: {host: host1, attach: external, interface: red1, network: red/web, address: [10.1.1.1, "fd00:1::1"]}
  red2: {host: host2, network: red/web, address: [10.1.1.2, "fd00:1::2"], mac: "02:00:00:00:00:01"}
  blue1: {host: host1, network: blue/web, address: [10.1.1.1, "fd00:1::1"], mac: "02:00:00:00:00:01"}
  trunk2: {host: host2, trunk: {red/web: 30, blue/web: 40}}
""")
STATIONS = ("02:00:00:00:00:01", "02:00:00:00:00:02", "02:00:00:00:00:03")


@pytest.mark.parametrize("seed", range(4))
def test_a_hundred_thousand_frames_leave_the_controller_as_it_was(seed: int) -> None:
    fake = Fake(OVERLAY)
    hosts = list(OVERLAY.hosts.values())
    fake.tell(*map(connected, hosts))
    told = 0
    sent = frames(seed, COUNT, STATIONS, ("10.1.1.1", "10.1.1.2"))
    places = [(host, port) for host in hosts for port in host.ports]
    for round_, batch in enumerate(iter(lambda: list(islice(sent, BATCH)), [])):
        events: list[Event] = []
        for number, data in enumerate(batch):
            host, port = places[number % len(places)]
            asked = (host.datapath_id, OVERLAY.networks[port.attachments[0].network].vni, port.ofport)
            events.append(_event(list(Table)[number % len(Table)], asked, data, round_ / 100))
        effects = [effect for effect in fake.tell(*events) if isinstance(effect, PacketOut)]
        told += len(effects)
        assert {(effect.dpid, effect.ofport) for effect in effects} <= {
            (host.datapath_id, port.ofport) for host, port in places
        }

    assert told
    for host in hosts:
        assert fake.flows[host.datapath_id] == set(compile_bridge(fake.view(host.name)).flows)
        assert fake.engine.status("f").bridges[host.name].in_sync


def _event(table: Table, asked: tuple[int, int, int], data: bytes, now: float) -> Event:
    dpid, vni, ofport = asked
    if table is Table.MAC_LEARNING:
        return SourceSeen(dpid, FdbKey(vni, data[6:12].hex(":"), ofport), now)
    return PacketIn(dpid, table, vni, ofport, data, now)
