"""``sdnapp check`` and ``sdnapp schema``, as a person runs them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

CONFIGS = Path(__file__).parents[2] / "configs"


def sdnapp(*arguments: str | bytes, data: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-c", "from sdnapp.cli.main import main; main()", *arguments]
    return subprocess.run(command, input=data, capture_output=True, timeout=30, check=False)


def test_a_valid_file_is_summed_up() -> None:
    done = sdnapp("check", str(CONFIGS / "two-hosts.yaml"))

    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.decode().endswith("two-hosts.yaml: 2 tenants, 2 networks, 2 hosts, 4 ports\n")


def test_every_problem_has_its_line_and_their_number_comes_last() -> None:
    done = sdnapp("check", str(CONFIGS / "minimal.yaml"), str(CONFIGS / "broken" / "all-at-once.yaml"))
    good, *bad, count = done.stdout.decode().splitlines()

    assert (done.returncode, done.stderr, count) == (2, b"", "5 problems")
    assert good.endswith("2 ports")
    assert [line.split("all-at-once.yaml:")[1].split(":")[0] for line in bad] == ["6", "11", "14", "16", "17"]


def test_standard_input() -> None:
    assert sdnapp("check", "-", data=(CONFIGS / "minimal.yaml").read_bytes()).returncode == 0
    assert sdnapp("check", "-", data=b"tenants: [").stdout.startswith(b"<stdin>:2:1: this is not YAML")


@pytest.mark.parametrize("name", [b"nowhere.yaml", b"", b"\xff\xfe", b".", b"fifo", b"binary", b"secret/x"])
def test_whatever_is_no_file_is_refused_in_one_line(name: bytes, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "binary").write_bytes(bytes(range(256)) * 100)
    (tmp_path / "secret").write_text("")
    done = sdnapp("check", os.path.join(os.fsencode(tmp_path), name))

    assert (done.returncode, done.stderr) == (2, b"")
    assert len(done.stdout.decode().splitlines()) == 2
    assert done.stdout.endswith(b"1 problem\n")


def test_unreadable_file() -> None:
    """Root may read everything, so look at it as nobody."""
    code = """if True:
        import os
        from sdnapp.cli.check import check  # before the checkout may be out of reach
        if os.geteuid() == 0:
            os.setgroups([]), os.setgid(65534), os.setuid(65534)
        check()
    """
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "overlay.yaml")
        path.touch(mode=0)
        Path(directory).chmod(0o755)
        done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, check=False)

    assert done.returncode == 2
    assert done.stdout.startswith(f"{path}:1:1: cannot read the file: permission denied.")


def test_schema_prints_json() -> None:
    assert json.loads(sdnapp("schema").stdout)["$schema"].endswith("2020-12/schema")
