"""Interface of the controller for REST."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from flows.counters import FlowCounter
from flows.flow import FlowKey
from sdnapp.engine.status import Status


class Backend(Protocol):
    """The controller."""

    def status(self) -> Status:
        """The present state; cheap."""

    def unfreeze(self, network: str, mac: str) -> None:
        """Let a frozen MAC move again."""

    def release(self, port: str) -> None:
        """Release a port that is held down."""

    def counted(self, dpid: int) -> Mapping[FlowKey, FlowCounter]:
        """Flows of a bridge with reported counters; none while it is not connected."""

    def late(self) -> bool:
        """Whether the event loop is stalled for seconds."""

    def malformed(self) -> Mapping[str, int]:
        """Connections closed for a malformed message, by message type."""

    def switches(self) -> list[int]:
        """Datapath ids of the connected switches, known or not."""

    def datapath(self, dpid: int) -> Any:
        """os-ken's ``Datapath`` of a connected switch, else None."""

    def request(self, dpid: int, message: Any) -> Iterator[Any]:
        """Send one os-ken request; yield each reply message as it comes.

        Raises ``TimeoutError``, ``ConnectionError`` when the switch goes away, and ``ValueError`` with the
        switch's reason when it refuses the request.
        """
