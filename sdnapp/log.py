"""Event log, as text or JSON lines. Call ``event(log, "bridge.up", host="host1")``.

Lines of one kind are limited in their rate (``Limiter``), and a line ``log.suppressed`` tells of the rest.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from datetime import datetime, timezone
from textwrap import indent
from threading import RLock
from typing import Any

from sdnapp.printable import printable, printable_lines
from sdnapp.throttle import Rates, Subject, Throttle

LOG = logging.getLogger("sdnapp")

SUPPRESSED = "log.suppressed"
"""Event that reports suppressed lines."""


def event(log: logging.Logger, name: str, *, level: int = logging.INFO, **fields: Any) -> None:
    """Log that ``name`` happened, with its fields in the given order."""
    log.log(level, name, extra={"fields": fields})


class TextFormatter(logging.Formatter):
    """``2026-11-22 11:02:03.456 INFO bridge.up host=host1 …``, with escapes for what is not printable.

    A line that does not begin with a time belongs to the one above: a traceback, which is indented.
    """

    def format(self, record: logging.LogRecord) -> str:
        """The line, and a traceback below it if there is one."""
        fields = "".join(f" {key}={_text(value)}" for key, value in _fields(record).items())
        stamp = f"{datetime.fromtimestamp(record.created):%Y-%m-%d %H:%M:%S}.{int(record.msecs):03d}"
        line = f"{stamp} {record.levelname} {printable(record.getMessage())}{fields}"
        if record.exc_info:
            line += "\n" + indent(printable_lines(self.formatException(record.exc_info)), "  ")
        return line


class JsonFormatter(logging.Formatter):
    """One JSON object a line: ``time`` (UTC), ``level``, ``logger``, ``event``, then the fields."""

    def format(self, record: logging.LogRecord) -> str:
        """The object; a traceback becomes the field ``traceback``."""
        line = {
            "time": datetime.fromtimestamp(record.created, timezone.utc).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "event": record.getMessage(),
            **_fields(record),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


class Limiter(logging.Filter):
    """A filter of a handler: lines of one kind pass a few at a time, and ``tell`` says how many did not.

    Debug lines pass, as they were asked for, and so does the last line of a process that hangs. Two threads
    may log at once; the lock is held for computation alone.
    """

    def __init__(self, rates: Rates | None = None) -> None:
        super().__init__()
        self._throttle = Throttle(rates or Rates())
        self._lock = RLock()  # a line may be logged while one is: by a destructor

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the line is written."""
        name, level = str(record.msg), record.levelno
        if name == SUPPRESSED or not logging.INFO <= level < logging.CRITICAL:
            return True
        with self._lock:
            return self._throttle.admit(name, _subject(_fields(record)), level, time.monotonic())

    def tell(self, *, ending: bool = False) -> None:
        """Log the number of suppressed lines by name: those that are due, or all at the end."""
        with self._lock:
            due = list(self._throttle.due(time.monotonic(), ending=ending))
        for each in due:
            fields: dict[str, Any] = {
                "of": each.name,
                "suppressed": each.lines,
                "seconds": round(each.seconds),
            }
            if each.most:
                about = " ".join(f"{what}={value}" for what, value in each.most)
                fields["most"] = f"{each.of_most} about {about}"
            event(LOG, SUPPRESSED, level=each.severity, **fields)


def to_stderr(form: str, *, verbose: bool = False, limiter: Limiter | None = None) -> None:
    """Send log lines to standard error, as ``text`` or ``json``; os-ken's own chatter if ``verbose``."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if form == "json" else TextFormatter())
    if limiter is not None:
        handler.addFilter(limiter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.DEBUG if verbose else logging.INFO)
    logging.getLogger("os_ken").setLevel(logging.DEBUG if verbose else logging.WARNING)


_ABOUT = ("host", "port", "network", "dpid", "handler")
_LONGEST = 64
"""Characters of a field's value that tell kinds of lines apart."""


def _subject(fields: dict[str, Any]) -> Subject:
    """What a line is about. An address counts where no port is named, and without a port of TCP."""
    about = [(what, str(fields[what])[:_LONGEST]) for what in _ABOUT if fields.get(what, "-") != "-"]
    if "port" not in fields and "address" in fields:
        about.append(("address", _ip(str(fields["address"]))[:_LONGEST]))
    return tuple(about)


def _ip(address: str) -> str:
    """The address of ``192.0.2.1:6653``, ``[2001:db8::1]:6653``, or of one without a port."""
    if address.startswith("["):
        return address[1:].partition("]")[0]
    return address.partition(":")[0] if address.count(":") == 1 else address


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    fields: dict[str, Any] = getattr(record, "fields", {})
    return fields


def _text(value: Any) -> str:
    text = str(value)
    bare = text and text.isprintable() and not any(c in text for c in ' "=')
    return text if bare else json.dumps(text)
