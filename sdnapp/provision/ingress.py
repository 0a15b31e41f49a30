"""Keep the host's own network stack from what a device receives, where Open vSwitch is to have it alone.

A userspace datapath reads frames from a packet socket, and the kernel still hands every one of them to its
own stack as well. On the uplink the host would answer twice, and refuse the tunnels that it knows nothing of;
on the end of a workload's veth it would talk to a tenant. Packet sockets come before the tc(8) ingress hook,
so a filter there that drops everything leaves Open vSwitch its copy and nobody else. It hangs on a clsact
qdisc, as ovs-vswitchd removes an ingress qdisc whenever it configures a device.
"""

from __future__ import annotations

import errno
import socket
import struct
from typing import Any

from pyroute2 import IPRoute
from pyroute2.netlink import NLM_F_ACK, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REQUEST, nla, nlmsg
from pyroute2.netlink.exceptions import NetlinkError
from pyroute2.netlink.rtnl import RTM_NEWTFILTER
from pyroute2.netlink.rtnl.tcmsg import tcmsg

from sdnapp.provision import netlink

_PREFERENCE = 0x5D4A
"""Marks the filter as ours."""

_INGRESS = 0xFFFFFFF2  # TC_H_CLSACT with TC_H_MIN_INGRESS: linux/pkt_sched.h
_EGRESS = 0xFFFFFFF3  # and TC_H_MIN_EGRESS
_TCMSG = struct.Struct("=B3xiIII")  # struct tcmsg of linux/rtnetlink.h: family, index, handle, parent, info
_KIND = 1  # TCA_KIND
_EVERY_PROTOCOL = socket.htons(3)  # ETH_P_ALL
_DIRECT_ACTION = 1  # TCA_BPF_FLAG_ACT_DIRECT: what the program returns is what happens
_DROP = struct.pack("=HBBI", 0x06, 0, 0, 2)  # one instruction of classic BPF: return TC_ACT_SHOT


class _Program(nla):  # type: ignore[misc]
    nla_map = (
        (4, "TCA_BPF_OPS_LEN", "uint16"),
        (5, "TCA_BPF_OPS", "cdata"),
        (8, "TCA_BPF_FLAGS", "uint32"),
    )


class _Filter(nlmsg):  # type: ignore[misc]
    fields = tcmsg.fields
    nla_map = ((1, "TCA_KIND", "asciiz"), (2, "TCA_OPTIONS", "program"))
    program = _Program


def deaf(rtnetlink: socket.socket) -> frozenset[int]:
    """Find the devices of a namespace whose host's stack is kept from them, by index. Raises OSError."""
    return frozenset(i for i in _with_qdisc(rtnetlink) if _PREFERENCE in _preferences(rtnetlink, i, _INGRESS))


def _with_qdisc(rtnetlink: socket.socket) -> frozenset[int]:
    """Find the devices that can have such a filter at all."""
    found = netlink.dump(rtnetlink, netlink.QDISC, _TCMSG.pack(0, 0, 0, 0, 0))
    return frozenset(_TCMSG.unpack(q.fixed)[1] for q in found if q.attributes.get(_KIND) == b"clsact\0")


def _preferences(rtnetlink: socket.socket, index: int, parent: int) -> frozenset[int]:
    """List the preferences of the filters that a device has at one hook."""
    found = netlink.dump(rtnetlink, netlink.FILTER, _TCMSG.pack(0, index, 0, parent, 0))
    return frozenset(_TCMSG.unpack(answer.fixed)[4] >> 16 for answer in found)


def deafen(route: IPRoute, index: int) -> None:
    """Keep the host's stack from what device ``index`` receives. Raises NetlinkError."""
    _tolerating(errno.EEXIST, route.tc, "add", "clsact", index)
    request = _Filter()
    request["index"] = index
    request["handle"] = 1
    request["parent"] = _INGRESS
    request["info"] = _PREFERENCE << 16 | _EVERY_PROTOCOL
    program = {
        "attrs": [
            ("TCA_BPF_OPS_LEN", len(_DROP) // 8),
            ("TCA_BPF_OPS", _DROP),
            ("TCA_BPF_FLAGS", _DIRECT_ACTION),
        ]
    }
    request["attrs"] = [("TCA_KIND", "bpf"), ("TCA_OPTIONS", program)]
    request["header"]["type"] = RTM_NEWTFILTER
    request["header"]["flags"] = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL
    _tolerating(errno.EEXIST, route.nlm_request_batch, [request])


def undeafen(route: IPRoute, index: int) -> None:
    """Let the host's stack have what device ``index`` receives; the qdisc goes unless others use it."""
    with netlink.rtnetlink() as questions:
        if index not in _with_qdisc(questions):
            return
        if _PREFERENCE in _preferences(questions, index, _INGRESS):
            route.tc("del-filter", "bpf", index, info=_PREFERENCE << 16 | _EVERY_PROTOCOL, parent=_INGRESS)
        if not any(_preferences(questions, index, hook) for hook in (_INGRESS, _EGRESS)):
            route.tc("del", "clsact", index)


def _tolerating(code: int, call: Any, *args: Any) -> None:
    try:
        call(*args)
    except NetlinkError as error:
        if error.code != code:
            raise
