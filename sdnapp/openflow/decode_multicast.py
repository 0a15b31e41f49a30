"""Decode multicast state from flows of a bridge: groups and router ports."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from os_ken.ofproto import ofproto_v1_3_parser as parser

from flows.match import Ingress
from flows.registers import REGISTERS
from sdnapp.net.events import RecoveredGroupFlow
from sdnapp.net.igmp_mld import Family
from sdnapp.openflow.oxm import exact

_CLONE = 42
_PORT_OF_RESUBMIT = 16
"""Where, behind the subtype of a clone, the port lies of the resubmit that it holds."""


def remembered(entry: Any) -> RecoveredGroupFlow | None:
    """What a flow of the multicast table says; None: nothing that another does not."""
    match = entry.match
    if match.get(REGISTERS["ingress"].ovs_name) != Ingress.LOCAL:
        return None
    family: Family = 4 if match.get("eth_type") == 0x0800 else 6
    vni, router = exact(match, "metadata"), exact(match, "eth_src")
    if vni is None or "eth_dst" not in match:
        return None
    if router is not None:
        return RecoveredGroupFlow(vni, family, None, (router,), ())
    return RecoveredGroupFlow(vni, family, exact(match, "eth_dst"), (), tuple(_ports(entry)))


def _ports(entry: Any) -> Iterator[int]:
    for instruction in entry.instructions:
        for action in getattr(instruction, "actions", ()):
            if isinstance(action, parser.OFPActionOutput):
                yield action.port
            elif isinstance(action, parser.NXActionUnknown) and action.subtype == _CLONE:
                port = action.data[_PORT_OF_RESUBMIT : _PORT_OF_RESUBMIT + 2]
                yield int.from_bytes(port, "big")
