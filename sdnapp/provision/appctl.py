"""Requests to ovs-vswitchd over its control socket: what ovs-appctl(8) sends, without a process for each."""

from __future__ import annotations

from pathlib import Path

from sdnapp.provision.ovs_library import Connection, Message, Stream

_TIMEOUT = 2000
"""Milliseconds."""


class NoAnswer(Exception):
    """ovs-vswitchd does not run, or does not answer; the text names the socket or the command."""


class Refused(Exception):
    """ovs-vswitchd answered with an error; the text is that."""


def process(directory: Path) -> int | None:
    """Return the process of the ovs-vswitchd that has its sockets in ``directory``; None without one."""
    try:
        return int((directory / "ovs-vswitchd.pid").read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None


class Control:
    """A connection to ovs-vswitchd.

    For a few requests, and no longer: as long as one is open, ovs-vswitchd tries ten times in each round of
    its main loop to read from there, and forwards nothing meanwhile.
    """

    def __init__(self, directory: Path) -> None:
        """Connect; ``directory`` is where ovs-vswitchd has its sockets. Raises ``NoAnswer``."""
        target = f"unix:{directory}/ovs-vswitchd.{process(directory)}.ctl"
        error, stream = Stream.open_block(Stream.open(target), timeout=_TIMEOUT)
        if error:
            raise NoAnswer(target)
        self._connection = Connection(stream)

    def close(self) -> None:
        """Disconnect."""
        self._connection.close()

    def ask(self, command: str, *arguments: str) -> str:
        """Send one command and return what it prints. Raises ``NoAnswer`` and ``Refused``."""
        error, reply = self._connection.transact_block(Message.create_request(command, list(arguments)))
        if error:
            raise NoAnswer(command)
        if reply.error:
            raise Refused(str(reply.error).strip())
        return str(reply.result or "")
