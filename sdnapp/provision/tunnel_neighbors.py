"""Refresh of tunnel neighbors (``tnl/neigh``) of the userspace datapath, before they expire.

ovs-vswitchd itself finds out to which MAC address the packets of a tunnel go, and forgets it after 15 minutes
or when it is told to (ovs-vswitchd(8), ``tnl/neigh/flush``). Packets that flow meanwhile are dropped in the
datapath, where nothing makes it ask again: Open vSwitch 3.1 was seen to do so for as long as they flowed. The
kernel knows the same neighbours and keeps asking them, so it is the kernel that is asked here. Where the
kernel's datapath is in use, none of this is needed.
"""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

from sdnapp.provision import netlink
from sdnapp.provision.appctl import Control, NoAnswer, Refused
from sdnapp.provision.thread import in_background

PERIOD = 0.5
"""Refresh interval in seconds: maximum outage of a tunnel after a flush."""
ANSWER = 0.05
"""Seconds that a neighbour may take to answer the kernel within a look."""
VALIDATE = 20
"""Looks after which the kernel is to make sure that its neighbours are still there."""

_NEIGHBOUR = 30  # RTM_GETNEIGH of linux/rtnetlink.h
_NDMSG = struct.Struct("=B3xiHBB")  # struct ndmsg of linux/neighbour.h
_DESTINATION, _LINK_ADDRESS, _USE = 1, 2, 0x01  # NDA_DST, NDA_LLADDR, NTF_USE
_CREATE = 0x400  # NLM_F_CREATE
_VALID = 0x02 | 0x04 | 0x08 | 0x10 | 0x80  # NUD_REACHABLE, STALE, DELAY, PROBE, PERMANENT


@dataclass(frozen=True, slots=True, order=True)
class Hop:
    """A neighbour to which the packets of a tunnel go first: the peer itself, or a router."""

    bridge: str
    address: str


class TunnelNeighborRefresher:
    """Thread that refreshes the neighbors of tunnels."""

    def __init__(self, directory: Path) -> None:
        """Begin; ``directory`` is where ovs-vswitchd has its sockets."""
        self._directory = directory
        self._remotes: frozenset[str] = frozenset()
        self._changed = threading.Event()
        in_background(self._run)

    def keep(self, remotes: Iterable[str]) -> None:
        """Keep the way to these addresses, and no others."""
        new = frozenset(remotes)
        if new != self._remotes:
            self._remotes = new
            self._changed.set()

    def _run(self) -> None:
        looks, ways = 0, dict[str, Hop | None]()
        while True:
            if self._changed.wait(PERIOD if self._remotes else None):
                self._changed.clear()
                looks = 0
            try:
                if looks % VALIDATE == 0:
                    ways = dict.fromkeys(self._remotes)
                with closing(_Switch(self._directory)) as switch:
                    _look(switch, ways, validating=looks % VALIDATE == 0)
                looks += 1
            except (NoAnswer, Refused, OSError):
                looks = 0


def _look(switch: _Switch, ways: dict[str, Hop | None], *, validating: bool) -> None:
    """Amend what is missing; ``ways`` holds how each remote address was reached at the last look.

    The way to a neighbour that is missing is looked up again: while a bridge takes over the address of its
    uplink, the route still leads through the uplink.
    """
    known = switch.known()
    missing = {remote: switch.hop(remote) for remote, hop in ways.items() if hop not in known}
    ways |= missing
    hops = frozenset(hop for hop in (ways if validating else missing).values() if hop)
    if not hops:
        return
    with netlink.rtnetlink() as kernel:
        _use(kernel, hops)
        found = _neighbours(kernel)
        if not hops <= found.keys():
            time.sleep(ANSWER)
            found = _neighbours(kernel)
        for hop, mac in amends(hops, known, found, refresh=validating):
            switch.tell(hop, mac)


def amends(
    hops: Iterable[Hop], known: Mapping[Hop, str], kernel: Mapping[Hop, str], *, refresh: bool
) -> Iterator[tuple[Hop, str]]:
    """What to tell ovs-vswitchd: what it forgot or has wrong; with ``refresh`` all, to start its clock.

    Of what the kernel does not know either, nothing.
    """
    for hop in sorted(hops):
        if hop in kernel and (refresh or known.get(hop) != kernel[hop]):
            yield hop, kernel[hop]


def _neighbours(kernel: socket.socket) -> dict[Hop, str]:
    """Read the neighbours of which the kernel has the MAC."""
    devices = dict(socket.if_nameindex())
    found = {}
    for fixed, attributes in netlink.dump(kernel, _NEIGHBOUR, _NDMSG.pack(0, 0, 0, 0, 0)):
        _, index, state, _, _ = _NDMSG.unpack(fixed)
        if state & _VALID and index in devices and attributes.keys() >= {_DESTINATION, _LINK_ADDRESS}:
            address = str(ip_address(attributes[_DESTINATION]))
            found[Hop(devices[index], address)] = attributes[_LINK_ADDRESS].hex(":")
    return found


def _use(kernel: socket.socket, hops: Iterable[Hop]) -> None:
    """Trigger neighbor resolution in the kernel, unless the entry is confirmed."""
    for hop in hops:
        destination = ip_address(hop.address)
        family = socket.AF_INET if destination.version == 4 else socket.AF_INET6
        with suppress(OSError):  # the device may be gone
            fixed = _NDMSG.pack(family, socket.if_nametoindex(hop.bridge), 0, _USE, 0)
            to = netlink.attribute(_DESTINATION, destination.packed)
            netlink.change(kernel, _NEIGHBOUR + netlink.NEW, fixed, to, flags=_CREATE)


class _Switch:
    """ovs-vswitchd's table of neighbours, for one look."""

    def __init__(self, directory: Path) -> None:
        self._control = Control(directory)

    def close(self) -> None:
        """Disconnect."""
        self._control.close()

    def known(self) -> dict[Hop, str]:
        """Read all neighbours that it knows, with their MACs."""
        rows = (line.split() for line in self._control.ask("tnl/neigh/show").splitlines()[2:])
        return {Hop(bridge, address): mac for address, mac, bridge in rows}

    def tell(self, hop: Hop, mac: str) -> None:
        """Set a neighbor."""
        self._control.ask("tnl/neigh/set", hop.bridge, hop.address, mac)

    def hop(self, remote: str) -> Hop | None:
        """Next hop for this address; None without a route."""
        answer = self._control.ask("ovs/route/lookup", remote)
        route = dict(line.split(" ", 1) for line in answer.splitlines() if " " in line)
        if "dev" not in route:
            return None
        gateway = ip_address(route.get("gateway", "::"))
        return Hop(route["dev"], remote if gateway.is_unspecified else str(gateway))
