"""The engine's queue takes all, gives in order of arrival, and gives each connection its share."""

from __future__ import annotations

import queue

from hypothesis import given
from hypothesis import strategies as st

from sdnapp.inbox import Backlog, Inbox


def of(share: int) -> Inbox[str]:
    return Inbox(queue.Queue(), share)


def test_in_order_of_arrival_while_no_connection_has_more_than_its_share() -> None:
    inbox, a, b = of(3), Backlog(), Backlog()
    for source, item in ((a, "a1"), (b, "b1"), (a, "a2"), (b, "b2"), (a, "a3")):
        inbox.bring(item, source)
    inbox.put("file")

    assert inbox.take() == ["a1", "b1", "a2", "b2", "a3", "file"]


def test_a_talkative_connection_waits_for_its_next_turn_and_the_others_do_not() -> None:
    inbox, talkative, quiet = of(2), Backlog(), Backlog()
    for number in range(5):
        inbox.bring(f"t{number}", talkative)
    inbox.bring("q", quiet)

    assert inbox.take() == ["t0", "t1", "q"]
    inbox.bring("t5", talkative)
    assert [inbox.take(), inbox.take()] == [["t2", "t3"], ["t4", "t5"]]


def test_what_a_connection_has_on_its_way_is_known_by_number_and_by_size() -> None:
    inbox, source = of(2), Backlog()
    for _ in range(3):
        inbox.bring("frame", source, 100)
    assert (source.events, source.bytes) == (3, 300)

    inbox.take()
    assert (source.events, source.bytes) == (1, 100)


@given(st.lists(st.integers(0, 3), max_size=60), st.integers(1, 5))
def test_nothing_is_lost_and_each_connection_keeps_its_order(came: list[int], share: int) -> None:
    inbox, sources = of(share), [Backlog() for _ in range(4)]
    for number, source in enumerate(came):
        inbox.bring(f"{source} {number}", sources[source])

    given: list[str] = []
    while len(given) < len(came):
        batch = inbox.take()
        assert all(sum(item.startswith(f"{each} ") for item in batch) <= share for each in range(4))
        given += batch

    assert sorted(given) == sorted(f"{source} {number}" for number, source in enumerate(came))
    for each in range(4):
        numbers = [int(item.split()[1]) for item in given if item.startswith(f"{each} ")]
        assert numbers == sorted(numbers)
    assert all(source.events == 0 for source in sources)
