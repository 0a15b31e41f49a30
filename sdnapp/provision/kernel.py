"""Kernel state of a host, read by netlink: devices, addresses, routes, namespaces and veths."""

from __future__ import annotations

import functools
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_address, ip_interface
from pathlib import Path

from pyroute2 import GenericNetlinkSocket
from pyroute2.netlink.exceptions import NetlinkError
from pyroute2.netlink.rtnl.ifaddrmsg import IFA_F_PERMANENT

from sdnapp.net.model import Interface
from sdnapp.provision import ethtool, ingress, netlink, netns
from sdnapp.provision.world import Device, Namespace, Route, Workload

GROUP = int.from_bytes(b"sdn", "big")
"""The link group of our veths' host ends: a mark that a device has from its creation on."""

DOOMED = GROUP + 1
"""The link group of those being deleted: the kernel deletes a group at once, 20 times faster."""

INNER = GROUP + 2
"""The link group of their other ends, to tell one that lost its host's end from a foreign device."""

KEPT_PROTOCOLS = frozenset({3, 4, 16})
"""boot, static, dhcp (rtnetlink(7)): configured routes. The kernel and daemons restore theirs themselves."""

LOCAL_TABLE = 255
RTNH_F_ONLINK = 4

_UNICAST = 1  # RTN_UNICAST
_EVERYWHERE = {int(socket.AF_INET): "0.0.0.0/0", int(socket.AF_INET6): "::/0"}

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


@dataclass(frozen=True, slots=True)
class _Link:
    """A device as rtnetlink(7) tells of it; ``link`` is the index of the one below, or at the other end."""

    index: int
    name: str
    mac: str
    mtu: int
    up: bool
    link: int | None
    kind: str | None
    vlan: int | None
    group: int
    alias: str | None


def read() -> Kernel:
    """Read the devices of this namespace, and all namespaces that have a name. Raises OSError."""
    with netlink.rtnetlink() as home:
        links = _links(home)
        stack_blocked = ingress.blocked_devices(home)
        devices = _devices(home, links, stack_blocked)
    namespaces: dict[str, Namespace] = {}
    workloads: dict[str, Workload] = {}
    for name in netns.names():
        namespaces[name], found = _namespace(name, links, stack_blocked)
        workloads.update((workload.name, workload) for workload in found)
    ends = (link for link in links.values() if link.kind == "veth" and link.group in (GROUP, DOOMED))
    workloads.update((end.name, _cut_off(end)) for end in ends if end.name not in workloads)
    return Kernel(devices, namespaces, workloads)


def _cut_off(end: _Link) -> Workload:
    """Describe the host's end of a veth of ours with its other end in no namespace that has a name."""
    return Workload(
        name=end.name,
        owner=None,
        namespace="",
        device="",
        mac="",
        mtu=end.mtu,
        addresses=frozenset(),
        vlans=(),
        datapath="neither",
        ready=False,
    )


def _links(rtnetlink: socket.socket) -> dict[int, _Link]:
    answers = netlink.dump(rtnetlink, netlink.LINK, netlink.IFINFOMSG.pack(0, 0, 0, 0, 0))
    return {link.index: link for link in map(_link, answers)}


def _link(answer: netlink.Answer) -> _Link:
    """Read one device: IFLA_* of linux/if_link.h."""
    _, _, index, flags, _ = netlink.IFINFOMSG.unpack(answer.fixed)
    of = answer.attributes
    info = netlink.attributes(of.get(18, b""))
    data = netlink.attributes(info.get(2, b""))
    return _Link(
        index=index,
        name=netlink.text(of[3]),
        mac=of.get(1, b"").hex(":"),
        mtu=netlink.number(of.get(4)) or 0,
        up=bool(flags & netlink.IFF_UP),
        link=netlink.number(of.get(5)),
        kind=netlink.text(info[1]) if 1 in info else None,
        vlan=netlink.number(data.get(1)) if info.get(1) == b"vlan\0" else None,
        group=netlink.number(of.get(27)) or 0,
        alias=netlink.text(of[20]) if 20 in of else None,
    )


@dataclass(frozen=True, slots=True)
class _Address:
    """An address of a device; of a point-to-point one, the near end's."""

    index: int
    interface: Interface
    broadcast: bool
    scope: int
    flags: int


def _addresses(rtnetlink: socket.socket) -> Iterator[_Address]:
    """Read the addresses of all devices."""
    for answer in netlink.dump(rtnetlink, netlink.ADDRESS, netlink.IFADDRMSG.pack(0, 0, 0, 0, 0)):
        _, length, flags, scope, index = netlink.IFADDRMSG.unpack(answer.fixed)
        of = answer.attributes  # IFA_ADDRESS, IFA_LOCAL, IFA_BROADCAST, IFA_FLAGS of linux/if_addr.h
        address = ip_interface((of.get(2) or of[1], length))
        yield _Address(index, address, 4 in of, scope, netlink.number(of.get(8)) or flags)


def _devices(
    home: socket.socket, links: dict[int, _Link], stack_blocked: frozenset[int]
) -> dict[str, Device]:
    addresses: dict[int, list[_Address]] = {index: [] for index in links}
    for address in _addresses(home):
        learned = not address.flags & IFA_F_PERMANENT or address.interface.is_link_local
        if address.interface.version == 4 or not learned:
            addresses.setdefault(address.index, []).append(address)
    routes: dict[int, set[Route]] = {index: set() for index in links}
    for answer in netlink.dump(home, netlink.ROUTE, netlink.RTMSG.pack(0, 0, 0, 0, 0, 0, 0, 0, 0)):
        oif, route = _route(answer)
        if oif in routes and route is not None and route.table != LOCAL_TABLE:
            routes[oif].add(route)
    return {
        link.name: Device(
            name=link.name,
            mac=link.mac,
            mtu=link.mtu,
            up=link.up,
            stack_blocked=index in stack_blocked,
            addresses=tuple(str(address.interface) for address in addresses[index]),
            routes=frozenset(routes[index]),
            broadcast=frozenset(str(a.interface) for a in addresses[index] if a.broadcast),
            index=index,
        )
        for index, link in links.items()
    }


def _route(answer: netlink.Answer) -> tuple[int | None, Route | None]:
    """Read the device and, of a configured route, the route: RTA_* of linux/rtnetlink.h."""
    family, length, _, _, table, protocol, scope, kind, flags = netlink.RTMSG.unpack(answer.fixed)
    of = answer.attributes
    oif = netlink.number(of.get(4))
    if protocol not in KEPT_PROTOCOLS or kind != _UNICAST or family not in _EVERYWHERE:
        return oif, None
    return oif, Route(
        destination=f"{ip_address(of[1])}/{length}" if 1 in of else _EVERYWHERE[family],
        gateway=str(ip_address(of[5])) if 5 in of else None,
        source=str(ip_address(of[7])) if 7 in of else None,
        table=netlink.number(of.get(15)) or table,
        metric=netlink.number(of.get(6)) or 0,
        scope=scope,
        protocol=protocol,
        onlink=bool(flags & RTNH_F_ONLINK),
    )


def _namespace(
    name: str, host_links: dict[int, _Link], stack_blocked: frozenset[int]
) -> tuple[Namespace, list[Workload]]:
    """Read namespace ``name`` and the veths of ours that lead into it; of unmanaged ones, only the name."""
    try:
        with netns.inside(name):
            there = netlink.rtnetlink()
            control = ethtool.control_socket()
    except OSError:
        owner = netns.leftover(name)
        return Namespace(name, owner, complete=owner is None), []
    with there, control:
        links = _links(there)
        owner = netns.owner(links[netns.LOOPBACK].alias)
        if owner is None:
            return Namespace(name, None), []
        addresses: dict[int, set[str]] = {index: set() for index in links}
        for address in _addresses(there):
            if address.scope == 0 and address.flags & IFA_F_PERMANENT:
                addresses[address.index].add(str(address.interface))
        workloads = {}
        for index, inner in links.items():
            end = host_links.get(inner.link) if inner.link else None
            if end is None or inner.kind != "veth" or not _is_our_end(end, index):
                continue
            offloads = ethtool.get(control, inner.name, ethtool.TX_CHECKSUM)
            hears = end.index not in stack_blocked
            workloads[index] = Workload(
                name=end.name,
                owner=owner,
                namespace=name,
                device=inner.name,
                mac=inner.mac,
                mtu=inner.mtu,
                addresses=frozenset(addresses[index]),
                vlans=_vlans(index, links, addresses),
                datapath="neither" if offloads != hears else "system" if offloads else "netdev",
                ready=_is_ready(inner, end, links[netns.LOOPBACK]),
            )
    unmanaged = frozenset(
        link.name
        for index, link in links.items()
        if index not in {netns.LOOPBACK, *workloads}
        and link.link not in workloads
        and link.kind not in FALLBACK_KINDS
        and not (link.kind == "veth" and link.group == INNER)
    )
    return Namespace(name, owner, unmanaged_devices=unmanaged), list(workloads.values())


def _vlans(
    parent: int, links: dict[int, _Link], addresses: dict[int, set[str]]
) -> tuple[tuple[int, frozenset[str]], ...]:
    """Tag and addresses of the VLAN devices on ``parent``, sorted by tag."""
    return tuple(
        sorted(
            (link.vlan, frozenset(addresses[index]))
            for index, link in links.items()
            if link.vlan is not None and link.link == parent
        )
    )


def _is_our_end(link: _Link, peer: int) -> bool:
    """Whether ``link`` is ours, and the host's end of the veth whose other end is ``peer``."""
    return link.kind == "veth" and link.link == peer and link.group in (GROUP, DOOMED)


def _is_ready(inner: _Link, end: _Link, loopback: _Link) -> bool:
    up = inner.up and end.up and loopback.up and end.group == GROUP
    return up and inner.mtu <= end.mtu and not _speaks_ipv6(end.name)


def ipv6_switch(device: str) -> Path:
    """The file whose 1 keeps IPv6 off a device."""
    return Path("/proc/sys/net/ipv6/conf") / device / "disable_ipv6"


def _speaks_ipv6(device: str) -> bool:
    switch = ipv6_switch(device)
    return switch.exists() and switch.read_text(encoding="ascii").strip() == "0"
