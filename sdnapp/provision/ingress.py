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

_PREFERENCE = 0x5D4A
"""Marks the filter as ours."""

_INGRESS = 0xFFFFFFF2  # TC_H_CLSACT with TC_H_MIN_INGRESS: linux/pkt_sched.h
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


def deaf(route: IPRoute, index: int, qdiscs: frozenset[int]) -> bool:
    """Whether the host's stack is kept from device ``index``; ``qdiscs`` as of ``with_qdisc``."""
    if index not in qdiscs:
        return False
    return any(
        found["info"] >> 16 == _PREFERENCE for found in route.get_filters(index=index, parent=_INGRESS)
    )


def with_qdisc(route: IPRoute) -> frozenset[int]:
    """Find the devices that can have such a filter at all, by index."""
    return frozenset(q["index"] for q in route.get_qdiscs() if q.get("kind") == "clsact")


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
    qdiscs = with_qdisc(route)
    if deaf(route, index, qdiscs):
        route.tc("del-filter", "bpf", index, info=_PREFERENCE << 16 | _EVERY_PROTOCOL, parent=_INGRESS)
    if index in qdiscs and not list(route.get_filters(index=index)):
        route.tc("del", "clsact", index)


def _tolerating(code: int, call: Any, *args: Any) -> None:
    try:
        call(*args)
    except NetlinkError as error:
        if error.code != code:
            raise
