"""``sdnapp show`` and ``sdnapp flows``: state of the controller and flows of a bridge."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from itertools import groupby, zip_longest
from typing import Any
from urllib.parse import quote

import click
from rich.table import Table as Grid

from flows.render import table_named
from flows.tables import Table
from sdnapp.cli import flow_names
from sdnapp.cli.rest_client import ask, rest_options, rest_url
from sdnapp.cli.terminal import escape, screen

_UNBOUNDED = 10_000
"""Width where the output is not a terminal: lines in a pipe are never cut."""


@click.command()
@click.option("--drops", is_flag=True, help="Instead: what bridges dropped and why, replied to and flooded.")
@rest_options
def show(rest: str | None, name: str | None, as_json: bool, drops: bool) -> None:
    """Show what the controller knows: hosts, networks, ports."""
    url = rest_url(rest, name)
    if drops:
        _drops(url, as_json)
        return
    kinds = ("status", "hosts", "tenants", "networks", "ports", "locations")
    seen = {kind: ask(url, f"/v1/{kind}") for kind in kinds}
    if as_json:
        click.echo(json.dumps(seen, indent=2))
        return
    more = [_external_vteps(seen)] if any(port["tunnel"] for port in seen["ports"]) else []
    more += [_multicast(seen)] if any(network["multicast"]["routers"] for network in seen["networks"]) else []
    remarks = [f"[yellow]{escape(remark)}[/]" for remark in _remarks(seen)]
    _print(_hosts(seen), _networks(seen), _ports(seen), *more, _locations(seen), "\n".join(remarks))


def _drops(url: str, as_json: bool) -> None:
    """Print non-zero counters of all connected bridges."""
    connected = [host["name"] for host in ask(url, "/v1/hosts") if host["connected"]]
    seen = {host: ask(url, f"/v1/hosts/{quote(host, safe='')}/counters") for host in connected}
    if as_json:
        click.echo(json.dumps(seen, indent=2))
        return
    shown = titled("Drops, replies and floods", "host", "what", "why", "port", "network", "frames>", "bytes>")
    for host, counters in seen.items():
        for c in sorted(counters, key=lambda c: (c["what"], c["why"], c["port"] or "", c["network"] or "")):
            if c["frames"]:
                where = (c["port"], c["network"], str(c["frames"]), str(c["bytes"]))
                _row(shown, host, c["what"], c["why"], *where)
    _print(shown)


@click.command()
@click.argument("host")
@click.option("--table", "-t", help="Only this table, such as vlan-to-network.")
@rest_options
def flows(host: str, table: str | None, rest: str | None, name: str | None, as_json: bool) -> None:
    """Show the flows of a HOST's bridge, with their counters."""
    url = rest_url(rest, name)
    chosen = {} if table is None else {"table_id": _table(table)}
    there = ask(url, f"/v1/hosts/{quote(host, safe='')}")
    if not there["connected"]:
        raise click.ClickException(f"the bridge of {host} is not connected to the controller")
    dpid = int(there["datapath_id"], 16)
    dumped = ask(url, f"/stats/flow/{dpid}", chosen)[str(dpid)]
    known = flow_names.names(there, ask(url, "/v1/ports"), ask(url, "/v1/networks"))
    rows = [_flow(flow, known) for flow in dumped]
    rows.sort(key=lambda row: (row["table_id"], -row["priority"], row["match"]))
    if as_json:
        click.echo(json.dumps(rows, indent=2))
    else:
        _print(_flows(host, rows))


def _table(label: str) -> int:
    try:
        return table_named(label)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--table") from None


def _flow(flow: dict[str, Any], known: flow_names.Names) -> dict[str, Any]:
    return {
        "table": flow_names.table(flow["table_id"]),
        "table_id": flow["table_id"],
        "priority": flow["priority"],
        "match": flow_names.match(flow["match"], known),
        "actions": flow_names.actions(flow["actions"], known),
        "packets": flow["packet_count"],
        "bytes": flow["byte_count"],
        "seconds": flow["duration_sec"],
        "idle_timeout": flow["idle_timeout"],
        "cookie": f"{flow['cookie']:#018x}",
    }


def _flows(host: str, rows: list[dict[str, Any]]) -> Grid:
    shown = titled(f"Flows of {host}", "table", "priority>", "match", "actions", "packets>", "bytes>")
    before = None
    for row in _shortened(rows):
        if before not in {None, row["table"]}:
            shown.add_section()
        label = "" if row["table"] == before else row["table"]
        before = row["table"]
        cells = (row["priority"], row["match"], row["actions"], row["packets"], row["bytes"])
        shown.add_row(label, *map(escape, cells))
    return shown


def _shortened(rows: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Rows with flows that test one bit each collapsed: the first, and the sum of the others."""
    for _, alike in groupby(rows, _question):
        first, *others = alike
        yield first
        if others:
            counted = {count: sum(row[count] for row in others) for count in ("packets", "bytes")}
            told = f"... the same for each of {len(others)} more bits"
            yield {**others[-1], "match": told, "actions": "", **counted}


def _question(row: dict[str, Any]) -> object:
    if (
        not Table.SPOOF_PREFILTER <= row["table_id"] < Table.PORT_SECURITY_L2
        or "_forbidden_bits" not in row["match"]
    ):
        return row["table_id"], row["priority"], row["match"]
    return row["table_id"], row["actions"], tuple(part.partition("=")[0] for part in row["match"].split())


def _hosts(seen: dict[str, Any]) -> Grid:
    shown = titled("Hosts", "host", "state", "vtep", "datapath id", "flows>", "tunnels")
    for host in seen["hosts"]:
        tunnels = (
            f"{tunnel['interface']} to {tunnel['remote_ip']}{', down' if tunnel['down'] else ''}"
            for tunnel in host["tunnels"]
        )
        _row(
            shown,
            host["name"],
            _state(host),
            host["vtep"],
            host["datapath_id"],
            host["flows"],
            tunnels,
        )
    return shown


def _state(host: dict[str, Any]) -> str:
    if not host["connected"]:
        return "not connected"
    return "in sync" if host["in_sync"] else "not in sync"


_NARROWEST = 80
"""Columns below which tables are left to the terminal to cut."""

_LOOKS: dict[str, Any] = {"title_justify": "left", "title_style": "bold", "box": None, "pad_edge": False}
_RARE = {"dhcp", "answers", "limits"}
"""Columns that are left out where they would be empty."""
_LONG = {"match", "actions", "tunnels", "subnets", "networks", "answers", "limits"}
"""Columns that take several lines where the terminal is narrow."""

_NETWORK_COLUMNS = (
    *("tenant", "network", "vni>", "vlan>", "subnets", "mtu>", "dhcp", "hosts", "ports", "answers"),
)


def _networks(seen: dict[str, Any]) -> Grid:
    shown = titled("Tenants and networks", *_NETWORK_COLUMNS)
    for network in seen["networks"]:
        who = (network["tenant"], network["name"], network["vni"], network["vlan"])
        said = (f"{what}: {count}" for what, count in network["service_counters"].items())
        dhcp = "yes" if network["dhcp"] else None
        there = list(members(seen, network))
        hosts, ports = ([pair[column] for pair in there] for column in (0, 1))
        _row(shown, *who, network["subnets"], network["mtu"], dhcp, hosts, ports, said)
    for tenant in seen["tenants"]:
        if not tenant["networks"]:
            _row(shown, tenant["name"])
    return shown


def members(seen: dict[str, Any], network: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Pairs of host and port of a network, the host only beside its first port."""
    at = {port["name"]: port["host"] for port in seen["ports"]}
    for host in network["hosts"]:
        yield from zip_longest(
            [host], (port for port in network["ports"] if at.get(port) == host), fillvalue=""
        )


def _ports(seen: dict[str, Any]) -> Grid:
    shown = titled("Ports", "port", "host", "interface", "ofport>", "mac", "networks", "addresses", "limits")
    for port in (port for port in seen["ports"] if not port["tunnel"]):
        attached = port["attachments"]
        networks = (f"{a['network']} tag {a['vlan']}" if a["tagged"] else a["network"] for a in attached)
        addresses = (address for a in attached for address in a["addresses"])
        where = (port["name"], port["host"], port["interface"], port["ofport"], port["mac"])
        _row(shown, *where, networks, addresses, _limits(port["limits"]))
    return shown


def _limits(limits: dict[str, Any]) -> Iterator[str]:
    units = {"send": "bits/s", "receive": "bits/s", "broadcast": "frames/s"}
    return (f"{what}: {rate['rate']:,} {units[what]}" for what, rate in limits.items() if rate)


def _multicast(seen: dict[str, Any]) -> Grid:
    shown = titled("Multicast", "network", "ipv4", "ipv6", "group", "listeners")
    for network in seen["networks"]:
        known = network["multicast"]
        where = (network["path"], known["ipv4"], known["ipv6"])
        if known["routers"]:
            _row(shown, *where, "routers", known["routers"])
        for group, listeners in known["groups"].items():
            _row(shown, *where, group, listeners)
    return shown


def _external_vteps(seen: dict[str, Any]) -> Grid:
    shown = titled("External VTEPs", "peer", "host", "interface", "ofport>", "vtep", "networks")
    for port in (port for port in seen["ports"] if port["tunnel"]):
        networks = (_carried(attachment) for attachment in port["attachments"])
        where = (port["name"], port["host"], port["interface"], port["ofport"], port["tunnel"]["remote_ip"])
        _row(shown, *where, networks)
    return shown


def _carried(attachment: dict[str, Any]) -> str:
    """A network of an external VTEP's tunnel, with its key and tag."""
    key = f" key {attachment['key']}" if attachment["key"] else ""
    tag = f" tag {attachment['vlan']}" if attachment["tagged"] else ""
    return f"{attachment['network']}{key}{tag}"


def _locations(seen: dict[str, Any]) -> Grid:
    shown = titled("Locations", "network", "mac", "host", "port", "addresses", "kind", "moves>")
    for place in sorted(seen["locations"], key=lambda place: (place["network"], place["mac"])):
        where = (place["network"], place["mac"], place["host"], place["port"])
        kind = "frozen" if place["frozen"] else place["kind"]
        _row(shown, *where, place["addresses"], kind, place["moves"])
    return shown


def _remarks(seen: dict[str, Any]) -> Iterator[str]:
    status = seen["status"]
    if status["config_error"]:
        yield f"{status['config_path']} is not in force, the last good one is: {status['config_error']}"
    for host in seen["hosts"]:
        for failure in host["failures"]:
            yield f"{host['name']}: {failure}"
        if host["drift"]:
            yield f"{host['name']}: {host['drift']} changes of flows by others were reverted"
    yield from status["alarms"]
    yield from status["warnings"]
    if status["malformed"]:
        yield f"{sum(status['malformed'].values())} connections ended with a malformed message: see the log"
    for bridge in status["unknown_bridges"]:
        yield f"unknown bridge {bridge['datapath_id']} from {bridge['address']}: left empty"


def _print(*parts: Grid | str) -> None:
    """Print what there is, with an empty line between two parts."""
    console = screen()
    console.width = max(console.width, _NARROWEST) if console.is_terminal else _UNBOUNDED
    with console.capture() as captured:
        for part in filter(None, parts):
            shown = fitting(part) if isinstance(part, Grid) else part
            console.print(shown, "", soft_wrap=isinstance(part, str), crop=False)
    click.echo("\n".join(line.rstrip() for line in captured.get().rstrip().splitlines()))


def fitting(table: Grid) -> Grid:
    """Fit a table to the terminal: drop empty columns, wrap between words only."""
    for column in table.columns:
        column.no_wrap = column.header not in _LONG
        texts = "\n".join(map(str, (column.header, *column.cells)))
        column.min_width = max(map(len, texts.splitlines() if column.no_wrap else texts.split()))
    kept = [column for column in table.columns if column.header not in _RARE or {*column.cells} - {"-"}]
    fresh = Grid(*kept, title=table.title, **_LOOKS)
    fresh.rows = table.rows
    return fresh


def titled(title: str, *columns: str) -> Grid:
    """An empty table; a column whose name ends with > holds numbers."""
    table = Grid(title=title, **_LOOKS)
    for column in columns:
        number = column.endswith(">")
        table.add_column(column.rstrip(">"), justify="right" if number else "left", header_style="dim")
    return table


def _row(table: Grid, *cells: str | int | Iterable[str] | None) -> None:
    """Add a row; several values in one cell stand in a line each."""
    table.add_row(*(_cell(cell) for cell in cells))


def _cell(cell: str | int | Iterable[str] | None) -> str:
    if cell is None:
        return "-"
    if isinstance(cell, (str, int)):
        return escape(cell)
    return "\n".join(map(escape, cell)) or "-"
