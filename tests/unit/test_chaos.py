"""What a run of ./run chaos does follows from its seed alone, and every file that it writes is a good one."""

from __future__ import annotations

from itertools import islice

import pytest

from sdnapp.config import parse
from sdnapp.lab.packet_loss import Count
from sdnapp.net.build import build
from tests.chaos.catalogue import FAULTS
from tests.chaos.document import HOSTS, STREAMS, text
from tests.chaos.plan import randomness, steps, variant
from tests.chaos.scope import Scope, of_host
from tests.overlays import overlay

PARTS = {name: fault.part for name, fault in FAULTS.items()}


@pytest.mark.parametrize("seed", range(6))
def test_a_seed_says_what_is_done(seed: int) -> None:
    first, again = (list(islice(steps(seed, PARTS), 30)) for _ in range(2))

    assert first == again
    assert [randomness(seed, step).random() for step in first] == [
        randomness(seed, step).random() for step in again
    ]


@pytest.mark.parametrize("seed", range(4))
def test_every_file_of_a_run_is_good_and_has_all_streams(seed: int) -> None:
    for step in islice(steps(seed, PARTS), 25):
        made = build(parse(text(step.after).encode(), "chaos"))
        assert set(HOSTS) <= made.hosts.keys()
        assert {port for pair in STREAMS for port in pair} <= made.ports.keys()
        assert made.controller.per_host is not variant(seed).central


def test_all_faults_and_changes_come_up() -> None:
    done = list(islice(steps(1, PARTS), 300))

    assert {name for step in done for name in step.faults} == set(FAULTS)
    assert len({step.change.name.split()[0] for step in done if step.change}) > 8


def test_faults_of_one_part_are_never_together() -> None:
    for step in islice(steps(2, PARTS), 200):
        parts = [PARTS[name] for name in step.faults]
        assert len(set(parts)) == len(parts)
        assert step.change is None or "file" not in parts


def test_packets_may_be_lost_where_a_fault_is_and_nowhere_else() -> None:
    made = overlay()
    red, blue = (
        Count(a, b, sent=9, received=8, overrun=0, gap_ms=1, duplicates=0, reordered=0)
        for a, b in (("red1", "red2"), ("blue1", "blue2"))
    )

    assert of_host("", "host1").covers(red, made)
    assert Scope("", ports=frozenset(["red2"])).covers(red, made)
    assert not Scope("", ports=frozenset(["red2"])).covers(blue, made)
    assert not Scope("controller killed").covers(red, made)
    assert Scope("", everything=True).covers(blue, made)
