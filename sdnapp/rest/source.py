"""What REST asks of the controller: the seam between the two, which know nothing else of each other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal, Protocol

from flows.counters import Count
from flows.flow import FlowKey
from sdnapp.net.model import Overlay


class Bridge(Protocol):
    """A host's integration bridge, as the controller sees it."""

    @property
    def datapath_id(self) -> int:
        """The one that its host pins."""

    @property
    def connected(self) -> bool:
        """An OpenFlow connection is up."""

    @property
    def in_sync(self) -> bool:
        """It holds exactly the program that it must hold."""

    @property
    def flows(self) -> int:
        """Flows that it must hold."""

    @property
    def address(self) -> str | None:
        """Where it connects from."""

    @property
    def since(self) -> float | None:
        """Unix time of the connection."""

    @property
    def ports(self) -> Mapping[str, int]:
        """Ofport by interface name, of the ports that exist."""

    @property
    def failures(self) -> tuple[str, ...]:
        """What the bridge refused, a sentence each."""

    @property
    def down(self) -> frozenset[str]:
        """The tunnel interfaces behind which nobody is heard; none where nobody listens."""

    @property
    def drift(self) -> int:
        """Changes by somebody else's hand that were healed."""


class Location(Protocol):
    """Where a MAC lives."""

    @property
    def network(self) -> str:
        """Path, such as ``red/web``."""

    @property
    def mac(self) -> str:
        """Lower case, with colons."""

    @property
    def host(self) -> str:
        """Name of its host."""

    @property
    def port(self) -> str | None:
        """Name of its port; None where several share a device."""

    @property
    def addresses(self) -> tuple[str, ...]:
        """IP addresses known to go with it."""

    @property
    def kind(self) -> str:
        """``static``: written in the file or derived; ``learned`` from a frame."""

    @property
    def moves(self) -> int:
        """How often it moved, as far as anybody remembers."""

    @property
    def frozen(self) -> bool:
        """It moved too often, and may not any more."""


class Alarm(Protocol):
    """Somebody should look at this."""

    @property
    def kind(self) -> Literal["frozen", "denied", "crowded", "twice", "down"]:
        """What is the matter: ``sdnapp.rest.shapes.Alarm`` says it of each."""

    @property
    def text(self) -> str:
        """It in a sentence."""

    @property
    def network(self) -> str | None:
        """Path, such as ``red/web``; None if it is the port that matters."""

    @property
    def mac(self) -> str | None:
        """Lower case, with colons; None if it is the port that matters."""

    @property
    def host(self) -> str | None:
        """Name of the host."""

    @property
    def port(self) -> str | None:
        """Name of the port; None: a tunnel to that host."""

    @property
    def since(self) -> float | None:
        """Unix time, where it is known."""


class Status(Protocol):
    """What the controller knows at one moment."""

    @property
    def overlay(self) -> Overlay:
        """The one in force."""

    @property
    def config_path(self) -> str:
        """The file that the overlay comes from."""

    @property
    def config_error(self) -> str | None:
        """Why the file is not in force; the last good one is."""

    @property
    def bridges(self) -> Mapping[str, Bridge]:
        """By host name, one for each host of the overlay."""

    @property
    def unknown(self) -> Mapping[int, str]:
        """Address by datapath id, of bridges that belong to no host."""

    @property
    def multicast(self) -> Mapping[str, Any]:
        """By network, where anybody asks who listens: ``sdnapp.rest.shapes.Multicast`` has the attributes."""

    @property
    def locations(self) -> Iterable[Location]:
        """Every known one."""

    @property
    def alarms(self) -> Iterable[Alarm]:
        """All that somebody should look at."""

    @property
    def spoken(self) -> Mapping[str, Mapping[str, int]]:
        """By network, how often the controller answered in its name, and what."""


class Source(Protocol):
    """The controller."""

    def status(self) -> Status:
        """The present state; cheap."""

    def thaw(self, network: str, mac: str) -> None:
        """Let a frozen MAC move again."""

    def counted(self, dpid: int) -> Mapping[FlowKey, Count]:
        """The flows of this bridge whose counters are worth telling; none while it is not connected."""

    def switches(self) -> list[int]:
        """Datapath ids of the connected switches, known or not."""

    def datapath(self, dpid: int) -> Any:
        """os-ken's ``Datapath`` of a connected switch, else None."""

    def request(self, dpid: int, message: Any) -> Iterator[Any]:
        """Send one os-ken request; yield each reply message as it comes.

        Raises ``TimeoutError``, ``ConnectionError`` when the switch goes away, and ``ValueError`` with the
        switch's reason when it refuses the request.
        """
