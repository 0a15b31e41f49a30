"""What the last release left on hosts is taken over: databases, flows and state, without loss.

``./run upgrade --keep`` writes that state, at each release; ``./run upgrade COMMIT`` exchanges real versions.
"""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sdnapp.lab import faults, lifecycle, model, services
from sdnapp.lab.stream import streaming
from tests.netns.conftest import Running, new_name
from tests.netns.test_loss import ages, starved
from tests.upgrade.__main__ import IN_FORCE, PAIRS, STATE


@pytest.fixture(name="running")
def _running(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Running]:
    """Hosts that boot with the databases of the last release."""

    def keep(path: Path, host: str) -> None:
        shutil.copy(STATE / f"{host}.db", path)

    monkeypatch.setattr(services, "_create_database", keep)
    running = Running(new_name())
    file = tmp_path / "overlay.yaml"
    shutil.copy(STATE / "overlay.yaml", file)
    try:
        lifecycle.up(running.name, file, print)
        yield running
    finally:
        lifecycle.down(running.name)


def restore_flows(running: Running, host: str) -> None:
    """Give a bridge the flows that it had with the last release, in place of those of this version."""
    running.run(host, "ovs-ofctl", "-O", "OpenFlow14", "--bundle", "replace-flows", "br-int",
                str(STATE / f"{host}.flows"))  # fmt: skip


def test_databases_of_the_last_release_are_left_as_they_are(running: Running) -> None:
    for host in running.lab.hosts:
        steps = running.lab.log(host, services.AGENT).read_text()
        assert "ready" in steps
        assert re.findall(r"(?:create|change|delete) +(?:bridge br-int|port) .*", steps) == []


def test_flows_of_the_last_release_stay_where_they_are_still_right(running: Running) -> None:
    lab = faults.kill_controller(running.lab)
    shutil.copy(STATE / IN_FORCE, model.directory(lab.name) / IN_FORCE)
    for host in lab.hosts:
        restore_flows(running, host)
    restored, before, lost = time.monotonic(), ages(running), starved(running)
    with streaming(lab, PAIRS) as stream:
        faults.start_controller(lab)
        running.settled()
        passed = time.monotonic() - restored
    after = ages(running)
    assert sum(count.lost for count in stream.counts()) <= starved(running) - lost
    assert all(after[flow] >= min(before[flow] + 0.5, passed) for flow in before.keys() & after.keys())
    assert len(before.keys() & after.keys()) > 0
    assert running.broken() == {}
