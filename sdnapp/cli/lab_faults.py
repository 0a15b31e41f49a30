"""``sdnapp lab stream`` and faults: processes end and restart, a port moves."""

from __future__ import annotations

import json
import time
from contextlib import nullcontext, suppress
from dataclasses import asdict

import click
from rich.table import Table

from sdnapp.cli.terminal import console, escape, interrupted_by_sigterm, name_option, on_labs, overlay_of
from sdnapp.lab import faults, model
from sdnapp.lab.errors import LabError
from sdnapp.lab.migrate import move as move_port
from sdnapp.lab.packet_loss import Count
from sdnapp.lab.stream import Stream, streaming

LOOK = 0.5
"""Seconds between two looks at a stream."""


@click.command()
@click.argument("a", metavar="A")
@click.argument("b", metavar="B")
@name_option
@click.option("--rate", type=click.IntRange(1, 20_000), default=1000, show_default=True, help="Packets/s.")
@click.option("--seconds", type=click.FloatRange(min=0.1), help="How long; default: until Ctrl-C.")
@click.option("--both/--one-way", default=True, show_default=True, help="From B to A as well.")
@click.option("--json", "as_json", is_flag=True, help="As one JSON document.")
def stream(a: str, b: str, name: str, rate: int, seconds: float | None, *, both: bool, as_json: bool) -> None:
    """Send packets between ports A and B, and count the lost ones.

    They are numbered, over UDP, and follow a port that moves. Exit status 1 if something was lost.
    """
    pairs = [(a, b), (b, a)] if both else [(a, b)]
    with on_labs():
        there = model.read(name)
        overlay_of(there)
        try:
            with streaming(there, pairs, rate) as flow:
                with suppress(KeyboardInterrupt), interrupted_by_sigterm():
                    _watch(flow, seconds)
                flow.stop()
                counts = flow.counts()
        except KeyboardInterrupt:
            raise LabError("ended before a packet came through each way: nothing was counted") from None
    if as_json:
        click.echo(json.dumps([{**asdict(count), "lost": count.lost} for count in counts], indent=2))
    else:
        _print_counts(counts)
    raise SystemExit(any(count.lost for count in counts))


def _watch(flow: Stream, seconds: float | None) -> None:
    """Wait so long, or without end; on a terminal a line shows meanwhile what was sent and is missing."""
    end = None if seconds is None else time.monotonic() + seconds
    shown = console.status("") if console.is_terminal else nullcontext()
    with shown as line:
        while end is None or time.monotonic() < end:
            left = LOOK if end is None else max(0.0, end - time.monotonic())
            time.sleep(min(LOOK, left))
            if line is not None:
                line.update(", ".join(_so_far(*each) for each in flow.missing.items()))


def _so_far(direction: tuple[str, str], counted: tuple[int, int]) -> str:
    return f"{escape(' → '.join(direction))}: {counted[0]} sent, {counted[1]} not there"


@click.group()
def controller() -> None:
    """Stop, kill or start the controller."""


@controller.command(name="stop")
@name_option
def controller_stop(name: str) -> None:
    """End it with SIGTERM, as a service manager does."""
    with on_labs():
        faults.stop_controller(model.read(name))


@controller.command(name="kill")
@name_option
def controller_kill(name: str) -> None:
    """End it with SIGKILL."""
    with on_labs():
        faults.kill_controller(model.read(name))


@controller.command(name="start")
@name_option
def controller_start(name: str) -> None:
    """Start it again."""
    with on_labs():
        there = faults.start_controller(model.read(name))
    console.print(f"REST answers at {there.rest}")


@click.group()
def vswitchd() -> None:
    """Kill or start the switch daemon of a host."""


@vswitchd.command(name="kill")
@click.argument("host")
@name_option
def vswitchd_kill(host: str, name: str) -> None:
    """End ovs-vswitchd of HOST with SIGKILL.

    Its userspace datapath ends with it.
    """
    with on_labs():
        faults.kill_switch(model.read(name), host)


@vswitchd.command(name="start")
@click.argument("host")
@name_option
def vswitchd_start(host: str, name: str) -> None:
    """Start ovs-vswitchd of HOST again."""
    with on_labs():
        faults.start_switch(model.read(name), host)


@click.group()
def agent() -> None:
    """Kill or start the agent of a host, which provisions it."""


@agent.command(name="kill")
@click.argument("host")
@name_option
def agent_kill(host: str, name: str) -> None:
    """End the agent of HOST with SIGKILL."""
    with on_labs():
        faults.kill_agent(model.read(name), host)


@agent.command(name="start")
@click.argument("host")
@name_option
def agent_start(host: str, name: str) -> None:
    """Start the agent of HOST again."""
    with on_labs():
        faults.start_agent(model.read(name), host)


@click.group()
def ovsdb() -> None:
    """Restart the OVSDB server of a host."""


@ovsdb.command(name="restart")
@click.argument("host")
@name_option
def ovsdb_restart(host: str, name: str) -> None:
    """End ovsdb-server of HOST, and start it again.

    With SIGTERM, and on the same database.
    """
    with on_labs():
        faults.restart_database(model.read(name), host)


@click.command()
@click.argument("port")
@click.argument("host")
@name_option
def move(port: str, host: str, name: str) -> None:
    """Have PORT live on HOST, as a live migration would.

    The lab's file is changed, the rest follows.
    """
    began = time.monotonic()
    with on_labs():
        move_port(model.read(name), port, host)
    console.print(f"{port} is on {host} after {time.monotonic() - began:.2f} s")


def _print_counts(counts: tuple[Count, ...]) -> None:
    table = Table("from", "to", "sent", "received", "lost", "longest gap", "twice", "out of order", "overrun")
    for count in counts:
        ends = (count.source, count.destination)
        figures = (count.sent, count.received, count.lost, f"{count.gap_ms:.1f} ms")
        table.add_row(*ends, *map(str, (*figures, count.duplicates, count.reordered, count.overrun)))
    console.print(table)
    if any(count.overrun for count in counts):
        console.print("overrun: arrived, but this machine was too slow to take them")
