"""Manual pages, made from what the commands say of themselves (man(7), man-pages(7))."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

import click

_OSKEN_MANAGER = """\
.TH OSKEN-MANAGER 1 "" "sdnapp {version}" "sdnapp"
.SH NAME
osken-manager \\- run os-ken applications, such as the controller of sdnapp
.SH SYNOPSIS
.B osken-manager sdnapp.overlay
[\\fIOPTIONS\\fR]
.SH DESCRIPTION
Starts os-ken and the applications that are named. sdnapp.overlay is the OpenFlow controller of sdnapp.
SIGHUP makes it read its file again; SIGTERM and SIGINT end it.
Exit status 2: the command line, the file or a port does not let it start.
.SH OPTIONS
.TP
.BI \\-\\-overlay\\-config " FILE"
The file of the overlay. Default: $SDNAPP_CONFIG, otherwise /etc/sdnapp/overlay.yaml.
.TP
.BI \\-\\-state\\-dir " DIRECTORY"
Keep the overlay that is in force here, for the next start. Default: the StateDirectory of the systemd unit.
.TP
.BR \\-\\-log\\-format " text|json"
One line an event, as text or as JSON.
.TP
.BI \\-\\-pid\\-file " FILE"
Write the process id here once all is started.
.TP
.B \\-\\-verbose
Show debug output.
.SH ENVIRONMENT
.TP
.B OSKEN_HUB_TYPE
eventlet (default) or native: what its tasks run on.
.SH SEE ALSO
.BR sdnapp (1),
.BR sdnapp\\-controller (1)
"""


def pages(main: click.Command, version: str) -> Mapping[str, str]:
    """Return the manual pages by file name: one of the program, one of each command, one of osken-manager."""
    context = click.Context(main, info_name="sdnapp")
    found = {"osken-manager.1": _OSKEN_MANAGER.format(version=version)}
    commands = list(_commands(main, context))
    others = ["sdnapp", *(f"sdnapp-{context.info_name}" for _, context in commands)]
    for command, below in ((main, context), *commands):
        name = below.command_path.replace(" ", "-")
        found[f"{name}.1"] = _page(command, below, name, version, others)
    return found


def _commands(
    command: click.Command, context: click.Context
) -> Iterator[tuple[click.Command, click.Context]]:
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            assert below is not None
            yield below, click.Context(below, parent=context, info_name=name)


def _page(command: click.Command, context: click.Context, name: str, version: str, others: list[str]) -> str:
    lines = [
        f'.TH {name.upper()} 1 "" "sdnapp {version}" "sdnapp"',
        *(".SH NAME", f"{_text(name)} \\- {_text(command.get_short_help_str(200).rstrip('.'))}"),
        *(".SH SYNOPSIS", *_synopsis(command, context)),
        *(".SH DESCRIPTION", *_description(command)),
        *_options(command, context),
    ]
    if isinstance(command, click.Group):
        lines.append(".SH COMMANDS")
        for below, under in _leaves(command, context):
            lines += [
                ".SS " + _text(under.command_path),
                *_synopsis(below, under),
                ".PP",
                *_description(below),
            ]
            if context.parent is not None:
                lines += _options(below, under, heading=False)
    lines.append(".SH SEE ALSO")
    lines.append(
        ",\n".join(f".BR {_text(other)} (1)" for other in others if other != name).replace("(1),", "(1),")
    )
    return "\n".join(lines) + "\n"


def _leaves(command: click.Command, context: click.Context) -> Iterator[tuple[click.Command, click.Context]]:
    """Yield the commands below a group, with those of its groups in place of these but on the first page."""
    for below, under in _commands(command, context):
        if isinstance(below, click.Group) and context.parent is not None:
            yield from _leaves(below, under)
        else:
            yield below, under


def _synopsis(command: click.Command, context: click.Context) -> list[str]:
    return [f"\\fB{_text(context.command_path)}\\fR {_text(' '.join(command.collect_usage_pieces(context)))}"]


def _description(command: click.Command) -> list[str]:
    paragraphs = re.split(r"\n\s*\n", (command.help or "").replace("\b\n", "").strip())
    return "\n.PP\n".join(_text(" ".join(paragraph.split())) for paragraph in paragraphs).split("\n")


def _options(command: click.Command, context: click.Context, *, heading: bool = True) -> list[str]:
    records = [parameter.get_help_record(context) for parameter in command.get_params(context)]
    lines = [".SH OPTIONS"] if heading else []
    for record in records:
        if record is None or not record[1]:  # an argument without words of its own
            continue
        lines += [".TP", f"\\fB{_text(record[0])}\\fR", _text(record[1])]
    return lines


def _text(words: str) -> str:
    """Return words that mean themselves to groff."""
    plain = words.replace("\\", "\\e").replace("-", "\\-")
    return "\\&" + plain if plain.startswith((".", "'")) else plain
