"""Gratuitous ARP and unsolicited neighbour advertisements for ports whose MAC, addresses or place are new."""

from __future__ import annotations

import pytest

from sdnapp.engine.announcing import MOST, PATIENCE, PAUSES
from sdnapp.engine.messages import (
    AnnouncementsDue,
    ConfigChanged,
    Disconnected,
    Inject,
    StartTimer,
    TimerFired,
)
from sdnapp.frames.announcement import announcement
from sdnapp.frames.packet import with_tag
from tests.overlays import TWO_HOSTS, numbers, overlay
from tests.unit.test_engine import Fake, connected, of

OVERLAY = overlay()
HOST1, HOST2 = OVERLAY.hosts.values()
NEW_MAC = TWO_HOSTS.replace("red1:  {host: host1,", 'red1:  {host: host1, mac: "02:00:00:00:00:99",')
DUE = TimerFired(AnnouncementsDue())


@pytest.fixture(name="fake")
def _fake() -> Fake:
    fake = Fake(OVERLAY)
    fake.tell(connected(HOST1), connected(HOST2))
    return fake


def sent(fake: Fake, ticks: int) -> list[list[Inject]]:
    """What each of so many ticks sends."""
    return [of(Inject, fake.tell(DUE)) for _ in range(ticks)]


def change(fake: Fake, text: str) -> None:
    effects = fake.tell(ConfigChanged(overlay(text)))
    asked = [later for later in of(StartTimer, effects) if isinstance(later.event.event, AnnouncementsDue)]
    assert len(asked) == 1


def test_a_new_mac_is_announced_three_times_by_the_bridge_of_its_port(fake: Fake) -> None:
    change(fake, NEW_MAC)
    ticks = sent(fake, sum(PAUSES) + len(PAUSES) + 1)

    (first,) = ticks[0]
    port = numbers(HOST1)["red1"]
    frame = announcement("02:00:00:00:00:99", OVERLAY.ports["red1"].attachments[0].addresses[0].ip)
    assert (first.dpid, first.ofport, first.data) == (HOST1.datapath_id, port, frame)
    assert sum(tick == [first] for tick in ticks) == len(PAUSES)
    assert fake.tell(DUE) == []


def test_a_port_that_another_setting_changes_is_not_announced(fake: Fake) -> None:
    effects = fake.tell(
        ConfigChanged(overlay(TWO_HOSTS.replace("red1:  {", "red1:  {rate: {send: 5M}, "))),
    )
    assert not [later for later in of(StartTimer, effects) if isinstance(later.event.event, AnnouncementsDue)]


def test_an_address_of_a_trunk_is_announced_with_its_tag(fake: Fake) -> None:
    trunk = TWO_HOSTS + "  t: {host: host2, trunk: {red/web: 30}, address: 10.1.1.7/24}\n"
    there = overlay(trunk)
    change(fake, trunk)
    fake.tell(connected(there.hosts["host2"], connection=2))

    ((injected,), *_) = sent(fake, 1)
    port = there.ports["t"]
    assert port.mac is not None
    assert injected.data == with_tag(announcement(port.mac, port.attachments[0].addresses[0].ip), 30)
    assert injected.connection == 2


def test_a_bridge_that_is_away_announces_when_it_is_back(fake: Fake) -> None:
    fake.tell(Disconnected(HOST1.datapath_id))
    change(fake, NEW_MAC)
    assert sent(fake, 3) == [[], [], []]

    fake.tell(connected(HOST1, connection=3))
    assert [inject.connection for inject in of(Inject, fake.tell(DUE))] == [3]


def test_a_port_that_never_comes_is_not_waited_for_without_end(fake: Fake) -> None:
    change(fake, TWO_HOSTS + "  new: {host: host1, network: red/web, address: 10.1.1.9/24}\n")

    asked = [fake.tell(DUE) for _ in range(PATIENCE)]
    assert all(of(StartTimer, effects) for effects in asked[:-1])
    assert asked[-1] == []


def test_a_port_that_leaves_the_file_is_not_announced(fake: Fake) -> None:
    change(fake, NEW_MAC)
    fake.tell(
        ConfigChanged(overlay("\n".join(line for line in TWO_HOSTS.splitlines() if "red1:" not in line)))
    )

    assert of(Inject, fake.tell(DUE)) == []


def test_hundreds_of_addresses_are_announced_a_few_at_a_time(fake: Fake) -> None:
    many = "".join(
        f"  p{n}: {{host: host1, network: red/web, address: 10.1.1.{n}/24}}\n"
        for n in range(10, 10 + 3 * MOST)
    )
    there = overlay(TWO_HOSTS + many)
    fake.tell(ConfigChanged(there))
    fake.tell(connected(there.hosts["host1"], connection=2))

    assert [len(tick) for tick in sent(fake, 3)] == [MOST, MOST, MOST]
