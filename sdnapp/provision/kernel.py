"""What the kernel has on a host: devices, addresses, routes, namespaces and veths, read through netlink."""

from __future__ import annotations

import functools
import socket
from dataclasses import dataclass
from ipaddress import ip_interface
from pathlib import Path
from typing import Any

from pyroute2 import GenericNetlinkSocket, IPRoute
from pyroute2.netlink.exceptions import NetlinkError
from pyroute2.netlink.rtnl import rt_type
from pyroute2.netlink.rtnl.ifaddrmsg import IFA_F_PERMANENT

from sdnapp.provision import ethtool, ingress, netns
from sdnapp.provision.world import Device, Namespace, Route, Workload

GROUP = int.from_bytes(b"sdn", "big")
"""The link group of our veths' host ends: a mark that a device has from its creation on."""

DOOMED = GROUP + 1
"""The link group of those being deleted: the kernel deletes a group at once, 20 times faster."""

KEPT_PROTOCOLS = frozenset({3, 4, 16})
"""boot, static, dhcp (rtnetlink(7)): routes that somebody set. The kernel and daemons make theirs anew."""

LOCAL_TABLE = 255
RTNH_F_ONLINK = 4

FALLBACK_KINDS = frozenset(
    {"ipip", "sit", "gre", "gretap", "erspan", "ip6tnl", "ip6gre", "ip6gretap", "vti", "vti6"}
)
"""Kinds of the devices that the kernel itself puts into every namespace when their modules are loaded."""


@dataclass(frozen=True, slots=True)
class Kernel:
    """What the kernel has, all of it read at about one time."""

    devices: dict[str, Device]
    namespaces: dict[str, Namespace]
    workloads: dict[str, Workload]


@functools.cache
def has_datapath() -> bool:
    """Whether this kernel has Open vSwitch's datapath; asking loads its module where there is one.

    Asked once: a host does not change its datapath while a program runs.
    """
    with GenericNetlinkSocket() as generic:
        try:
            generic.bind("ovs_datapath", None)
        except NetlinkError:
            return False
    return True


def read() -> Kernel:
    """Read the devices of this namespace, and all namespaces that have a name."""
    with IPRoute() as home:
        links = {link["index"]: link for link in home.get_links()}
        filtering = ingress.with_qdisc(home)
        deaf = frozenset(index for index in links if ingress.deaf(home, index, filtering))
        devices = _devices(home, links, deaf)
    namespaces: dict[str, Namespace] = {}
    workloads: dict[str, Workload] = {}
    for name in netns.names():
        namespaces[name], found = _namespace(name, links, deaf)
        workloads.update((workload.name, workload) for workload in found)
    return Kernel(devices, namespaces, workloads)


def _devices(home: IPRoute, links: dict[int, Any], deaf: frozenset[int]) -> dict[str, Device]:
    addresses: dict[int, list[str]] = {index: [] for index in links}
    for message in home.get_addr():
        address = ip_interface(f"{_local(message)}/{message['prefixlen']}")
        flags = message.get("flags") or 0
        learned = address.version == 6 and not flags & IFA_F_PERMANENT
        if not (address.is_link_local and address.version == 6) and not learned:
            addresses.setdefault(message["index"], []).append(str(address))
    routes: dict[int, set[Route]] = {index: set() for index in links}
    for family, everywhere in ((socket.AF_INET, "0.0.0.0/0"), (socket.AF_INET6, "::/0")):
        for message in home.get_routes(family=family):
            index = message.get("oif")
            if (
                index in routes
                and message["proto"] in KEPT_PROTOCOLS
                and message["type"] == rt_type["unicast"]
            ):
                routes[index].add(_route(message, everywhere))
    return {
        link.get("ifname"): Device(
            name=link.get("ifname"),
            mac=link.get("address") or "",
            mtu=link.get("mtu") or 0,
            up=link.get("state") == "up",
            deaf=index in deaf,
            addresses=tuple(addresses[index]),
            routes=frozenset(route for route in routes[index] if route.table != LOCAL_TABLE),
        )
        for index, link in links.items()
    }


def _local(message: Any) -> str:
    """Of a point-to-point address, ours."""
    return str(message.get("local") or message.get("address"))


def _route(message: Any, everywhere: str) -> Route:
    destination = message.get("dst")
    return Route(
        destination=f"{destination}/{message['dst_len']}" if destination else everywhere,
        gateway=message.get("gateway"),
        source=message.get("prefsrc"),
        table=message.get("table") or 0,
        metric=message.get("priority") or 0,
        scope=message["scope"],
        protocol=message["proto"],
        onlink=bool(message["flags"] & RTNH_F_ONLINK),
    )


def _namespace(
    name: str, host_links: dict[int, Any], deaf: frozenset[int]
) -> tuple[Namespace, list[Workload]]:
    """Read namespace ``name`` and the veths of ours that lead into it; of a stranger's, nothing more."""
    try:
        with netns.inside(name):
            there = IPRoute()
            control = ethtool.control_socket()
    except OSError:
        owner = netns.leftover(name)
        return Namespace(name, owner, complete=owner is None), []
    with there, control:
        (loopback,) = there.get_links(netns.LOOPBACK)
        owner = netns.owner(loopback.get("ifalias"))
        if owner is None:
            return Namespace(name, None), []
        links = {link["index"]: link for link in there.get_links()}
        ends = {
            link["index"]: host_links[link.get("link")]
            for link in links.values()
            if _kind(link) == "veth" and _is_our_end(host_links.get(link.get("link")), link["index"])
        }
        addresses: dict[int, set[str]] = {index: set() for index in links}
        for message in there.get_addr():
            if message["scope"] == 0 and (message.get("flags") or 0) & IFA_F_PERMANENT:
                addresses[message["index"]].add(f"{_local(message)}/{message['prefixlen']}")
        workloads = []
        for index, end in ends.items():
            inner = links[index]
            vlans = [
                (link.get(("linkinfo", "data", "vlan_id")), frozenset(addresses[i]))
                for i, link in links.items()
                if _kind(link) == "vlan" and link.get("link") == index
            ]
            offloads, hears = (
                ethtool.get(control, inner.get("ifname"), ethtool.TX_CHECKSUM),
                end["index"] not in deaf,
            )
            workloads.append(
                Workload(
                    name=end.get("ifname"),
                    owner=owner,
                    namespace=name,
                    device=inner.get("ifname"),
                    mac=inner.get("address"),
                    mtu=inner.get("mtu"),
                    addresses=frozenset(addresses[index]),
                    vlans=tuple(sorted(vlans)),
                    datapath="neither" if offloads != hears else "system" if offloads else "netdev",
                    ready=_is_ready(inner, end, loopback),
                )
            )
    ours = {netns.LOOPBACK, *ends}
    strangers = frozenset(
        link.get("ifname")
        for index, link in links.items()
        if index not in ours and _kind(link) not in FALLBACK_KINDS and link.get("link") not in ends
    )
    return Namespace(name, owner, strangers=strangers), workloads


def _kind(link: Any) -> str | None:
    kind = link.get(("linkinfo", "kind"))
    return str(kind) if kind else None


def _is_our_end(link: Any, peer: int) -> bool:
    """Whether ``link``, if there is one, is the host's end of the veth whose other end is ``peer``."""
    if link is None or _kind(link) != "veth" or link.get("link") != peer:
        return False
    return link.get("group") in (GROUP, DOOMED)


def _is_ready(inner: Any, end: Any, loopback: Any) -> bool:
    up = all(link.get("state") == "up" for link in (inner, end, loopback)) and end.get("group") == GROUP
    return up and inner.get("mtu") == end.get("mtu") and not _speaks_ipv6(end.get("ifname"))


def ipv6_switch(device: str) -> Path:
    """The file whose 1 keeps IPv6 off a device."""
    return Path("/proc/sys/net/ipv6/conf") / device / "disable_ipv6"


def _speaks_ipv6(device: str) -> bool:
    switch = ipv6_switch(device)
    return switch.exists() and switch.read_text(encoding="ascii").strip() == "0"
