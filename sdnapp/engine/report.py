"""What the status says of one host's bridge."""

from __future__ import annotations

from collections.abc import Mapping

from sdnapp.engine.session import Session
from sdnapp.engine.status import BridgeStatus
from sdnapp.net.model import Host
from sdnapp.net.state import State


def bridge_status(
    state: State, host: Host, session: Session | None, drift: Mapping[str, int]
) -> BridgeStatus:
    """A bridge as it is now; ``session`` is None while it is not connected, ``drift`` counts by host."""
    failures = [] if session is None else [f"{what}: {why}" for what, why in session.rejected.items()]
    if session is not None and session.failure is not None:
        failures.append(session.failure)
    return BridgeStatus(
        host=host.name,
        datapath_id=host.datapath_id,
        connected=session is not None,
        in_sync=session is not None and session.in_sync,
        flows=0 if session is None else len(session.program.flows),
        address=None if session is None else session.address,
        since=None if session is None else session.since,
        ports=state.ports(host.name).number,
        down=state.ports(host.name).dead if state.overlay.bfd else frozenset(),
        failures=tuple(failures),
        drift=drift.get(host.name, 0),
        problems="" if session is None else session.problems,
    )
