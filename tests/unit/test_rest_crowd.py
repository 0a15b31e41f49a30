"""Which client of REST makes room for others: the slowest, of the address that has most."""

from __future__ import annotations

from typing import Any

import pytest

from sdnapp.rest.crowd import Crowd, Guest, Limits

LIMITS = Limits(connections=4, answers=2, urgent=1, slow=1.0)


class Client:
    """A socket that knows whether it was hung up on."""

    def __init__(self) -> None:
        self.over = False

    def shutdown(self, _: int) -> None:
        self.over = True


@pytest.fixture
def crowd() -> Crowd:
    return Crowd(LIMITS)


def enter(crowd: Crowd, ip: str, now: float) -> Guest:
    return crowd.enter(Client(), ip, now)


def over(*guests: Guest) -> list[bool]:
    clients: list[Any] = [guest.client for guest in guests]
    return [client.over for client in clients]


def test_the_one_that_has_waited_longest_makes_room_for_the_next(crowd: Crowd) -> None:
    guests = [enter(crowd, "192.0.2.1", float(n)) for n in range(4)]
    crowd.wait(guests[0], 10.0)

    enter(crowd, "192.0.2.1", 11.0)

    assert over(*guests) == [False, True, False, False]
    assert len(crowd) == 4


def test_many_from_one_address_crowd_out_themselves_alone(crowd: Crowd) -> None:
    patient = enter(crowd, "192.0.2.1", 0.0)

    many = [enter(crowd, "198.51.100.9", 1.0 + n) for n in range(100)]

    assert over(patient) == [False]
    assert over(*many) == [True] * 97 + [False] * 3


def test_a_slow_reader_makes_room_for_a_request_and_a_swift_one_does_not(crowd: Crowd) -> None:
    slow, swift, third, fourth = (enter(crowd, "192.0.2.1", 0.0) for _ in range(4))
    assert crowd.answer(slow, urgent=False, now=0.0)
    assert crowd.answer(swift, urgent=False, now=0.0)
    slow.since, swift.since = 1.0, 4.5

    assert crowd.answer(third, urgent=False, now=5.0)
    assert over(slow, swift) == [True, False]
    assert not crowd.answer(fourth, urgent=False, now=5.0)
    crowd.refuse(fourth, 5.0)
    assert over(swift, third, fourth) == [False, False, False]


def test_an_answer_that_takes_its_time_is_no_fault_of_its_client(crowd: Crowd) -> None:
    guests = [enter(crowd, "192.0.2.1", 0.0) for _ in range(3)]
    assert [crowd.answer(guest, urgent=False, now=0.0) for guest in guests[:2]] == [True, True]

    assert not crowd.answer(guests[2], urgent=False, now=100.0)
    assert over(*guests) == [False, False, False]


def test_urgent_requests_have_room_of_their_own(crowd: Crowd) -> None:
    guests = [enter(crowd, "192.0.2.1", 0.0) for _ in range(4)]
    for guest in guests[:2]:
        crowd.answer(guest, urgent=False, now=0.0)

    assert crowd.answer(guests[2], urgent=True, now=0.0)
    guests[2].since = 0.5
    assert crowd.answer(guests[3], urgent=True, now=1.0)
    assert over(*guests) == [False, False, True, False]


def test_what_has_ended_takes_no_room(crowd: Crowd) -> None:
    guests = [enter(crowd, "192.0.2.1", 0.0) for _ in range(4)]
    crowd.leave(guests[0])

    enter(crowd, "192.0.2.1", 1.0)

    assert not any(over(*guests))
