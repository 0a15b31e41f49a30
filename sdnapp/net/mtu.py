"""MTU: what an encapsulation adds to a frame, and what is left for the workload.

The underlay's MTU bounds the outer IP packet: outer IP header, encapsulation, inner Ethernet header and inner
packet; the last is what the workload's MTU counts. Only tunnels of external VTEPs may carry a tag inside. All
stations of a network have one MTU, that of the narrowest path between its hosts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from sdnapp.config import ResultCache
from sdnapp.net.mesh import forms
from sdnapp.net.model import Encapsulation, Host, Overlay

USUAL_MTU = 1500
"""Bytes: MTU of an underlay without ``underlay_mtu``."""
ETHERNET = 14
"""Bytes of an Ethernet header; its checksum is not carried."""

_IP = {4: 20, 6: 40}  # RFC 791, RFC 8200, both without options
_TAG = 4  # IEEE 802.1Q, section 9.3
_UDP = 8
_HEADER = {
    "vxlan": _UDP + 8,  # RFC 7348, section 5
    "geneve": _UDP + 8,  # RFC 8926, section 3.4, without options
    "gre": 4,  # RFC 2784, section 2.1
}
_GRE_KEY = 4  # RFC 2890, section 2; in UDP the field is there anyway
_GRE_CHECKSUM = 4  # RFC 2784, section 2.1: checksum and reserved; in UDP the field is there anyway


def overhead(
    encapsulation: Encapsulation, version: int, *, csum: bool, keyed: bool = True, tag: bool = False
) -> int:
    """Bytes by which a workload's MTU is smaller than an underlay's of IP ``version`` (4 or 6).

    >>> [overhead(kind, 4, csum=False) for kind in ("vxlan", "geneve", "gre")]
    [50, 50, 42]
    >>> [overhead(kind, 6, csum=True) for kind in ("vxlan", "geneve", "gre")]
    [70, 70, 66]
    """
    optional = _GRE_CHECKSUM * csum + _GRE_KEY * keyed if encapsulation == "gre" else 0
    return _IP[version] + _HEADER[encapsulation] + optional + ETHERNET + _TAG * tag


def overheads(
    hosts: Mapping[str, Host], usual: Encapsulation, results: ResultCache | None = None
) -> Mapping[int, int]:
    """By IP version, what the tunnel costs that costs most: it decides for all, so that the workloads of a
    network agree wherever they are. Where there is none it is as if there were one of the ``usual`` kind.
    """
    results = results or ResultCache()
    costs = {4: [overhead(usual, 4, csum=False)], 6: [overhead(usual, 6, csum=False)]}
    for name, host in hosts.items():
        costs[host.vtep.version].extend(results.of(name, _costs, host))
    return {version: max(some[1:] or some) for version, some in costs.items()}


def _costs(host: Host) -> frozenset[int]:
    """Return the overhead of tunnels to other hosts, and to external VTEPs, which may carry tags inside."""
    kinds = {(kind, csum, True, False) for kind, csum in forms(host.tunnels)}
    for port in host.ports:
        if (tunnel := port.tunnel) is not None:
            tag = any(attachment.tagged for attachment in port.attachments)
            kinds.add((tunnel.encapsulation, tunnel.csum, tunnel.keyed, tag))
    version = host.vtep.version
    return frozenset(overhead(kind, version, csum=c, keyed=k, tag=tag) for kind, c, k, tag in kinds)


def with_mtus(overlay: Overlay, results: ResultCache) -> Overlay:
    """The overlay whose networks know their MTUs as far as the file tells, and whether it tells."""
    carries = _carries(overlay, results)
    networks = dict(overlay.networks)
    for path, by_host in carries.items():
        told = overlay.mtu is not None or any(overlay.hosts[name].underlay_mtu for name in by_host)
        mtu = min(by_host.values()) if overlay.mtu is None else overlay.mtu
        networks[path] = results.of(path, replace, networks[path], mtu=mtu, mtu_told=told)
    return replace(overlay, networks=networks)


def _carries(overlay: Overlay, results: ResultCache) -> Mapping[str, Mapping[str, int]]:
    """By network and host, what the underlay leaves: that of the file, else a usual one. A port that may
    appear on any host brings its networks to all of them.
    """
    costs = overheads(overlay.hosts, overlay.encapsulation, results)
    roaming = {(bound.host, each.network) for bound in overlay.bound.values() for each in bound.attachments}
    carries: dict[str, dict[str, int]] = {}
    for name, host in overlay.hosts.items():
        left = (host.underlay_mtu or USUAL_MTU) - costs[host.vtep.version]
        for path in host.networks.union(p for at, p in roaming if at in {None, name}):
            carries.setdefault(path, {})[name] = left
    return carries


def workload_mtus(overlay: Overlay, host: Host, underlay: int) -> Mapping[str, int]:
    """By port, bytes in the MTU of its device on ``host``, whose vtep is on one with MTU ``underlay``."""
    if overlay.mtu is not None:
        return {port.name: overlay.mtu for port in host.ports}
    left = underlay - overheads(overlay.hosts, overlay.encapsulation)[host.vtep.version]
    told = {path: network.mtu for path, network in overlay.networks.items() if network.mtu_told}
    networks = {port.name: [each.network for each in port.attachments] for port in host.ports}
    return {name: min([left, *(told[p] for p in paths if p in told)]) for name, paths in networks.items()}


def unfit(overlay: Overlay, host: Host, underlay: int) -> Iterator[str]:
    """Whether ``overlay.mtu`` is more than this underlay of the host carries, in a sentence."""
    left = underlay - overheads(overlay.hosts, overlay.encapsulation)[host.vtep.version]
    if overlay.mtu is not None and overlay.mtu > left and host.tunnels:
        yield (
            f"overlay.mtu is {overlay.mtu}, but the underlay of {host.name} has {underlay} and carries "
            f"{left}: larger packets between hosts are lost"
        )


def remarks(overlay: Overlay) -> Iterator[str]:
    """Where the MTUs of the file do not go together, what follows from that, a sentence each."""
    for path, by_host in sorted(_carries(overlay, ResultCache()).items()):
        narrow = min(by_host, key=lambda name: (by_host[name], name))
        told = overlay.hosts[narrow].underlay_mtu is not None
        if overlay.mtu is not None and overlay.mtu > by_host[narrow]:
            needed = overlay.mtu - by_host[narrow] + USUAL_MTU
            yield f"{path}: its MTU is {overlay.mtu}, but {narrow} " + (
                f"carries {by_host[narrow]} at most"
                if told
                else f"must have an underlay of {needed} for that. Write it as hosts.{narrow}.underlay_mtu"
            )
        elif overlay.mtu is None and by_host[narrow] < max(by_host.values()):
            yield (
                f"{path}: its MTU is {by_host[narrow]}, as {narrow} carries no more; "
                f"others carry {max(by_host.values())}"
            )
