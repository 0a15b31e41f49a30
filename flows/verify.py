"""Check flows against the declarations of their tables. The tests check every program."""

from __future__ import annotations

from flows.flow import Flow
from flows.tables import TABLES, allowed_next_tables


def check(flow: Flow) -> None:
    """Raise ``ValueError`` unless the flow keeps to the declaration of its table."""
    table = TABLES[flow.table]
    stray = flow.match.fields() - table.matches
    if stray:
        raise ValueError(f"{flow.table.label} may not match {sorted(stray)}: {flow}")
    goto = flow.goto
    if goto is not None and (goto not in allowed_next_tables(flow.table) or goto <= flow.table):
        raise ValueError(f"{flow.table.label} may not go to {goto.label}: {flow}")
