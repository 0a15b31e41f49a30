"""Execution of kernel steps of a plan: namespaces, veths, addresses."""

from __future__ import annotations

import errno
import os
import socket
import struct
import time
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from ipaddress import ip_interface
from pathlib import Path

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError
from pyroute2.netlink.rtnl.ifaddrmsg import IFA_F_NODAD

from sdnapp.config.devices import PHYSICAL_BRIDGE
from sdnapp.frames.packet import octets
from sdnapp.net.mtu import USUAL_MTU
from sdnapp.provision import ethtool, ingress, netlink, netns
from sdnapp.provision.appctl import Control, NoAnswer, Refused, process
from sdnapp.provision.kernel import DOOMED, GROUP, INNER, RTNH_F_ONLINK, ipv6_switch
from sdnapp.provision.plan import Change, Move, Reopen, SetUplinkExclusive
from sdnapp.provision.world import Namespace, Route, Workload

# Attributes: IFLA_* and VETH_INFO_PEER of linux/if_link.h and linux/veth.h, IFA_* of linux/if_addr.h.
_ADDRESS, _NAME, _MTU, _LINK, _INFO, _GROUP, _NAMESPACE = 1, 3, 4, 5, 18, 27, 28
_INFO_KIND, _INFO_DATA = 1, 2
_VETH_PEER = 1
_VLAN_ID = 1
_ADDRESS_ADDRESS, _ADDRESS_LOCAL, _ADDRESS_BROADCAST, _ADDRESS_FLAGS = 1, 2, 4, 8


_ON = netlink.IFF_UP | netlink.IFF_PROMISC
"""Open vSwitch would make a device promiscuous, and lose packets of other ports meanwhile (``PAUSE``)."""

_DATAPATH = "netdev@ovs-netdev"
"""The one datapath that all bridges of type netdev have: ovs-dpctl(8)."""

_ROOM = 100
"""Bytes by which the MTU of a veth's end on the host is larger when it is made: than the workload's, and than
Ethernet's.

Open vSwitch loses packets for some milliseconds when it changes, or when a port comes whose MTU is below that
of all others, as the bridge's own device follows. So it is the same for all, and stays, while the workloads'
follow the encapsulation.
"""

PAUSE = 0.03
"""Seconds between changes of devices, and between these and changes of bridges.

Each makes Open vSwitch read its routes anew, and changes of bridges and of their flows have it examine anew
what its userspace datapath does with all frames. If it examines while it reads (3.1 does, in another thread),
it finds no routes, and tunnels lose packets for some 5 to 20 ms.
"""

BRISK = 0.008
"""The same where there are dozens or hundreds of them: a few packets may be lost then.

At 5 ms it is more than without any pause: so long after it last began, Open vSwitch examines again
(``decisions/pauses-between-devices.md``, also on why it is not asked when it is through).
"""


class RateLimiter:
    """Minimum interval between changes that disturb Open vSwitch."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._last = float("-inf")

    def wait(self) -> None:
        """Wait, just before it is disturbed, until the last time is long enough ago."""
        time.sleep(max(0.0, self._last + self.seconds - time.monotonic()))
        self._last = time.monotonic()


class Failed(Exception):
    """A step could not be done; the text says why, in words."""


@contextmanager
def _in_words() -> Iterator[None]:
    """Turn what the kernel answers into words."""
    try:
        yield
    except NetlinkError as error:
        raise Failed(os.strerror(error.code)) from error
    except OSError as error:
        raise Failed(error.strerror or str(error)) from error


def apply(change: Change, owner: str, pace: RateLimiter) -> None:
    """Create, change or delete one namespace, or create or change a workload. Raises ``Failed``."""
    with _in_words():
        match change.old, change.new:
            case _, Namespace(name=name):
                netns.create(name, owner)
            case Namespace(name=name), None:
                netns.remove(name)
            case (Workload() | None) as old, Workload() as new:
                _apply_workload(old, new, pace)


def delete(devices: Iterable[str], pace: RateLimiter) -> None:
    """Take these devices of the host down, then delete all at once, which takes the kernel as long as one.

    Raises ``Failed``.
    """
    doomed = netlink.attribute(_GROUP, DOOMED)
    with _in_words(), netlink.rtnetlink() as home:
        pace.wait()
        for device in devices:
            with suppress(OSError):  # it may have gone by itself
                netlink.set_link(home, socket.if_nametoindex(device), doomed, up=False)
        pace.wait()
        with suppress(OSError):  # there may be none left
            netlink.change(home, netlink.LINK + netlink.DELETE, netlink.IFINFOMSG.pack(0, 0, 0, 0, 0), doomed)


def _apply_workload(old: Workload | None, new: Workload, pace: RateLimiter) -> None:
    with netns.inside(new.namespace):
        there, control = netlink.rtnetlink(), ethtool.control_socket()
    with there, control, netlink.rtnetlink() as home, ethtool.control_socket() as ours:
        mark, up = b"" if old is None else netlink.attribute(_GROUP, GROUP), pace.seconds < PAUSE
        if old is None:
            _delete_leftover(there, new.device)
            pace.wait()
            _create_veth(home, new, up=up)
            old = replace(new, addresses=frozenset(), vlans=(), datapath="neither", ready=False)
        end, inner = _index(new.name), ethtool.index(control, new.device)
        if not old.ready:
            if ipv6_switch(new.name).exists():
                ipv6_switch(new.name).write_text("1", encoding="ascii")
            if mark or not up:
                pace.wait()
                netlink.set_link(home, end, mark, flags=_ON)
            pace.wait()
        if ethtool.mtu(ours, new.name) < new.mtu:
            pace.wait()
            netlink.set_link(home, end, netlink.attribute(_MTU, _outer_mtu(new)))
        netlink.set_link(there, inner, netlink.attribute(_MTU, new.mtu))
        if old.mac != new.mac:  # setting it, even to what it is, makes the device forget its neighbours
            netlink.set_link(there, inner, netlink.attribute(_ADDRESS, octets(new.mac)))
        netlink.set_link(there, netns.LOOPBACK)
        if old.datapath != new.datapath:
            ethtool.turn(control, new.device, ethtool.TX_CHECKSUM, on=new.datapath == "system")
            (ingress.unblock_host_stack if new.datapath == "system" else ingress.block_host_stack)(home, end)
        _set_addresses(there, inner, old.addresses, new.addresses)
        _set_vlans(there, control, inner, old, new)


def _outer_mtu(workload: Workload) -> int:
    return max(workload.mtu, USUAL_MTU) + _ROOM


def _delete_leftover(there: socket.socket, device: str) -> None:
    """Delete the inner end of a veth of ours without its end on the host: it has the name of the new."""
    for answer in netlink.dump(there, netlink.LINK, netlink.IFINFOMSG.pack(0, 0, 0, 0, 0)):
        named = netlink.text(answer.attributes[_NAME]) == device
        if named and netlink.number(answer.attributes.get(_GROUP)) == INNER:
            index = netlink.IFINFOMSG.unpack(answer.fixed)[2]
            netlink.change(there, netlink.LINK + netlink.DELETE, netlink.IFINFOMSG.pack(0, 0, index, 0, 0))


def _create_veth(home: socket.socket, new: Workload, *, up: bool) -> None:
    """Create both ends at once, the inner one in its namespace: no step in between to be killed in.

    The one on the host may be ``up`` at once, which is one change less; but once in a second the kernel tells
    twice of that, at nearly the same time.
    """
    attribute = netlink.attribute
    namespace = os.open(netns.DIRECTORY / new.namespace, os.O_RDONLY | os.O_CLOEXEC)
    try:
        peer = attribute(
            _VETH_PEER,
            netlink.IFINFOMSG.pack(0, 0, 0, 0, 0),
            attribute(_NAME, new.device),
            attribute(_GROUP, INNER),
            attribute(_ADDRESS, octets(new.mac)),
            attribute(_NAMESPACE, namespace),
            attribute(_MTU, new.mtu),
        )
        kind = attribute(_INFO, b"", attribute(_INFO_KIND, "veth"), attribute(_INFO_DATA, b"", peer))
        of = attribute(_NAME, new.name), attribute(_GROUP, GROUP), attribute(_MTU, _outer_mtu(new)), kind
        fixed = netlink.IFINFOMSG.pack(0, 0, 0, up * _ON, up * _ON)
        netlink.change(home, netlink.LINK + netlink.NEW, fixed, *of, flags=netlink.CREATE)
    finally:
        os.close(namespace)


def _set_addresses(there: socket.socket, index: int, old: frozenset[str], new: frozenset[str]) -> None:
    """Bring the addresses of one device from ``old`` to ``new``."""
    for address in sorted(old - new):
        _delete_address(there, index, address)
    for address in sorted(new):  # all: with the first IPv4 address of a subnet, the kernel deletes the others
        _add_address(there, index, address)


def _add_address(there: socket.socket, index: int, address: str, *, broadcast: bool = False) -> None:
    """Add an address, if it is not there, with the ``broadcast`` address of its subnet or without.

    Without duplicate address detection (RFC 4862 section 5.4): it would keep an IPv6 address unusable for a
    second or more, and what it looks for cannot be: the configuration is checked for duplicates.
    """
    fixed, local = _address(index, address)
    flags = netlink.attribute(_ADDRESS_FLAGS, IFA_F_NODAD if ":" in address else 0)
    last = ip_interface(address).network.broadcast_address.packed
    brd = (netlink.attribute(_ADDRESS_BROADCAST, last),) if broadcast else ()
    with suppress(FileExistsError):
        netlink.change(there, netlink.ADDRESS + netlink.NEW, fixed, *local, *brd, flags, flags=netlink.CREATE)


def _delete_address(there: socket.socket, index: int, address: str) -> None:
    fixed, local = _address(index, address)
    try:
        netlink.change(there, netlink.ADDRESS + netlink.DELETE, fixed, *local)
    except OSError as error:
        if error.errno != errno.EADDRNOTAVAIL:
            raise


def _address(index: int, text: str) -> tuple[bytes, tuple[bytes, bytes]]:
    address = ip_interface(text)
    family = socket.AF_INET6 if address.version == 6 else socket.AF_INET
    fixed = netlink.IFADDRMSG.pack(family, address.network.prefixlen, 0, 0, index)
    packed = address.ip.packed
    return fixed, (netlink.attribute(_ADDRESS_LOCAL, packed), netlink.attribute(_ADDRESS_ADDRESS, packed))


def _set_vlans(
    there: socket.socket, control: socket.socket, inner: int, old: Workload, new: Workload
) -> None:
    before, after = dict(old.vlans), dict(new.vlans)
    for tag in before.keys() - after.keys():
        index = ethtool.index(control, f"{new.device}.{tag}")
        netlink.change(there, netlink.LINK + netlink.DELETE, netlink.IFINFOMSG.pack(0, 0, index, 0, 0))
    for tag, addresses in after.items():
        name = f"{new.device}.{tag}"
        if tag not in before:
            _create_vlan(there, inner, name, tag)
        index = ethtool.index(control, name)
        netlink.set_link(there, index)
        _set_addresses(there, index, before.get(tag, frozenset()), addresses)


def _create_vlan(there: socket.socket, inner: int, name: str, tag: int) -> None:
    attribute = netlink.attribute
    data = attribute(_INFO_DATA, b"", attribute(_VLAN_ID, struct.pack("=H", tag)))
    of = attribute(_NAME, name), attribute(_LINK, inner)
    kind = attribute(_INFO, b"", attribute(_INFO_KIND, "vlan"), data)
    fixed = netlink.IFINFOMSG.pack(0, 0, 0, 0, 0)
    try:
        netlink.change(there, netlink.LINK + netlink.NEW, fixed, *of, kind, flags=netlink.CREATE)
    except OSError as error:
        if error.errno == errno.EOPNOTSUPP:
            raise Failed(f"this kernel has no VLAN devices (8021q): no {name}") from error
        raise


def move(step: Move) -> None:
    """Bring addresses and routes from device to device; for a moment both have them. Raises ``Failed``."""
    with _in_words(), netlink.rtnetlink() as home, IPRoute() as routes:
        target = _index(step.target)
        netlink.set_link(home, target)
        for address in step.addresses:
            _add_address(home, target, address, broadcast=address in step.broadcast)
        if any(name == step.source for _, name in socket.if_nameindex()):
            for address in step.addresses:
                _delete_address(home, _index(step.source), address)
        for route in sorted(step.routes, key=lambda route: (route.gateway is not None, repr(route))):
            _set_route(routes, target, route)
        if step.target == PHYSICAL_BRIDGE:
            _ask_soon(step.target)


def _ask_soon(device: str) -> None:
    """Have the kernel look for neighbours every 10 ms for a second, not every second for three.

    When Open vSwitch starts again, the kernel has forgotten the neighbours behind a bridge, and its first
    question is too early to be answered; in a second, the connection to the controller times out. To ask any
    longer is a burden when a peer is dead: all others ask for it every ``neighbours.VALIDATE`` looks.
    """
    for family in ("ipv4", "ipv6"):
        knobs = Path("/proc/sys/net") / family / "neigh" / device
        if knobs.exists():
            (knobs / "retrans_time_ms").write_text("10", encoding="ascii")
            (knobs / "mcast_solicit").write_text("100", encoding="ascii")


def detach(step: Reopen, directory: Path) -> None:
    """Have the userspace datapath let go of a port's device; the next reconfiguration opens it again.

    So the kernel's datapath does by itself when a device goes. OVSDB is not touched: the port has its number
    again at once. Nothing is done where ovs-vswitchd does not run: then nothing is open. Raises ``Failed``.
    """
    try:
        with closing(Control(directory)) as control, suppress(Refused):  # the port may have gone by itself
            control.ask("dpctl/del-if", _DATAPATH, step.device)
    except NoAnswer:
        if process(directory) is not None:
            raise Failed("ovs-vswitchd does not answer") from None


def set_uplink_exclusive(step: SetUplinkExclusive) -> None:
    """Deliver frames of an uplink to Open vSwitch only, or to the host's stack too. Raises ``Failed``.

    Open vSwitch reads into buffers of the device's MTU: what the device had joined would not fit.
    """
    with _in_words(), netlink.rtnetlink() as home, ethtool.control_socket() as control:
        ethtool.turn(control, step.device, ethtool.GRO, on=not step.to_switch)
        (ingress.block_host_stack if step.to_switch else ingress.unblock_host_stack)(
            home, _index(step.device)
        )


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
