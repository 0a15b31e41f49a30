"""Which ports of the userspace datapath read from a device that no longer exists.

ovs-vswitchd reads frames from a packet socket (packet(7)) that is bound to the index of a device, and those
of a bridge's own device from the file of a tap device. When the device is deleted, or moved to another
namespace, both stay open and deliver nothing. Open vSwitch 3.1 keeps such a port with its number, reports no
error, and does not open a device of the same name that is made later. In OVSDB, even ``ifindex`` is that of
the new device, as it is looked up by name. So the sockets are looked at. The kernel's datapath needs none of
this: it detaches the port of a device that goes.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

_PACKET_SOCKETS = Path("/proc/thread-self/net/packet")
_INDEX, _INODE = 4, 8
"""Columns there (packet_seq_show in net/packet/af_packet.c)."""

_UNBOUND = -1
"""The index that a packet socket has once its device is gone."""

_DAEMON = "ovs-vswitchd"


@dataclass(frozen=True, slots=True)
class Opened:
    """What ovs-vswitchd reads from: ``sockets`` are the indices of devices, -1 of those that are gone.

    ``taps`` are names, empty of those that are gone.
    """

    sockets: frozenset[int]
    taps: frozenset[str]


def stale(
    devices: Mapping[str, int], ports: Iterable[str], bridges: Iterable[str], process: int | None
) -> frozenset[str]:
    """Name the ``ports`` and ``bridges`` that have another device than ovs-vswitchd has open.

    ``devices`` holds the index of every device by its name. Of ports, those with a device that
    exists count, of bridges those without. ``process`` is that of ovs-vswitchd.
    """
    suspects = [bridge for bridge in bridges if bridge not in devices]
    bound = _packet_sockets()
    if not suspects and _UNBOUND not in bound.values():
        return frozenset()
    return of(devices, ports, suspects, _opened(bound, process))


def of(
    devices: Mapping[str, int], ports: Iterable[str], missing: Iterable[str], opened: Opened
) -> frozenset[str]:
    """Compare what there is with what is open; ``missing`` are bridges without their device.

    Only what is open and gone counts: where ovs-vswitchd has just begun, it has opened nothing yet.
    """
    unread = {p for p in ports if p in devices and devices[p] not in opened.sockets}
    untapped = {bridge for bridge in missing if bridge not in opened.taps}
    return frozenset(
        (unread if _UNBOUND in opened.sockets else set()) | (untapped if "" in opened.taps else set())
    )


def _packet_sockets() -> dict[str, int]:
    """Read the packet sockets of this namespace: inode to index of the device."""
    lines = _PACKET_SOCKETS.read_text(encoding="ascii").splitlines()[1:]
    return {columns[_INODE]: int(columns[_INDEX]) for columns in map(str.split, lines)}


def _opened(bound: Mapping[str, int], process: int | None) -> Opened:
    """Find which packet sockets and tap devices ovs-vswitchd has.

    Where its process cannot be seen, as it is in another PID namespace, all packet sockets count as its own.
    """
    directory = Path(f"/proc/{process}")
    sockets, taps = set[int](), set[str]()
    try:
        if process is None or (directory / "comm").read_text(encoding="utf-8").strip() != _DAEMON:
            return Opened(frozenset(bound.values()), frozenset())
        for file in os.listdir(directory / "fd"):
            target = _target(directory / "fd" / file)
            if target.startswith("socket:["):
                sockets.update(_bound_to(bound, target[len("socket:[") : -1]))
            elif target == "/dev/net/tun":
                taps.update(_tap(directory / "fdinfo" / file))
    except OSError:  # it ends just now, or may not be looked at
        return Opened(frozenset(bound.values()), frozenset())
    return Opened(frozenset(sockets), frozenset(taps))


def _target(link: Path) -> str:
    """Read where a descriptor leads; it may be closed meanwhile."""
    try:
        return os.readlink(link)
    except FileNotFoundError:
        return ""


def _bound_to(bound: Mapping[str, int], inode: str) -> tuple[int, ...]:
    return (bound[inode],) if inode in bound else ()


def _tap(information: Path) -> tuple[str, ...]:
    """Read the name of a tap device from the ``iff`` line of its file (tun_chr_show_fdinfo)."""
    try:
        lines = information.read_text(encoding="ascii").splitlines()
    except FileNotFoundError:
        return ()
    return tuple(line.partition(":")[2].strip() for line in lines if line.startswith("iff:"))
