"""The underlay of a lab: one Ethernet segment that joins its hosts and its controller.

``plan`` decides the addresses and touches nothing; ``wire`` makes the links.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from typing import Any

from sdnapp.lab.errors import LabError
from sdnapp.lab.machine import Machine, entered
from sdnapp.net.model import Address, Overlay, Subnet
from sdnapp.provision import ethtool

DEVICE = "eth0"
"""The underlay device of the controller, and of a host that names no ``uplink``."""

_PREFIX = {4: 24, 6: 64}
_NODAD = 0x02  # IFA_F_NODAD: usable at once, no other station can have the address


@dataclass(frozen=True, slots=True)
class Segment:
    """One address family of the underlay: its subnet, and the controller's address in it."""

    subnet: Subnet
    controller: Address


def plan(overlay: Overlay) -> tuple[Segment, ...]:
    """Return the segments that hold every vtep, one for each address family, IPv4 first.

    A subnet is a /24 (/64), wider only where the vteps need it. The controller has the address of the
    file's ``controller.target`` where that fits, else a free one. Raises LabError when no subnet does.
    """
    vteps = {host.vtep for host in overlay.hosts.values()}
    wanted = _address(overlay.controller.target)
    return tuple(
        _segment({vtep for vtep in vteps if vtep.version == version}, wanted)
        for version in sorted({vtep.version for vtep in vteps})
    )


def controller_for(host_vtep: Address, segments: Iterable[Segment]) -> Address:
    """Return the controller's address that a host with this vtep reaches."""
    return next(s.controller for s in segments if s.controller.version == host_vtep.version)


def as_in_file(overlay: Overlay, segments: Sequence[Segment]) -> bool:
    """Whether bridges connect as the file says: where it has TLS, and the controller the target's address."""
    controller, (segment, *others) = overlay.controller, segments
    places = {str(segment.controller), "0.0.0.0", "::"}
    return (
        not others
        and any(listen.tls for listen in controller.listens)
        and _address(controller.target) == segment.controller
        and all(listen.host in places for listen in controller.listens)
    )


def target(address: Address, port: int, *, tls: bool = False) -> str:
    """Return an OpenFlow target such as ``tcp:192.168.4.10:6653`` (ovs-vswitchd.conf.db(5))."""
    host = f"[{address}]" if address.version == 6 else str(address)
    return f"{'ssl' if tls else 'tcp'}:{host}:{port}"


def wire(
    overlay: Overlay,
    segments: tuple[Segment, ...],
    underlay: Machine,
    controller: Machine,
    hosts: Mapping[str, Machine],
) -> None:
    """Join the machines to the segment, with their addresses, ready to be used."""
    with _netlink(underlay) as ip:
        ip.link("set", index=1, state="up")
        ip.link("add", ifname="segment", kind="bridge")
        bridge = ip.link_lookup(ifname="segment")[0]
        ip.link("set", index=bridge, state="up")
        _attach(ip, bridge, "controller", controller, DEVICE)
        for number, (name, host) in enumerate(sorted(hosts.items()), start=1):
            # Numbered: a name of the file may be too long for a device, or be "controller".
            _attach(
                ip, bridge, f"host.{number}", host, uplink(overlay, name), overlay.hosts[name].underlay_mtu
            )
    for name, host in hosts.items():
        vtep = overlay.hosts[name].vtep
        subnet = next(s.subnet for s in segments if s.subnet.version == vtep.version)
        _address_device(host, uplink(overlay, name), [(vtep, subnet.prefixlen)])
    _address_device(controller, DEVICE, [(s.controller, s.subnet.prefixlen) for s in segments])
    with entered(controller), ethtool.control_socket() as control:
        # A virtual cable carries a checksum that hardware should fill in as it is: the kernel at its other
        # end knows, but a userspace datapath there does not, and all TCP would be dropped behind it.
        ethtool.turn(control, DEVICE, ethtool.TX_CHECKSUM, on=False)


def uplink(overlay: Overlay, host: str) -> str:
    """Return the name of the underlay device of a host."""
    return overlay.hosts[host].uplink or DEVICE


@contextmanager
def _netlink(machine: Machine) -> Iterator[Any]:
    from pyroute2 import IPRoute  # not for every command that knows of labs: it takes long to import

    with entered(machine):
        netlink = IPRoute()
    with netlink:
        yield netlink


def _attach(  # noqa: PLR0917  # a cable has two ends
    ip: Any, bridge: int, near: str, machine: Machine, far: str, mtu: int | None = None
) -> None:
    """Lay a cable from the bridge to a device of a machine."""
    size = {} if mtu is None else {"mtu": mtu}
    ip.link(
        "add",
        ifname=near,
        kind="veth",
        peer={"ifname": far, "net_ns_pid": machine.anchor.pid, **size},
        **size,
    )
    index = ip.link_lookup(ifname=near)[0]
    ip.link("set", index=index, master=bridge, state="up")


def _address_device(machine: Machine, device: str, addresses: list[tuple[Address, int]]) -> None:
    with _netlink(machine) as ip:
        index = ip.link_lookup(ifname=device)[0]
        ip.link("set", index=1, state="up")
        for address, prefix in addresses:
            flags = {"flags": _NODAD} if address.version == 6 else {}
            ip.addr("add", index=index, address=str(address), prefixlen=prefix, **flags)
        ip.link("set", index=index, state="up")


def _segment(vteps: set[Address], wanted: Address | None) -> Segment:
    prefix = _PREFIX[next(iter(vteps)).version]
    if wanted is not None and wanted not in vteps and wanted.version == next(iter(vteps)).version:
        span = _span(vteps | {wanted}, prefix)
        if span is not None:
            return Segment(span, wanted)
    span = _span(vteps, prefix)
    if span is None:
        raise LabError(f"no subnet holds all vteps, from {min(vteps, key=int)} to {max(vteps, key=int)}")
    free = (span[-n] for n in range(2, len(vteps) + 3))
    return Segment(span, next(address for address in free if address not in vteps))


def _span(addresses: set[Address], longest: int) -> Subnet | None:
    """Return the smallest subnet, no smaller than ``longest``, that holds them and can be routed."""
    for length in range(longest, 0, -1):
        subnet = ip_network((min(addresses, key=int), length), strict=False)
        # The kernel makes no route for an IPv4 subnet that begins with 0.
        if all(address in subnet for address in addresses) and int(subnet.network_address):
            return subnet
    return None


def _address(target: str) -> Address | None:
    """Return the address of a target such as ``tcp:1.2.3.4:6653``; None for loopback or another kind."""
    scheme, _, rest = target.partition(":")
    try:
        address = ip_address(rest.rpartition(":")[0].strip("[]"))
    except ValueError:
        return None
    return None if scheme not in {"tcp", "ssl"} or address.is_loopback or address.is_unspecified else address
