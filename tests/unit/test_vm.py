"""``./run vm`` on a machine that lacks what it needs, and what it writes down."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.vm.__main__ import Results

ROOT = Path(__file__).parents[2]


def test_a_machine_without_qemu_is_told_what_to_install(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.vm"],
        cwd=ROOT,
        env={**os.environ, "PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 2
    assert done.stderr.startswith("vm: please install ")
    assert {"qemu-system-x86", "mmdebstrap", "e2fsprogs", "openssh-client"} <= set(done.stderr.split())


@pytest.mark.parametrize("outcome", ["passed", "failed"])
def test_the_document_has_a_row_for_each_test_with_its_outcome(outcome: str) -> None:
    results = Results()
    results.rows.append(("tenants talk (gre-4)", outcome, 12.4))

    assert f"| tenants talk (gre-4) | {outcome} | 12 |\n" in results.document()
