"""The demo holds all that it claims, and leaves nothing behind."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

import pytest

from sdnapp.lab import model
from tests.netns.conftest import SDNAPP, sdnapp, traces


@pytest.fixture(autouse=True)
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the demo keeps its copy of the file."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    return tmp_path


def test_everything_that_the_demo_claims_holds(scratch: Path, name: str) -> None:
    done = sdnapp("demo", "--name", name)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "all of it held" in done.stdout
    for evidence in ("GREv0, key=0x1392", "VXLAN, flags [I] (0x08), vni 5010", "iperf Done", "type: vxlan"):
        assert evidence in done.stdout
    assert not traces(name)
    assert not list(scratch.iterdir())


def test_a_demo_that_is_kept_says_how_to_look_around(name: str) -> None:
    done = sdnapp("demo", "--keep", "--name", name)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "sdnapp lab down" in done.stdout
    assert sdnapp("lab", "ping", "--name", name).returncode == 0


def test_a_demo_that_is_interrupted_takes_its_lab_down(scratch: Path, name: str) -> None:
    with subprocess.Popen([SDNAPP, "demo", "--name", name], stdout=subprocess.PIPE, text=True) as demo:
        assert demo.stdout is not None
        while "red1 pings red2" not in demo.stdout.readline():
            pass
        demo.send_signal(signal.SIGINT)
        demo.stdout.read()

    assert demo.returncode != 0
    assert not traces(name)
    assert not model.directory(name).exists()
    assert not list(scratch.iterdir())
