"""Tunnels that are down, and what agents cannot do: log lines and alarms."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from sdnapp.engine.messages import LogEvent
from sdnapp.engine.session import Session
from sdnapp.engine.status import Alarm
from sdnapp.net.state import State


def down(state: State) -> frozenset[tuple[str, str]]:
    """Return host and peer of each tunnel that is down; empty without BFD."""
    if not state.overlay.bfd:
        return frozenset()
    return frozenset(
        (host, ports.peer[ports.number[tunnel]])
        for host, ports in state.bridges.items()
        for tunnel in ports.dead
    )


def health_notes(before: State, after: State) -> Iterator[LogEvent]:
    """What has changed."""
    if before.bridges is after.bridges and before.overlay is after.overlay:
        return
    was, now = down(before), down(after)
    for host, peer in sorted(now - was):
        yield LogEvent("tunnel.down", {"host": host, "peer": peer}, warning=True)
    for host, peer in sorted(was - now):
        yield LogEvent("tunnel.up", {"host": host, "peer": peer})


def health_alarms(state: State) -> Iterator[Alarm]:
    """What is wrong now."""
    for host, peer in sorted(down(state)):
        yield Alarm("tunnel-down", f"the tunnel from {host} to {peer} is down", host=host)


def agent_alarms(sessions: Iterable[Session]) -> Iterator[Alarm]:
    """What the agents of hosts cannot do."""
    for session in sorted(sessions, key=lambda session: session.host):
        if session.problems:
            yield Alarm(
                "agent-error", f"the agent of {session.host} reports: {session.problems}", host=session.host
            )
