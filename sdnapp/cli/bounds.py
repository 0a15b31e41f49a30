"""Table of limits for the README: limit, effect beyond it, and log event."""

from __future__ import annotations

from collections.abc import Iterator

from sdnapp.openflow.limits import LIMITS
from sdnapp.rest.crowd import Limits as RestLimits
from sdnapp.throttle import Rates


def render() -> str:
    """Write the table in Markdown."""
    lines = ["| what | at most | beyond | what tells |", "|---|---|---|---|"]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in _rows())])


def _rows() -> Iterator[tuple[str, str, str, str]]:
    of, rest, log = LIMITS, RestLimits(), Rates()
    yield "an OpenFlow handshake, with that of TLS", f"{of.handshake:g} s", "ended", "`connection.ended`"
    many = f"{of.waiting}; {of.waiting_each} from one address"
    yield (
        "connections in their handshake, unknown addresses",
        many,
        "the oldest ends",
        "`connection.evicted`",
    )
    known = f"{of.waiting_known}, and one for each host"
    yield "the same, addresses of hosts in the file", known, "the oldest ends", "`connection.evicted`"
    rate = f"{of.arrivals:g} /s after {of.waiting}"
    yield "new connections, unknown addresses", rate, "closed", "`connection.limit_reached`"
    yield "bridges with an unknown datapath id", str(of.unknown), "closed", "`bridge.limit_reached`"
    events = f"{of.backlog:,}; frames of {of.backlog_bytes >> 20} MiB"
    yield "events of a bridge that wait", events, "it is read more slowly", "`connection.slowed`"
    yield "frames that wait to be sent to a bridge", str(of.offers), "dropped", "-"
    size = f"{of.reply_bytes >> 20} MiB; {of.reply_seconds:g} s"
    yield "one reply of a bridge", size, "the request fails", "`bridge.connection_lost`"
    yield "flows of a bridge", f"{of.reply_flows:,}", "the connection ends", "`bridge.connection_lost`"
    few = f"{of.reply_few_bytes >> 20} MiB"
    yield "what a bridge says of its groups", few, "the connection ends", "`bridge.connection_lost`"
    yield "what a bridge says of its meters", few, "the rest is not read", "-"
    waiting = f"{rest.connections}"
    yield "REST clients that wait for a request", waiting, "the slowest ends", "`rest.evicted`"
    yield "REST requests that are answered at once", str(rest.answers), "a slow reader ends, or 503", "503"
    yield "a REST request; 16 kB of its response", f"{rest.request:g} s; {rest.write:g} s", "ended", "408"
    lines = f"{log.kind.burst}, then {log.kind.rate:g} /s"
    yield "log lines of one event about one subject", lines, "counted", "`log.suppressed`"
