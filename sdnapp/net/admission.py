"""Which connection may be the bridge of which host: a decision on addresses and certificate names.

A datapath id is no secret and no proof. With TLS the certificate proves the host; without, all there is to go
by is the source address.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from ipaddress import ip_address
from typing import Literal

from sdnapp.net.model import Address, Host, Overlay, Subnet


@dataclass(frozen=True, slots=True)
class Peer:
    """The far end of a connection. ``names``: of its verified certificate; None: without TLS."""

    ip: str
    names: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class Accepted:
    """A connection may be the bridge of this host; None: of no host of the file."""

    host: Host | None


@dataclass(frozen=True, slots=True)
class Refused:
    """A connection may not have the datapath id of this host. ``text`` says why, and the remedy."""

    host: str
    reason: Literal["address", "certificate"]
    text: str


@dataclass(frozen=True)
class Admission:
    """The decisions that follow from one overlay."""

    overlay: Overlay

    def admit(self, dpid: int, peer: Peer) -> Accepted | Refused:
        """Whether this peer may present this datapath id."""
        host = self._by_dpid.get(dpid)
        if host is None:
            return Accepted(None)
        if peer.names is not None:
            if host.certificate in peer.names:
                return Accepted(host)
            has = ", ".join(sorted(peer.names)) or "no name"
            text = f"its certificate has {has}, not {host.certificate} (hosts.{host.name}.certificate)"
            return Refused(host.name, "certificate", text)
        address = _address(peer.ip)
        if address is not None and any(address in network for network in host.accept_from):
            return Accepted(host)
        may = ", ".join(map(str, host.accept_from))
        text = f"{peer.ip} is not among {may} (controller.accept_from)"
        return Refused(host.name, "address", text)

    def homes(self, ip: str) -> int:
        """How many hosts' bridges may connect from this address without TLS."""
        address = _address(ip)
        if address is None:
            return 0
        exact = self._single.get(address, 0)
        return exact + sum([count for network, count in self._wider.items() if address in network])

    @cached_property
    def _by_dpid(self) -> dict[int, Host]:
        return {host.datapath_id: host for host in self.overlay.hosts.values()}

    @cached_property
    def _single(self) -> Counter[Address]:
        networks = (network for host in self.overlay.hosts.values() for network in host.accept_from)
        return Counter(each.network_address for each in networks if each.prefixlen == each.max_prefixlen)

    @cached_property
    def _wider(self) -> Counter[Subnet]:
        networks = (network for host in self.overlay.hosts.values() for network in host.accept_from)
        return Counter(each for each in networks if each.prefixlen < each.max_prefixlen)


def replaces(newer: Peer, older: Peer, *, known: bool) -> bool:
    """Whether a second connection of one datapath id is plainly from where the first is.

    ``known``: the newer one was accepted for a host: then its certificate, if any, is that host's.
    """
    if newer.names is not None and known:
        return True
    return (newer.ip, newer.names is None) == (older.ip, older.names is None)


def _address(ip: str) -> Address | None:
    """None for what is no IP address, such as the path of a Unix socket."""
    try:
        address = ip_address(ip.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def refused_names(names: Iterable[str] | None) -> str:
    """Certificate names for a log line."""
    return ",".join(sorted(names or ())) or "-"
