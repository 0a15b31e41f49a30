"""Who listens to what, as time goes by."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sdnapp.net.fdb import PortRef
from sdnapp.net.igmp_mld import LONGEST, Query, Report, mac_of
from sdnapp.net.multicast_snooping import (
    LAST_MEMBER,
    MARGIN,
    MAX_MEMBERS,
    MEMBERSHIP_INTERVAL,
    NO_MULTICAST,
    Groups,
    Multicast,
    RecoveredGroup,
    expire,
    on_message,
    prune_groups,
    restore_groups,
)

RED = "red/web"
ROUTER, HERE, THERE = PortRef("host1", "router"), PortRef("host1", "red1"), PortRef("host2", "red2")
ASKED = Query(4, "02:00:00:00:00:fe", "10.1.1.254", general=True, response=10.0)
GROUP, TWIN = "239.1.2.3", "238.129.2.3"
MAC = "01:00:5e:01:02:03"
YOUNG = True


def report(*joins: str, leaves: tuple[str, ...] = ()) -> Report:
    return Report(4, frozenset(joins), frozenset(leaves))


def groups(state: Multicast) -> Groups | None:
    return state.known.get(RED, {}).get(4)


def members(state: Multicast) -> dict[str, set[PortRef]] | None:
    found = groups(state)
    if found is None or found.members is None:
        return None
    return {mac: set(places) for mac, places in found.members.items()}


def asking() -> Multicast:
    """A router asked at 0; one host here and one there answered."""
    state = on_message(NO_MULTICAST, RED, ROUTER, ASKED, 0.0)
    for place in (HERE, THERE):
        state = on_message(state, RED, place, report(GROUP), 1.0)
    return state


def snooping() -> Multicast:
    return expire(asking(), 10.0 + MARGIN)


def test_without_a_querier_nobody_is_believed() -> None:
    assert on_message(NO_MULTICAST, RED, HERE, report(GROUP), 0.0) is NO_MULTICAST


def test_it_floods_until_all_had_the_time_to_answer() -> None:
    state = asking()

    assert members(expire(state, 11.9)) is None
    assert members(expire(state, 12.0)) == {MAC: {HERE, THERE}}
    found = groups(state)
    assert found is not None
    assert found.routers == {ROUTER}


def test_what_is_confirmed_changes_nothing_that_bridges_need_to_know() -> None:
    state = snooping()

    again = on_message(on_message(state, RED, HERE, report(GROUP), 100.0), RED, ROUTER, ASKED, 125.0)
    assert again.known is state.known
    assert members(expire(again, 270.0)) == {MAC: {HERE}}


def test_after_a_leave_others_at_the_same_place_have_a_moment() -> None:
    left = on_message(snooping(), RED, HERE, report(leaves=(GROUP,)), 20.0)

    assert members(left) == {MAC: {HERE, THERE}}
    assert members(expire(left, 20.0 + LAST_MEMBER)) == {MAC: {THERE}}
    still = on_message(left, RED, HERE, report(GROUP), 21.0)
    assert members(expire(still, 20.0 + LAST_MEMBER)) == {MAC: {HERE, THERE}}


def test_groups_that_share_a_mac_are_told_apart() -> None:
    both = on_message(snooping(), RED, HERE, report(TWIN), 15.0)
    left = expire(on_message(both, RED, HERE, report(leaves=(GROUP,)), 20.0), 30.0)

    assert mac_of(TWIN) == MAC
    assert members(left) == {MAC: {HERE, THERE}}


def test_a_querier_that_falls_silent_is_the_end_of_it() -> None:
    state = expire(snooping(), ASKED.presence)

    assert state.known == {}
    assert state.listening == {}


def test_a_querier_says_how_long_to_believe() -> None:
    fast = Query(4, "02:00:00:00:00:fe", "10.1.1.254", general=True, response=1.0, interval=10.0)
    state = on_message(on_message(NO_MULTICAST, RED, ROUTER, fast, 0.0), RED, HERE, report(GROUP), 0.5)

    assert members(expire(on_message(state, RED, ROUTER, fast, 20.0), 21.5)) == {}


def test_a_question_about_one_group_begins_nothing() -> None:
    """Listeners to others do not answer it."""
    about = replace(ASKED, general=False)

    assert on_message(NO_MULTICAST, RED, ROUTER, about, 0.0) is NO_MULTICAST
    assert members(on_message(snooping(), RED, ROUTER, about, 20.0)) == {MAC: {HERE, THERE}}


def test_a_hasty_querier_shortens_nothing_that_another_allowed() -> None:
    hasty = replace(ASKED, source="02:00:00:00:00:66", response=0.1, interval=1.0, robustness=1)
    state = on_message(snooping(), RED, HERE, hasty, 20.0)
    state = on_message(state, RED, THERE, report(GROUP), 20.1)
    state = on_message(state, RED, ROUTER, replace(hasty, source=ASKED.source), 21.0)

    assert members(expire(state, 120.0)) == {MAC: {HERE, THERE}}


def test_a_querier_is_forgotten_whatever_it_says() -> None:
    forged = replace(ASKED, interval=31744.0, robustness=7)
    state = on_message(NO_MULTICAST, RED, ROUTER, forged, 0.0)

    assert expire(state, LONGEST - 1).known
    assert expire(state, LONGEST).known == {}


def test_too_many_listeners_are_flooded_to() -> None:
    many = report(*(f"239.{n // 65536}.{n // 256 % 256}.{n % 256}" for n in range(MAX_MEMBERS + 5)))
    state = on_message(snooping(), RED, HERE, many, 20.0)

    assert groups(state) is not None
    assert members(state) is None
    assert members(expire(on_message(state, RED, ROUTER, ASKED, 125.0), 281.0)) == {}


def test_places_that_are_gone_are_forgotten() -> None:
    state = prune_groups(snooping(), lambda _, place: place != THERE)

    assert members(state) == {MAC: {HERE}}
    assert prune_groups(state, lambda _, place: place != ROUTER).known == {}


def told(host: str) -> list[RecoveredGroup]:
    """What the bridge of a host holds while the state is ``snooping()``."""
    own = [place for place in (ROUTER, HERE, THERE) if place.host == host]
    away = {PortRef(place.host, None) for place in (ROUTER, HERE, THERE) if place.host != host}
    routers = (ROUTER,) if host == "host1" else (PortRef("host1", None),)
    return [
        RecoveredGroup(RED, 4, MAC, (), (*own, *away)),
        RecoveredGroup(RED, 4, None, (), routers),
        RecoveredGroup(RED, 4, None, (ASKED.source,), ()),
    ]


@pytest.mark.parametrize("order", [("host1", "host2"), ("host2", "host1")])
def test_a_new_controller_knows_what_bridges_remember(order: tuple[str, str]) -> None:
    first, second = order
    one = restore_groups(NO_MULTICAST, first, frozenset(), told(first), 50.0, young=YOUNG)
    both = restore_groups(one, second, frozenset({first}), told(second), 51.0, young=YOUNG)

    assert members(one)
    assert both.known == snooping().known
    assert members(expire(both, 51.0 + MEMBERSHIP_INTERVAL)) is None


def test_old_memories_do_not_bring_a_querier_back() -> None:
    assert (
        restore_groups(NO_MULTICAST, "host1", frozenset(), told("host1"), 50.0, young=not YOUNG)
        is NO_MULTICAST
    )
    assert (
        restore_groups(NO_MULTICAST, "host1", frozenset({"host1"}), told("host1"), 50.0, young=YOUNG)
        is NO_MULTICAST
    )
