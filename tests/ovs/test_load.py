"""Beside what only burdens the controller, an honest bridge is served as before, and all ends with it.

``./run bench load`` prints the figures.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.ovs.load import Scene, scene

SECONDS = 2.0
ECHO = 0.05
"""Seconds that an echo may take, without the time in which the machine had no processor for it."""
MEMORY, BACK = 50e6, 25e6
"""Bytes by which the controller may grow, and that the interpreter may keep for later."""


@pytest.fixture(scope="module", params=["eventlet", "native"])
def on(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with scene(tmp_path_factory.mktemp("load"), request.param) as made:
        yield made


@pytest.mark.parametrize("assault", ["silent", "unknown", "packet_ins", "endless", "garbage"])
def test_an_honest_bridge_is_served_beside_an_assault_and_all_is_released(on: Scene, assault: str) -> None:
    load = on.suffer(assault, SECONDS)

    assert load.echo(0.95).own < ECHO
    assert load.received == load.sent > 0
    assert load.grown < MEMORY
    assert load.left < BACK
    assert max(load.files, load.threads, load.greenlets) <= 0, load
    assert on.in_sync("host1", "host2")
