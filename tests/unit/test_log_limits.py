"""Log lines of one kind are limited in their rate, counted, and hide no lines of another kind."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest

from sdnapp import log
from sdnapp.throttle import OTHERS, Allowance, Rates, Subject, Suppressed, Throttle

RATES = Rates(
    kind=Allowance(3, 1.0), hosts=Allowance(20, 5.0), rest=Allowance(6, 2.0), kinds=8, names=2, period=10.0
)
HOST1: Subject = (("host", "host1"),)
HOST2: Subject = (("host", "host2"),)
INFO, WARNING = 20, 30


def passed(throttle: Throttle, subject: Subject, times: int, now: float, name: str = "bridge.up") -> int:
    """How many of so many lines at once are let through."""
    return sum(throttle.admit(name, subject, INFO, now) for _ in range(times))


def stranger(number: int) -> Subject:
    return (("dpid", f"{number:016x}"),)


def test_a_burst_passes_then_a_few_each_second() -> None:
    throttle = Throttle(RATES)

    assert passed(throttle, HOST1, 10, now=100.0) == 3
    assert passed(throttle, HOST1, 10, now=102.0) == 2
    assert passed(throttle, HOST1, 10, now=1000.0) == 3


def test_a_noisy_host_hides_no_other_one_and_no_other_event() -> None:
    throttle = Throttle(RATES)
    passed(throttle, HOST1, 1000, now=0.0)

    assert passed(throttle, HOST2, 3, now=0.0) == 3
    assert passed(throttle, HOST1, 3, now=0.0, name="bridge.down") == 3


def test_freely_chosen_subjects_have_one_allowance_together_beside_that_of_hosts() -> None:
    throttle = Throttle(RATES)

    assert sum(passed(throttle, stranger(n), 1, now=0.0) for n in range(100_000)) == 6
    assert passed(throttle, HOST1, 3, now=0.0) == 3


def test_the_rest_is_told_once_after_a_period_with_the_worst_severity_and_the_commonest_subject() -> None:
    throttle = Throttle(RATES)
    passed(throttle, HOST1, 13, now=0.0)
    throttle.admit("bridge.up", HOST1, WARNING, 1.0)
    passed(throttle, HOST1, 1, now=1.0)
    passed(throttle, HOST2, 4, now=1.0)

    assert not list(throttle.due(9.9))
    assert list(throttle.due(10.0)) == [Suppressed("bridge.up", 12, 10.0, INFO, HOST1, 11)]
    assert not list(throttle.due(1000.0))


def test_a_suppressed_warning_is_told_as_a_warning() -> None:
    throttle = Throttle(RATES)
    passed(throttle, HOST1, 4, now=0.0)
    throttle.admit("bridge.up", HOST1, WARNING, 0.0)

    (told,) = throttle.due(0.0, ending=True)

    assert (told.lines, told.severity) == (2, WARNING)


def test_what_it_remembers_is_bounded() -> None:
    """Names and subjects are free to choose for libraries and for those that connect."""
    throttle = Throttle(RATES)
    for number in range(10_000):
        throttle.admit(f"name {number}", stranger(number), INFO, 0.0)

    told = list(throttle.due(10.0))

    assert [each.name for each in told] == [OTHERS]
    assert len(throttle._kinds) <= RATES.kinds
    assert len(throttle._names) <= 2 * (RATES.names + 1)


class Lines(logging.Handler):
    """Keeps what passes."""

    def __init__(self, limiter: log.Limiter) -> None:
        super().__init__()
        self.addFilter(limiter)
        self.lines: list[tuple[str, int, dict[str, Any]]] = []

    def emit(self, record: logging.LogRecord) -> None:
        fields: dict[str, Any] = getattr(record, "fields", {})
        self.lines.append((record.getMessage(), record.levelno, fields))

    def of(self, name: str) -> list[dict[str, Any]]:
        return [fields for event, _, fields in self.lines if event == name]


@pytest.fixture
def limiter() -> log.Limiter:
    return log.Limiter(RATES)


@pytest.fixture
def lines(limiter: log.Limiter) -> Iterator[Lines]:
    handler = Lines(limiter)
    log.LOG.addHandler(handler)
    before = log.LOG.level
    log.LOG.setLevel(logging.DEBUG)
    yield handler
    log.LOG.setLevel(before)
    log.LOG.removeHandler(handler)


def test_ports_of_tcp_do_not_tell_connections_of_one_address_apart(
    limiter: log.Limiter, lines: Lines
) -> None:
    for number in range(100):
        log.event(log.LOG, "bridge.unauthorized", address=f"192.0.2.1:{number}")
        log.event(log.LOG, "connection.ended", address=f"[2001:db8::1]:{number}")
    limiter.tell(ending=True)

    assert len(lines.of("bridge.unauthorized")) == len(lines.of("connection.ended")) == 3
    told = {fields["of"]: (fields["suppressed"], fields["most"]) for fields in lines.of(log.SUPPRESSED)}
    assert told == {
        "bridge.unauthorized": (97, "97 about address=192.0.2.1"),
        "connection.ended": (97, "97 about address=2001:db8::1"),
    }


def test_tracebacks_count_by_their_event_and_cost_nothing_when_held_back(
    limiter: log.Limiter, lines: Lines
) -> None:
    for number in range(50):
        try:
            raise ValueError(number)
        except ValueError:
            log.LOG.exception("handler.failed", extra={"fields": {"handler": "on_report"}})
        log.LOG.error("library: uncaught exception: %s", number)
    limiter.tell(ending=True)

    assert len(lines.of("handler.failed")) == 3
    assert sum(name.startswith("library") for name, _, _ in lines.lines) == 3
    assert {level for name, level, _ in lines.lines if name == log.SUPPRESSED} == {logging.ERROR}


def test_lines_for_those_that_look_for_a_fault_and_the_last_word_of_a_process_pass(lines: Lines) -> None:
    for _ in range(50):
        log.event(log.LOG, "location.learned", level=logging.DEBUG, host="host1")
        log.event(log.LOG, "controller.hangs", level=logging.CRITICAL)

    assert len(lines.of("location.learned")) == len(lines.of("controller.hangs")) == 50
