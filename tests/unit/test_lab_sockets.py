"""The room that frames wait in is the machine's, and as it was before when the last lab is gone."""

from __future__ import annotations

from pathlib import Path

import pytest

from sdnapp.lab import sockets


@pytest.fixture
def setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(sockets, "SETTING", tmp_path / "rmem_default")
    monkeypatch.setattr(sockets, "_BEFORE", tmp_path / "before")
    sockets.SETTING.write_text("212992\n")
    return sockets.SETTING


def after(*labs: str) -> None:
    sockets.raise_rmem(lambda: labs)


def test_the_first_lab_makes_room_and_the_last_one_gives_it_back(setting: Path) -> None:
    after("a")
    assert int(setting.read_text()) == sockets.ROOM
    after("a", "b")
    after("b")
    assert int(setting.read_text()) == sockets.ROOM
    after()
    assert int(setting.read_text()) == 212992
    after("c")
    after()
    assert int(setting.read_text()) == 212992


def test_what_somebody_else_has_chosen_meanwhile_stays(setting: Path) -> None:
    after("a")
    setting.write_text("300000")
    after()
    assert setting.read_text() == "300000"


def test_a_machine_with_more_room_stays_as_it_is(setting: Path) -> None:
    setting.write_text(str(2 * sockets.ROOM))
    after("a")
    after()
    assert int(setting.read_text()) == 2 * sockets.ROOM


def test_a_machine_that_does_not_let_us_is_no_obstacle(setting: Path) -> None:
    setting.unlink()
    setting.mkdir()
    after("a")
    after()
