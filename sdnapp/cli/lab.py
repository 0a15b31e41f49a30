"""``sdnapp lab``: real hosts on one machine, from the terminal."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import permutations
from pathlib import Path
from typing import Any, NoReturn

import click
from rich.table import Table

from sdnapp.cli.lab_faults import agent, controller, move, ovsdb, stream, vswitchd
from sdnapp.cli.terminal import (
    console,
    fits,
    interrupted_by_sigterm,
    name_option,
    narrowed,
    on_labs,
    overlay_of,
    progress,
)
from sdnapp.lab import lifecycle, model, services
from sdnapp.lab.errors import LabError
from sdnapp.lab.faults import machine_of
from sdnapp.lab.machine import Machine, environment, inside
from sdnapp.lab.ping import measure
from sdnapp.lab.reachability import Cell, endpoints
from sdnapp.lab.status import status as look
from sdnapp.net.model import Overlay


@click.group()
def lab() -> None:
    """Run real hosts on this machine.

    Each is a set of namespaces with an Open vSwitch of its own.
    """


for _command in (stream, controller, agent, vswitchd, ovsdb, move):
    lab.add_command(_command)


@lab.command()
@click.argument("file", type=click.Path(path_type=Path))
@name_option
def up(file: Path, name: str) -> None:
    """Bring up the hosts of FILE and its controller.

    Ends when all is ready: every host provisioned, connected and in sync.
    """
    began = time.monotonic()
    with on_labs(), interrupted_by_sigterm(), progress() as report:
        there = lifecycle.up(name, file, report)
    console.print(f"ready after {time.monotonic() - began:.1f} s. REST answers at {there.rest}")
    option = "" if name == "lab" else f" --name {name}"
    for command in ("status", "ping", f"exec{option} {next(iter(there.hosts))} -- ovs-vsctl show", "down"):
        console.print(f"  sdnapp lab {command}{'' if ' ' in command else option}")


@lab.command()
@name_option
@click.option("--json", "as_json", is_flag=True, help="As one JSON document.")
def status(name: str, as_json: bool) -> None:
    """Show hosts, ports and the controller of a lab."""
    with on_labs():
        seen = look(model.read(name))
    if as_json:
        click.echo(json.dumps(seen, indent=2))
    else:
        _print_status(seen)


@lab.command(name="exec", context_settings={"ignore_unknown_options": True})
@name_option
@click.argument("where", metavar="NAME")
@click.argument("command", nargs=-1, type=click.UNPROCESSED, required=True)
def execute(name: str, where: str, command: Sequence[str]) -> None:
    """Run COMMAND on host NAME, or in the namespace of port NAME."""
    with on_labs():
        there = model.read(name)
        if where in there.hosts:
            _become(there.hosts[where], command)
        overlay = overlay_of(there)
        port = overlay.ports.get(where)
        if port is None:
            known = ", ".join([*there.hosts, *overlay.ports])
            raise LabError(f"no host or port named '{where}' in lab '{name}'; there is {known}")
        if port.namespace is None:
            raise LabError(f"port {where} is external: it has no namespace of the lab's making")
        _become(machine_of(there, port.host), command, namespace=port.namespace)


@lab.command()
@name_option
@click.argument("source", metavar="[A", required=False)
@click.argument("destination", metavar="B]", required=False)
def ping(name: str, source: str | None, destination: str | None) -> None:
    """Probe every pair of ports, or from A to B.

    Compares with what the file configures. Exit status 1 if a result is unexpected or nothing can answer.
    """
    with on_labs():
        there = model.read(name)
        overlay = overlay_of(there)
        pairs = ordered_pairs(overlay, source, destination)
        cells = measure(there, overlay, pairs)
        if not cells:
            raise LabError("nothing to probe: no two ports in namespaces have addresses of one IP version")
        print_matrix(overlay, cells)
    broken = [(cell, words) for cell, what in sorted(cells.items()) for words in what.failures]
    unanswered = [(cell, words) for cell, what in sorted(cells.items()) for words in what.unanswered]
    for (a, b, version), words in (*broken, *unanswered):
        console.print(f"{a} → {b}, IPv{version}: {words}", markup=False)
    kept = sum(not cell.failures for cell in cells.values())
    console.print(f"reachability: {kept} of {len(cells)} as expected")
    raise SystemExit(1 if broken or unanswered else 0)


@lab.command(context_settings={"ignore_unknown_options": True})
@name_option
@click.argument("host")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="[-- TCPDUMP ARGUMENTS]")
def capture(name: str, host: str, arguments: Sequence[str]) -> None:
    """Run tcpdump on the underlay device of HOST."""
    with on_labs():
        services.require("tcpdump")
        there = model.read(name)
        machine = machine_of(there, host)
        _become(machine, ["tcpdump", "-n", "-i", there.uplinks[host], *arguments])


@lab.command()
@name_option
@click.option("--all", "every", is_flag=True, help="Every lab of this machine.")
def down(name: str, every: bool) -> None:
    """Take a lab down, whatever state it is in."""
    with on_labs():
        for one in model.names() if every else (name,):
            if not model.directory(one).exists():
                console.print(f"no lab named '{one}' is up")
            lifecycle.down(one)


@lab.command(name="list")
def list_labs() -> None:
    """List the labs of this machine."""
    for name in model.names():
        try:
            there = model.read(name)
            state = "up" if model.running(there) else "crashed"
            click.echo(f"{name}  {state}  {there.file}  {there.rest}")
        except LabError:
            click.echo(f"{name}  incomplete")


def print_matrix(overlay: Overlay, cells: dict[tuple[str, str, int], Cell]) -> None:
    """Print the reachability matrix of each IP version."""
    for version in sorted({version for _, _, version in cells}):
        shown = {(a, b): cell for (a, b, v), cell in cells.items() if v == version}
        names = [port for port in overlay.ports if any(port in pair for pair in shown)]
        table = Table("from \\ to", *names, title=f"IPv{version}", title_justify="left")
        for a in names:
            table.add_row(a, *(_mark(shown.get((a, b))) for b in names))
        console.print(table if fits(table) else _rows(f"IPv{version}", names, shown))
    legend = "✓ reached, as expected   · isolated, as expected   ✗ unexpected"
    silent = any(cell.unanswered for cell in cells.values())
    console.print(f"{legend}   ○ arrives, cannot be answered" if silent else legend)


def _rows(title: str, names: Sequence[str], cells: Mapping[tuple[str, str], Cell]) -> Table:
    """The matrix by rows, for narrow terminals: for each port those that it reached, as expected."""
    table = Table("from", "reached", "wrong", title=title, title_justify="left")
    for a in names:
        row = {b: cell for b in names if (cell := cells.get((a, b))) is not None}
        reached = (b for b, cell in row.items() if cell.expected and not cell.failures)
        table.add_row(a, ", ".join(reached) or "-", ", ".join(b for b, cell in row.items() if cell.failures))
    return table


def _mark(cell: Cell | None) -> str:
    if cell is None:
        return ""
    if cell.failures:
        return "[bold red]✗[/]"
    if cell.unanswered:
        return "[yellow]○[/]"
    return "[green]✓[/]" if cell.expected else "[dim]·[/]"


def ordered_pairs(overlay: Overlay, source: str | None, destination: str | None) -> set[tuple[str, str]]:
    """Return the pairs of different ports to probe: all, or the one that was asked for."""
    probed = {end.port for end in endpoints(overlay)}
    if source is None:
        return set(permutations(probed, 2))
    if destination is None:
        raise LabError(f"from {source} to which port? sdnapp lab ping {source} B")
    if source == destination:
        raise LabError(f"from {source} to itself? Name two ports")
    for port in (source, destination):
        if port not in probed:
            raise LabError(f"no port named '{port}' that can be probed; there is {', '.join(sorted(probed))}")
    return {(source, destination)}


def _become(machine: Machine, command: Sequence[str], *, namespace: str | None = None) -> NoReturn:
    """Replace this process by a command in a machine, in our directory; its exit code becomes ours."""
    here = ["env", f"--chdir={os.getcwd()}", "--", *command]
    line = inside(machine, here, namespace=namespace)
    os.execvpe(line[0], line, environment())


_START = {
    services.CONTROLLER: "sdnapp lab controller start",
    services.AGENT: "sdnapp lab agent start {}",
    services.VSWITCHD: "sdnapp lab vswitchd start {}",
    services.OVSDB: "sdnapp lab ovsdb restart {}",
}


def _ended(seen: dict[str, Any]) -> Iterator[str]:
    """A line for each process of the lab that has ended, with the command that starts it."""
    for machine in ({"name": "controller", **seen["controller"]}, *seen["hosts"]):
        for process, pid in machine["processes"].items():
            if pid is None:
                command = _START[process].format(machine["name"])
                yield f"{process} of {machine['name']} has ended. Start it: {command}"


def _print_status(seen: dict[str, Any]) -> None:
    console.print(f"lab {seen['name']}, following {seen['file']}", markup=False)
    console.print(f"controller pid {seen['controller']['processes'].get('controller')}, REST {seen['rest']}")
    if seen["problem"]:
        console.print(seen["problem"], style="red", markup=False)
    reports = [f"{host['name']}: {host['problems']}" for host in seen["hosts"] if host["problems"]]
    for line in (*_ended(seen), *reports):
        console.print(line, style="red", markup=False)
    hosts = Table("host", "vtep", "datapath id", "in sync", "anchor pid", "OVSDB")
    for host in seen["hosts"]:
        state = {True: "yes", False: "no", None: "unknown"}[host["in_sync"]]
        row = (host["name"], host["vtep"], host["datapath_id"], state, host["anchor"], host["ovsdb"])
        hosts.add_row(*map(str, row))
    ports = Table("port", "host", "networks", "namespace", "device", "MAC", "addresses")
    for port in seen["ports"]:
        namespace = port["namespace"] or ("external VTEP" if port["external_vtep"] else "external")
        where = (namespace, port["device"] or port["interface"] or "-", port["mac"] or "learned")
        ports.add_row(
            port["name"],
            port["host"] or "any",
            " ".join(port["networks"]),
            *where,
            " ".join(port["addresses"]),
        )
    tables = (narrowed(hosts, "OVSDB", "anchor pid"), narrowed(ports, "device", "namespace", "MAC"))
    for table in tables:
        for column in table.columns:
            column.overflow = "fold"
        console.print(table)
    if hosts not in tables or ports not in tables:
        console.print("a wider terminal shows more, --json shows all")
