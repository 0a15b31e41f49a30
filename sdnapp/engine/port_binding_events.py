"""What the log says of ports that are found by their iface_id: where they appear, move to and vanish."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from sdnapp.engine.messages import LogEvent
from sdnapp.engine.status import Alarm
from sdnapp.net.state import State

Places = Mapping[str, tuple[str, ...]]
"""By port, every place that has it now, such as ``host1 vnet0``."""


def places(state: State) -> Places:
    """Where each of them is; those that are nowhere are left out."""
    found: dict[str, list[str]] = {}
    if state.overlay.bound:
        for host in state.overlay.hosts.values():
            for port in host.ports:
                if port.name in state.overlay.bound:
                    found.setdefault(port.name, []).append(f"{host.name} {port.interface}")
    return {name: tuple(sorted(where)) for name, where in found.items()}


def binding_notes(before: State, after: State) -> Iterator[LogEvent]:
    """What has changed."""
    if before.overlay is after.overlay:
        return
    old, new = places(before), places(after)
    for name in sorted(old.keys() | new.keys()):
        was, now = old.get(name, ()), new.get(name, ())
        if was == now:
            continue
        if len(now) > 1:
            yield LogEvent("port.bound_twice", {"port": name, "places": ", ".join(now)}, warning=True)
        elif now:
            yield LogEvent("port.bound", {"port": name, "place": now[0]})
        else:
            yield LogEvent("port.unbound", {"port": name, "place": ", ".join(was)})


def binding_alarms(state: State) -> Iterator[Alarm]:
    """What is wrong now."""
    for name, where in sorted(places(state).items()):
        if len(where) > 1:
            text = f"port {name} is bound twice, and is reached where it sent last: {', '.join(where)}"
            yield Alarm("port-bound-twice", text, port=name)
