"""Ingress filter that hides received frames of a device from the host's network stack.

A userspace datapath reads frames from a packet socket, and the kernel still hands every one of them to its
own stack as well. On the uplink the host would answer twice, and refuse the tunnels that it knows nothing of;
on the end of a workload's veth it would talk to a tenant. Packet sockets come before the tc(8) ingress hook,
so a filter there that drops everything leaves a copy to Open vSwitch only. It is on a clsact
qdisc, as ovs-vswitchd removes an ingress qdisc whenever it configures a device.
"""

from __future__ import annotations

import socket
import struct
from contextlib import suppress

from sdnapp.provision import netlink

_PREFERENCE = 0x5D4A
"""Marks the filter as ours."""

_INGRESS = 0xFFFFFFF2  # TC_H_CLSACT with TC_H_MIN_INGRESS: linux/pkt_sched.h
_EGRESS = 0xFFFFFFF3  # and TC_H_MIN_EGRESS
_CLSACT = 0xFFFFFFF1
_KIND, _OPTIONS = 1, 2  # TCA_KIND, TCA_OPTIONS
_OURS = _PREFERENCE << 16 | socket.htons(3)  # ETH_P_ALL
_DIRECT_ACTION = 1  # TCA_BPF_FLAG_ACT_DIRECT: what the program returns is what happens
_DROP = struct.pack("=HBBI", 0x06, 0, 0, 2)  # one instruction of classic BPF: return TC_ACT_SHOT


def blocked_devices(rtnetlink: socket.socket) -> frozenset[int]:
    """Indices of devices in this namespace that are hidden from the host's stack. Raises OSError."""
    return frozenset(i for i in _with_qdisc(rtnetlink) if _PREFERENCE in _preferences(rtnetlink, i, _INGRESS))


def _with_qdisc(rtnetlink: socket.socket) -> frozenset[int]:
    """Find the devices that can have such a filter at all."""
    found = netlink.dump(rtnetlink, netlink.QDISC, netlink.TCMSG.pack(0, 0, 0, 0, 0))
    return frozenset(
        netlink.TCMSG.unpack(q.fixed)[1] for q in found if q.attributes.get(_KIND) == b"clsact\0"
    )


def _preferences(rtnetlink: socket.socket, index: int, parent: int) -> frozenset[int]:
    """List the preferences of the filters that a device has at one hook."""
    found = netlink.dump(rtnetlink, netlink.FILTER, netlink.TCMSG.pack(0, index, 0, parent, 0))
    return frozenset(netlink.TCMSG.unpack(answer.fixed)[4] >> 16 for answer in found)


def block_host_stack(rtnetlink: socket.socket, index: int) -> None:
    """Hide received frames of device ``index`` from the host's stack. Raises OSError."""
    qdisc, one = netlink.QDISC + netlink.NEW, netlink.FILTER + netlink.NEW
    program = (
        netlink.attribute(4, struct.pack("=H", len(_DROP) // 8)),  # TCA_BPF_OPS_LEN
        netlink.attribute(5, _DROP),  # TCA_BPF_OPS
        netlink.attribute(8, _DIRECT_ACTION),  # TCA_BPF_FLAGS
    )
    options = netlink.attribute(_OPTIONS, b"", *program)
    with suppress(FileExistsError):
        fixed = netlink.TCMSG.pack(0, index, 0, _CLSACT, 0)
        netlink.change(rtnetlink, qdisc, fixed, netlink.attribute(_KIND, "clsact"), flags=netlink.CREATE)
    with suppress(FileExistsError):
        fixed = netlink.TCMSG.pack(0, index, 1, _INGRESS, _OURS)
        netlink.change(rtnetlink, one, fixed, netlink.attribute(_KIND, "bpf"), options, flags=netlink.CREATE)


def unblock_host_stack(rtnetlink: socket.socket, index: int) -> None:
    """Remove the filter of device ``index``, and its qdisc unless others use it."""
    if index not in _with_qdisc(rtnetlink):
        return
    if _PREFERENCE in _preferences(rtnetlink, index, _INGRESS):
        fixed = netlink.TCMSG.pack(0, index, 0, _INGRESS, _OURS)
        netlink.change(rtnetlink, netlink.FILTER + netlink.DELETE, fixed, netlink.attribute(_KIND, "bpf"))
    if not any(_preferences(rtnetlink, index, hook) for hook in (_INGRESS, _EGRESS)):
        fixed = netlink.TCMSG.pack(0, index, 0, _CLSACT, 0)
        netlink.change(rtnetlink, netlink.QDISC + netlink.DELETE, fixed, netlink.attribute(_KIND, "clsact"))
