"""A program as text, table by table. Golden files and documents use it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import groupby

from flows.actions import Action
from flows.flow import CONTROLLER_METER, Flow, Program
from flows.tables import TABLES, Table, TableSpec


def render(program: Program) -> str:
    """Every table that is there, with its purpose and its flows, the highest priority first."""
    return "\n".join(_lines(program)) + "\n"


def describe_tables() -> str:
    """A Markdown table of the tables, for the documents."""
    rows = [
        f"| {int(table)} | {table.label} | {it.purpose} | {_miss(it)} | {it.only.value if it.only else ''} |"
        for table, it in TABLES.items()
    ]
    head = ["| id | table | purpose | table miss | enabled when |", "|---|---|---|---|---|"]
    return "\n".join([*head, *rows])


def _miss(declaration: TableSpec) -> str:
    if declaration.whole:
        return "there is none"
    return "dropped, counted" if declaration.miss is None else f"goes to {declaration.miss.label}"


def _lines(program: Program) -> Iterator[str]:
    for table, declaration in TABLES.items():
        flows = sorted((f for f in program.flows.values() if f.table is table), key=_order)
        if not flows:
            continue
        yield f"{table.label} ({int(table)}): {declaration.purpose}"
        of: Callable[[Flow], object] = (
            _question if Table.SPOOF_PREFILTER <= table < Table.PORT_SECURITY_L2 else _order
        )
        for _, alike in groupby(flows, of):
            first, *others = alike
            yield f"  {first.priority:>3}  {_flow(first)}"
            if others:
                yield f"  {others[-1].priority:>3}  ... the same for each of {len(others)} more bits"
        yield ""
    for meter in program.meters.values():
        name = "punt meter" if meter.id == CONTROLLER_METER else f"meter {meter.id}"
        yield f"{name}: {meter}"


def _order(flow: Flow) -> tuple[int, str]:
    return (-flow.priority, str(flow.match))


def _question(flow: Flow) -> tuple[frozenset[str], tuple[Action, ...]]:
    """What is asked of a bit, whichever it is."""
    return flow.match.fields(), flow.actions


def _flow(flow: Flow) -> str:
    idle = f", idle {flow.idle} s" if flow.idle else ""
    idle += f", {flow.hard} s at most" if flow.hard else ""
    learned = " (learned)" if flow.kind else ""
    return f"{flow.match!s:<52} -> {' '.join(map(str, flow.actions)) or 'drop'}{idle}{learned}".rstrip()


def table_named(label: str) -> Table:
    """The table with this label; ``ValueError`` names those that there are."""
    for table in Table:
        if label in (table.label, str(int(table))):
            return table
    raise ValueError(f"no table {label!r}; there are {', '.join(t.label for t in Table)}")
