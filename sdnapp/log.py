"""One line an event, for people or for machines. Call ``event(log, "bridge.up", host="host1")``."""

from __future__ import annotations

import json
import logging
import sys
from datetime import datetime, timezone
from textwrap import indent
from typing import Any

from sdnapp.printable import printable, printable_lines


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


def to_stderr(form: str, *, verbose: bool = False) -> None:
    """Send every log line to standard error, as ``text`` or ``json``; os-ken's own chatter if ``verbose``."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if form == "json" else TextFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.DEBUG if verbose else logging.INFO)
    logging.getLogger("os_ken").setLevel(logging.DEBUG if verbose else logging.WARNING)


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    fields: dict[str, Any] = getattr(record, "fields", {})
    return fields


def _text(value: Any) -> str:
    text = str(value)
    bare = text and text.isprintable() and not any(c in text for c in ' "=')
    return text if bare else json.dumps(text)
