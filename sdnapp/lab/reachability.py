"""Expected and observed reachability between ports.

Pure: it chooses the probes and evaluates their results; ``ping`` sends and captures.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sdnapp.net.model import Address, Interface, Overlay


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One network on one port that has a namespace.

    ``wire`` is the port's device in it; ``tag`` is the VLAN that frames of this network have there, None:
    untagged. ``device`` is what the kernel there uses for this network, None where it has no such device:
    then no reply is possible, and frames are sent with their tag from a raw socket.
    """

    port: str
    host: str
    namespace: str
    wire: str
    device: str | None
    tag: int | None
    network: str
    mac: str
    addresses: tuple[Interface, ...]

    def address(self, version: int) -> Interface | None:
        """Return its first address of an IP version."""
        return next((address for address in self.addresses if address.version == version), None)


@dataclass(frozen=True, slots=True)
class Probe:
    """An echo request from one endpoint to another's address; ``expected``: it must arrive.

    ``routed``: both kernels have a route (one subnet, a device at each end), so that it must be answered as
    well; otherwise the frame is sent from a raw socket. ``broadcast``: to the broadcast address.
    """

    source: Endpoint
    destination: Endpoint
    origin: Address
    target: Address
    expected: bool
    routed: bool
    broadcast: bool = False


@dataclass(frozen=True, slots=True)
class Cell:
    """One port to another over one IP version: the expectation, and each deviation as a sentence.

    ``unanswered``: in words, why no answer can come although the request arrives, as expected.
    """

    expected: bool
    failures: tuple[str, ...]
    unanswered: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Observed:
    """What happened to the probes, each named by its place in the list that was sent.

    ``arrivals``: pairs of a probe's number and (port, tag) where its request came out; ``answered``: the
    numbers of those whose answer came back to the sender.
    """

    arrivals: frozenset[tuple[int, tuple[str, int | None]]]
    answered: frozenset[int]


def endpoints(overlay: Overlay) -> tuple[Endpoint, ...]:
    """Return every endpoint that can be probed: those of ports with a namespace of their own making."""
    return tuple(
        Endpoint(
            port=port.name,
            host=port.host,
            namespace=port.namespace,
            wire=port.device,
            device=f"{port.device}.{a.vlan}" if a.tagged else port.device,
            tag=a.vlan if a.tagged else None,
            network=a.network,
            mac=port.mac,
            addresses=a.addresses,
        )
        for port in overlay.ports.values()
        if port.namespace is not None and port.device is not None and port.mac is not None
        for a in port.attachments
    )


def probes(ends: Iterable[Endpoint], pairs: set[tuple[str, str]]) -> tuple[Probe, ...]:
    """Return the probes for these ordered pairs of ports.

    Every pair of endpoints gets a probe in each IP version that both have; where it must not arrive, the
    frame is sent to the receiver's MAC, to the broadcast address, and by the sender's own kernel.
    """
    ends = tuple(ends)
    wanted: list[Probe] = []
    for source in ends:
        for destination in ends:
            if (source.port, destination.port) in pairs:
                wanted.extend(_between(source, destination))
    return tuple(wanted)


def compare(
    sent: tuple[Probe, ...], seen: Observed, ends: Iterable[Endpoint]
) -> dict[tuple[str, str, int], Cell]:
    """Compare what was seen with what was expected: a cell for each (from port, to port, IP version)."""
    at = {(end.port, end.tag): end for end in ends}
    expected: dict[tuple[str, str, int], bool] = {}
    broken: dict[tuple[str, str, int], list[str]] = {}
    unanswered: dict[tuple[str, str, int], list[str]] = {}
    for number, probe in enumerate(sent):
        cell = (probe.source.port, probe.destination.port, probe.target.version)
        expected[cell] = expected.get(cell, False) or probe.expected
        if probe.expected:
            arrived = (number, (probe.destination.port, probe.destination.tag)) in seen.arrivals
            if not arrived:
                broken.setdefault(cell, []).append(f"nothing arrives at {probe.target}")
            elif probe.routed and number not in seen.answered:
                broken.setdefault(cell, []).append(f"{probe.target} gets the request, but its answer is lost")
            else:
                unanswered.setdefault(cell, []).extend(_without_device(probe))
    for number, place in sorted(seen.arrivals, key=str):
        probe = sent[number]
        network = at[place].network if place in at else f"VLAN {place[1]}"
        if network != probe.source.network:
            # Also a leak if it leaves at a port that the probe was not addressed to.
            cell = (probe.source.port, place[0], probe.target.version)
            expected.setdefault(cell, False)
            words = f"a frame of {probe.source.network} comes out in {network}"
            if words not in broken.setdefault(cell, []):
                broken[cell].append(words)
    return {
        cell: Cell(kind, tuple(broken.get(cell, ())), tuple(unanswered.get(cell, ())))
        for cell, kind in expected.items()
    }


def _without_device(probe: Probe) -> Iterable[str]:
    for end in (probe.source, probe.destination):
        if end.device is None:
            yield (
                f"the request arrives, but ping fails: namespace {end.namespace} has no {end.wire}.{end.tag} "
                "(does the kernel have VLAN devices, 8021q?)"
            )


def _between(source: Endpoint, destination: Endpoint) -> Iterable[Probe]:
    expected = source.network == destination.network
    for version in (4, 6):
        origin, target = source.address(version), destination.address(version)
        if origin is None or target is None:
            continue
        routed = target.ip in origin.network and None not in (source.device, destination.device)
        probe = (source, destination, origin.ip, target.ip, expected)
        if expected:
            yield Probe(*probe, routed)
        else:
            yield Probe(*probe, routed=False)
            yield Probe(*probe, routed=False, broadcast=True)
            if routed and origin.ip != target.ip:
                yield Probe(*probe, routed=True)
