"""What is not new is not worked out again: neither for one bridge, nor for each bridge of a network."""

from __future__ import annotations

from dataclasses import replace

import pytest

from flows.compile import run_to_completion
from flows.view import Location
from sdnapp.net import project as projecting
from sdnapp.net.encap_migration import desired_encap
from sdnapp.net.events import BridgeFound, Configured, Event, FdbKey, SourcesSeen
from sdnapp.net.memo import Memo
from sdnapp.net.network_facts import HostFdb, NetworkFactsCache
from sdnapp.net.project import BridgeMemo, project, project_incremental
from sdnapp.net.state import State
from sdnapp.net.step import step
from tests.overlays import THREE_HOSTS, TWO_HOSTS, numbers, overlay

RED, BLUE = "red/web", "blue/web"
MORE = "\n".join([TWO_HOSTS, "  red3: {host: host2, network: red/web}", ""])


def up() -> State:
    wanted = overlay()
    state = State.of(wanted)
    for host in wanted.hosts.values():
        state = step(state, BridgeFound(host.name, numbers(host)))
    return state


def test_the_same_inputs_are_not_looked_at_twice() -> None:
    kept, asked = Memo(), []

    def work(of: list[int], more: list[int]) -> tuple[int, ...]:
        asked.append(1)
        return (*of, *more)

    one, two = [1], [2]
    made = kept.of(work, one, two)

    assert not kept.knows(work, one, [2])
    assert kept.knows(work, one, two)
    assert kept.of(work, one, two) is made == (1, 2)
    assert len(asked) == 1
    assert kept.of(work, one, [2]) is made  # it is worked out anew, but equal
    assert kept.of(work, one, [3]) == (1, 3)


def test_a_function_that_goes_on_from_what_it_made_last_is_asked_only_for_what_is_new() -> None:
    kept = Memo()

    def work(last: list[str] | None, word: str) -> list[str]:
        return [*(last or []), word]

    first = kept.onward(work, "one")

    assert kept.onward(work, "one") is first == ["one"]
    assert kept.onward(work, "two") == ["one", "two"]


def test_what_is_known_of_a_network_stays_the_object_that_it_was_while_others_change() -> None:
    archive, before = NetworkFactsCache(), up()
    after = step(before, Configured(overlay(MORE)))
    red, blue = archive.of(before, RED), archive.of(before, BLUE)
    now = archive.of(after, RED)

    assert archive.of(after, BLUE) is blue
    assert now is not red
    assert now.homes["host1"] is red.homes["host1"]
    assert now.static["host1"] is red.static["host1"]
    assert len(now.homes["host2"].ports) == len(red.homes["host2"].ports) + 1


def test_of_a_host_that_is_the_same_nothing_is_worked_out_again() -> None:
    before, wanted = up(), overlay(MORE)
    same = replace(wanted, hosts={**wanted.hosts, "host1": before.overlay.hosts["host1"]})
    after = step(before, Configured(same))

    assert after.shares["host1"] is before.shares["host1"]
    assert after.shares["host2"] is not before.shares["host2"]
    assert after.given == State.of(same).given
    assert after.static == State.of(same).static
    assert after.members == State.of(same).members


def test_a_bridge_asks_only_for_the_peer_where_somebody_came(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, look_up = [], projecting._at

    def noted(resident: HostFdb, way: tuple[int, int]) -> tuple[Location, ...]:
        asked.append(way)
        return look_up(resident, way)

    monkeypatch.setattr(projecting, "_at", noted)
    hosts = [f"  on{n}: {{host: host{n}, network: red/web}}" for n in (1, 2, 3)]
    wanted = overlay("\n".join([THREE_HOSTS, *hosts, ""]))
    more = overlay("\n".join([THREE_HOSTS, *hosts, "  late: {host: host3, network: red/web}", ""]))
    memo, state = BridgeMemo(), State.of(wanted)
    state = step(state, BridgeFound("host1", numbers(wanted.hosts["host1"])))
    run_to_completion(project_incremental(state, "host1", desired_encap(state, "host1"), memo))
    first = len(asked)
    state = step(state, Configured(more))
    run_to_completion(project_incremental(state, "host1", desired_encap(state, "host1"), memo))

    assert len(asked) == first + 1 >= 3


def test_a_network_that_is_gone_is_forgotten() -> None:
    archive, state = NetworkFactsCache(), up()
    before = archive.of(state, RED)
    archive.keep({BLUE})

    assert archive.of(step(state, Configured(overlay(MORE))), RED).homes["host1"] is not before.homes["host1"]


def test_a_bridge_is_projected_the_same_with_and_without_what_was_projected_before() -> None:
    memo, state = BridgeMemo(), up()
    events: list[Event] = [
        SourcesSeen("host1", (FdbKey(5010, "02:aa:00:00:00:01", overlay().ports["red1"].ofport),), 0.0),
        Configured(overlay(MORE)),
        BridgeFound("host2", numbers(overlay(MORE).hosts["host2"])),
        Configured(overlay()),
    ]
    for event in events:
        state = step(state, event)
        view = run_to_completion(project_incremental(state, "host1", desired_encap(state, "host1"), memo))
        again = run_to_completion(project_incremental(state, "host1", desired_encap(state, "host1"), memo))

        assert view == project(state, "host1", desired_encap(state, "host1"))
        assert all(a is b for a, b in zip(view.networks, again.networks, strict=True))
