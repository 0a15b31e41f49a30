"""What others say reaches no terminal, log or REST text as a control character."""

from __future__ import annotations

import json
import logging
import sys
from struct import pack
from types import SimpleNamespace
from typing import Any

import click
import os_ken.base.app_manager  # noqa: F401  # the connection's module wants to be imported after it
import pytest
from click.testing import CliRunner
from os_ken.lib import ofctl_v1_3
from os_ken.ofproto import ofproto_v1_3_parser as parser
from rich.table import Table

from sdnapp import log
from sdnapp.cli import main, terminal
from sdnapp.cli.output import echo
from sdnapp.cli.show import _row, titled
from sdnapp.openflow import ondemand
from sdnapp.printable import printable, printable_lines

HOSTILE = [
    "\x1b[2J\x1b]0;pwned\x07",
    "veth0\n2026-12-01 00:00:00.000 INFO bridge.up host=host1",
    "\x9b31mred",
    "user\u202etxt.exe",
    "zero\u200bwidth\u2066",
    b"no \xff\xfe utf-8".decode("utf-8", "surrogateescape"),
    "tab\tbell\x07nul\0del\x7f",
    "line\u2028separator\r",
]


def is_safe(text: str, *, lines: bool = False) -> bool:
    return all(sign.isprintable() or (lines and sign == "\n") for sign in text)


@pytest.mark.parametrize("text", HOSTILE)
def test_what_is_not_printable_is_escaped_and_told_apart(text: str) -> None:
    assert is_safe(printable(text))
    assert is_safe(printable_lines(text), lines=True)
    assert printable("Zürich → 東京 ✓ port-1") == "Zürich → 東京 ✓ port-1"
    assert printable("\x1b\x9b\u202e\udcff") == "\\x1b\\x9b\\u202e\\udcff"


def record(message: str, **fields: Any) -> logging.LogRecord:
    try:
        raise KeyError(message)
    except KeyError:
        made = logging.LogRecord("os_ken", logging.ERROR, "", 0, message, (), sys.exc_info())
    made.fields = fields
    return made


@pytest.mark.parametrize("form", [log.TextFormatter(), log.JsonFormatter()], ids=["text", "json"])
@pytest.mark.parametrize("text", HOSTILE)
def test_a_log_has_no_control_characters_and_no_line_of_others(form: logging.Formatter, text: str) -> None:
    """Neither in fields, nor in a message of a library, nor in a traceback, whose lines are indented."""
    said = form.format(record(text, port=text))

    assert is_safe(said, lines=True)
    first, *traceback = said.split("\n")
    assert all(line.startswith("  ") for line in traceback)
    assert "bridge.up" not in first.split("host=")[-1].split()


def test_a_field_is_quoted_so_that_it_can_be_read_back() -> None:
    (_, quoted) = log.TextFormatter().format(record("x", port=HOSTILE[0])).split("\n")[0].split(" port=")

    assert json.loads(quoted) == HOSTILE[0]


@pytest.mark.parametrize("text", HOSTILE)
def test_a_terminal_is_told_nothing_by_others(text: str) -> None:
    console = terminal.screen()
    with console.capture() as captured:
        console.print(text, markup=False)
        table = Table(text)
        table.add_row(terminal.escape(text))
        console.print(table)
        shown = titled("Ports", "port")
        _row(shown, text)
        _row(shown, [text, text])
        console.print(shown)

    assert is_safe(captured.get(), lines=True)


def test_signs_of_rich_itself_stay() -> None:
    console = terminal.screen()
    console._color_system = None
    with console.capture() as captured:
        console.print("[bold]✓[/] reached")

    assert captured.get() == "✓ reached\n"


@pytest.mark.parametrize("text", HOSTILE)
def test_commands_print_nothing_of_others_raw(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither what they say, nor the error that they end with."""

    @click.command()
    def command() -> None:
        echo(text)
        raise click.ClickException(f"no controller answers: {text}")

    monkeypatch.setattr(main.Commands, "get_command", lambda *_: command)
    result = CliRunner().invoke(main.main, ["show"])

    assert result.exit_code == 1
    assert is_safe(result.output, lines=True)
    assert "Error: no controller answers" in result.output


def test_rest_describes_a_bridge_by_any_text() -> None:
    """``other_config:dp-desc`` may be UTF-8, and another switch may send what is none."""
    ondemand.install()
    described = [b"Zurich", "Zürich".encode(), b"\x1b[2J\xff", b"", "\x9b\u202e".encode()]
    text = pack("!256s256s256s32s256s", *described)
    body = parser.OFPDescStatsReply.cls_stats_body_cls.parser(text, 0)

    def send(message: Any) -> None:
        done, replies = waiters[5][message.xid]
        replies.append(SimpleNamespace(body=body))
        done.set()

    waiters: dict[int, Any] = {}
    datapath = SimpleNamespace(id=5, ofproto_parser=parser, set_xid=lambda m: m.set_xid(1), send_msg=send)

    said = ofctl_v1_3.get_desc_stats(datapath, waiters)

    assert said["5"]["hw_desc"] == "Zürich"
