"""What commands print on their way."""

from __future__ import annotations

import subprocess
import sys
from io import BytesIO, TextIOWrapper
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from rich.table import Table

from sdnapp.cli import terminal
from sdnapp.cli.lab import ordered_pairs, print_matrix
from sdnapp.cli.main import COMMANDS, main, replace_unencodable
from sdnapp.config_file import load
from sdnapp.lab.errors import LabError
from sdnapp.lab.reachability import Cell
from sdnapp.lab.status import ports
from tests.overlays import overlay

CONFIGS = Path(__file__).parents[2] / "configs"


def test_steps_are_printed_as_they_are_and_a_but_is_no_success() -> None:
    """The brackets of an IPv6 endpoint are no markup."""
    with terminal.console.capture() as captured, terminal.progress() as report:
        report("host1 is connected to tcp:[fd00:4::fe]:6653")
        report("but host1 lacks something")

    first, second = captured.get().splitlines()
    assert first.startswith("✓ host1 is connected to tcp:[fd00:4::fe]:6653 (")
    assert second.startswith("! but host1 lacks something (")


def test_a_terminal_without_unicode_gets_plain_signs() -> None:
    ascii_alone = TextIOWrapper(BytesIO(), encoding="ascii")

    replace_unencodable(ascii_alone)
    print("✓ a → b … ⌘", file=ascii_alone, flush=True)

    assert ascii_alone.buffer.getvalue() == b"+ a -> b ... ?\n"


def test_a_status_has_the_ports_that_are_nowhere_yet() -> None:
    names = [port["name"] for port in ports(load(CONFIGS / "external.yaml"))]

    assert names == ["db2", "legacy", "router", "vm1", "web2"]


def test_no_port_is_asked_to_reach_itself() -> None:
    """The ends of a trunk are several, but one port."""
    trunk = load(CONFIGS / "trunk.yaml")

    assert all(a != b for a, b in ordered_pairs(trunk, None, None))
    with pytest.raises(LabError, match="red1 to itself"):
        ordered_pairs(overlay(), "red1", "red1")


def test_a_command_that_there_is_not_is_told_what_was_meant() -> None:
    assert "No such command 'chekc'. Did you mean 'check'?" in CliRunner().invoke(main, ["chekc"]).output
    assert "No such command 'xyz'.\n" in CliRunner().invoke(main, ["xyz"]).output


def test_a_terminal_too_narrow_for_a_table_gets_fewer_columns_and_whole_words(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    table = Table("host", "datapath id", "database")
    table.add_row("host1", "0000fe00e3b18a45", "unix:/run/sdnapp/lab/name/hosts/host1/openvswitch/db.sock")
    monkeypatch.setattr(terminal.console, "width", 80)
    assert not terminal.fits(table)
    with terminal.console.capture() as captured:
        terminal.console.print(terminal.narrowed(table, "database"))
    assert "0000fe00e3b18a45" in captured.get()
    assert "database" not in captured.get()

    monkeypatch.setattr(terminal.console, "width", 160)
    assert terminal.narrowed(table, "database") is table


def test_a_matrix_that_is_too_wide_is_printed_by_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    there = load(CONFIGS / "two-hosts.yaml")
    cells = {(a, b, 4): Cell(a[0] == b[0], ()) for a in there.ports for b in there.ports if a != b}
    monkeypatch.setattr(terminal.console, "width", 30)
    with terminal.console.capture() as captured:
        print_matrix(there, cells)

    assert "red1  │ red2" in captured.get()
    assert "…" not in captured.get()


def printed(code: str) -> str:
    """What a new interpreter prints."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()[-1]


def test_help_and_completion_of_command_names_import_no_command() -> None:
    """They say what the commands themselves say."""
    context = click.Context(main)
    for name, (_, words) in COMMANDS.items():
        command = main.get_command(context, name)
        assert command is not None
        assert command.get_short_help_str(100) == words

    start = "import sys; from sdnapp.cli.main import main; main(['--help'], standalone_mode=False); "
    modules = set(printed(start + "print(*sys.modules)").split())
    assert {name for name in modules if name.startswith("sdnapp.cli.")} == {"sdnapp.cli.main"}
    assert not modules & {"pydantic", "pyroute2", "os_ken", "rich"}
    assert [item.value for item in main.shell_complete(context, "s")] == ["schema", "show"]


def test_commands_of_labs_start_without_the_library_for_netlink() -> None:
    """It takes longer to import than all else together."""
    assert printed("import sys, sdnapp.cli.lab; print('pyroute2' in sys.modules)") == "False"
