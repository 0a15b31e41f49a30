"""Hostile frames from every kind of port, of a peer and of an unknown machine, beside real services."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.attack import health
from tests.attack.arena import Arena, arena
from tests.attack.campaign import Campaign
from tests.attack.ground import KINDS
from tests.attack.services import Services
from tests.netns.conftest import Running

SEED, BATCHES, BATCH, QUERIES = 17, 4, 500, 100
GROWTH = 40 << 20
"""Bytes that the controller may need more after all attacks than after the first."""


@pytest.fixture(scope="module")
def there(bring_up: Callable[..., Running]) -> Iterator[tuple[Arena, Services]]:
    with arena(bring_up) as made, ExitStack() as stack:
        yield made, Services(made, stack)


@pytest.fixture(scope="module")
def held() -> list[int]:
    """What the controller held after each attack."""
    return []


@pytest.mark.parametrize("kind", KINDS)
def test_hostile_frames_make_nobody_believe_what_their_sender_may_not_say(
    there: tuple[Arena, Services], held: list[int], kind: str
) -> None:
    """Neither ports, kernels, DHCP clients nor listeners to groups."""
    campaign = Campaign(*there, kind, SEED)
    campaign.begin()
    campaign.queries(QUERIES)
    campaign.leases()
    for number in range(BATCHES):
        campaign.batch(range(number * BATCH, (number + 1) * BATCH))
    held.append(health.memory(there[0].running))

    assert campaign.tally.frames >= BATCHES * BATCH
    assert campaign.tally.seen > 0
    assert not campaign.tally.guilt, "\n".join(guilt.told() for guilt in campaign.tally.guilt)


def test_after_all_attacks_bridges_are_in_sync_and_the_controller_is_well(
    there: tuple[Arena, Services], held: list[int]
) -> None:
    running = there[0].running
    running.settled()

    assert list(health.problems(running)) == []
    assert held[-1] <= held[0] + GROWTH
    for port in ("strict", "far", "blue2"):
        assert "1 received" in running.run(port, "ping", "-c", "1", "-W", "5", "10.1.1.1")
