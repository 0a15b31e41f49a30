"""Do to the kernel what a plan says: namespaces, veths, addresses, and the host's own addresses."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
from collections.abc import Iterable, Iterator
from dataclasses import replace
from ipaddress import ip_interface
from pathlib import Path

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError
from pyroute2.netlink.rtnl.ifaddrmsg import IFA_F_NODAD

from sdnapp.config.devices import PHYSICAL_BRIDGE
from sdnapp.provision import ethtool, ingress, netns
from sdnapp.provision.kernel import DOOMED, GROUP, RTNH_F_ONLINK, ipv6_switch
from sdnapp.provision.plan import Change, Hand, Move
from sdnapp.provision.world import Namespace, Route, Workload


class Failed(Exception):
    """A step could not be done; the text says why, in words."""


@contextlib.contextmanager
def _in_words() -> Iterator[None]:
    """Turn what the kernel answers into words."""
    try:
        yield
    except NetlinkError as error:
        raise Failed(os.strerror(error.code)) from error
    except OSError as error:
        raise Failed(error.strerror or str(error)) from error


def apply(change: Change, owner: str, home: IPRoute) -> None:
    """Create, change or delete one namespace, or create or change a workload. Raises ``Failed``."""
    with _in_words():
        match change.old, change.new:
            case _, Namespace(name=name):
                netns.create(name, owner)
            case Namespace(name=name), None:
                netns.remove(name)
            case (Workload() | None) as old, Workload() as new:
                _apply_workload(old, new, home)


def delete(devices: Iterable[str], home: IPRoute) -> None:
    """Delete these devices of the host, all at once. Raises ``Failed``."""
    with _in_words():
        for device in devices:
            with contextlib.suppress(OSError):  # it may have gone by itself
                home.link("set", index=socket.if_nametoindex(device), group=DOOMED)
        with contextlib.suppress(NetlinkError):  # there may be none left
            home.link("del", group=DOOMED)


def _apply_workload(old: Workload | None, new: Workload, home: IPRoute) -> None:
    with netns.inside(new.namespace):
        there = IPRoute()
        control = ethtool.control_socket()
    with there, control:
        if old is None:
            _create_veth(home, new)
            old = replace(new, addresses=frozenset(), vlans=(), datapath="neither")
        end, inner = _index(new.name), ethtool.index(control, new.device)
        if ipv6_switch(new.name).exists():
            ipv6_switch(new.name).write_text("1", encoding="ascii")
        home.link("set", index=end, group=GROUP, mtu=new.mtu, state="up")
        there.link("set", index=inner, mtu=new.mtu, address=new.mac, state="up")
        there.link("set", index=netns.LOOPBACK, state="up")
        if old.datapath != new.datapath:
            ethtool.turn(control, new.device, ethtool.TX_CHECKSUM, on=new.datapath == "system")
            (ingress.undeafen if new.datapath == "system" else ingress.deafen)(home, end)
        _set_addresses(there, inner, old.addresses, new.addresses)
        _set_vlans(there, control, inner, old, new)


def _create_veth(home: IPRoute, new: Workload) -> None:
    """Create both ends at once, the inner one in its namespace: no step in between to be killed in."""
    namespace = os.open(netns.DIRECTORY / new.namespace, os.O_RDONLY | os.O_CLOEXEC)
    try:
        peer = {"ifname": new.device, "net_ns_fd": namespace, "address": new.mac, "mtu": new.mtu}
        home.link("add", ifname=new.name, kind="veth", group=GROUP, mtu=new.mtu, peer=peer)
    finally:
        os.close(namespace)


def _set_addresses(there: IPRoute, index: int, old: frozenset[str], new: frozenset[str]) -> None:
    """Bring the addresses of one device from ``old`` to ``new``.

    Without duplicate address detection (RFC 4862 section 5.4): it would keep an IPv6 address unusable for a
    second or more, and what it looks for cannot be: the configuration is checked for duplicates.
    """
    for address in sorted(old - new):
        _delete_address(there, index, address)
    for address in sorted(new):  # all: with the first IPv4 address of a subnet, the kernel deletes the others
        _add_address(there, index, address)


def _add_address(there: IPRoute, index: int, text: str) -> None:
    address = ip_interface(text)
    flags = IFA_F_NODAD if address.version == 6 else 0
    try:
        there.addr(
            "add", index=index, address=str(address.ip), prefixlen=address.network.prefixlen, flags=flags
        )
    except NetlinkError as error:
        if error.code != errno.EEXIST:
            raise


def _delete_address(there: IPRoute, index: int, text: str) -> None:
    address = ip_interface(text)
    try:
        there.addr("del", index=index, address=str(address.ip), prefixlen=address.network.prefixlen)
    except NetlinkError as error:
        if error.code != errno.EADDRNOTAVAIL:
            raise


def _set_vlans(there: IPRoute, control: socket.socket, inner: int, old: Workload, new: Workload) -> None:
    before, after = dict(old.vlans), dict(new.vlans)
    for tag in before.keys() - after.keys():
        there.link("del", index=ethtool.index(control, f"{new.device}.{tag}"))
    for tag, addresses in after.items():
        name = f"{new.device}.{tag}"
        if tag not in before:
            try:
                there.link("add", ifname=name, kind="vlan", link=inner, vlan_id=tag)
            except NetlinkError as error:
                if error.code == errno.EOPNOTSUPP:
                    raise Failed(f"this kernel has no VLAN devices (8021q): no {name}") from error
                raise
        index = ethtool.index(control, name)
        there.link("set", index=index, state="up")
        _set_addresses(there, index, before.get(tag, frozenset()), addresses)


def move(step: Move, home: IPRoute) -> None:
    """Bring addresses and routes from device to device; for a moment both have them. Raises ``Failed``."""
    with _in_words():
        target = _index(step.target)
        home.link("set", index=target, state="up")
        for address in step.addresses:
            _add_address(home, target, address)
        for source in home.link_lookup(ifname=step.source):
            for address in step.addresses:
                _delete_address(home, source, address)
        for route in sorted(step.routes, key=lambda route: (route.gateway is not None, repr(route))):
            _set_route(home, target, route)
        if step.target == PHYSICAL_BRIDGE:
            _ask_soon(step.target)


def _ask_soon(device: str) -> None:
    """Have the kernel look for neighbours every 20 ms, as long in all as it otherwise does every second.

    When Open vSwitch starts again, the kernel has forgotten the neighbours behind a bridge, and its first
    question is too early to be answered; in a second, the connection to the controller times out.
    """
    for family in ("ipv4", "ipv6"):
        knobs = Path("/proc/sys/net") / family / "neigh" / device
        if knobs.exists():
            (knobs / "retrans_time_ms").write_text("20", encoding="ascii")
            (knobs / "mcast_solicit").write_text("150", encoding="ascii")


def hand(step: Hand, home: IPRoute) -> None:
    """Let Open vSwitch alone have what an uplink receives, or the host's stack too. Raises ``Failed``.

    Open vSwitch reads into buffers of the device's MTU: what the device had joined would not fit.
    """
    with _in_words(), ethtool.control_socket() as control:
        ethtool.turn(control, step.device, ethtool.GRO, on=not step.to_switch)
        (ingress.deafen if step.to_switch else ingress.undeafen)(home, _index(step.device))


def _index(device: str) -> int:
    try:
        return socket.if_nametoindex(device)
    except OSError as error:
        raise Failed(f"there is no device {device}") from error


def _set_route(home: IPRoute, device: int, route: Route) -> None:
    """Make ``route`` lead through ``device``, wherever it led before."""
    home.route(
        "replace",
        family=socket.AF_INET6 if ":" in route.destination else socket.AF_INET,
        dst=route.destination,
        gateway=route.gateway,
        prefsrc=route.source,
        table=route.table,
        priority=route.metric or None,
        scope=route.scope,
        proto=route.protocol,
        oif=device,
        flags=RTNH_F_ONLINK if route.onlink else 0,
    )
