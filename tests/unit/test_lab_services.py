"""What a lab says of a service that does not start."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from sdnapp.lab.services import tail


def test_a_log_is_shown_by_its_last_lines(tmp_path: Path) -> None:
    log = tmp_path / "host1.ovsdb-server.log"
    log.write_text("one\ntwo\nthree\n")

    assert tail(log, lines=2) == "  host1.ovsdb-server.log:\n  two\n  three"


@pytest.mark.parametrize(("free", "said"), [(1, "(empty)"), (0, "(empty: no space is left in {})")])
def test_an_empty_log_says_if_there_was_no_space_for_it(
    free: int, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=free))

    assert tail(tmp_path / "log" / "a.log").splitlines()[1].strip() == said.format(tmp_path)
