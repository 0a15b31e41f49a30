"""What flows of a bridge tell of multicast: where groups and routers are, as the controller left it there."""

from __future__ import annotations

from collections.abc import Iterator
from struct import unpack_from
from typing import Any

from os_ken.ofproto import ofproto_v1_3_parser as parser

from flows.match import Source
from sdnapp.net.events import GroupMemory
from sdnapp.net.membership import Family

_CLONE = 42
_PORT_OF_RESUBMIT = 16
"""Where, behind the subtype of a clone, the port lies of the resubmit that it holds."""


def remembered(entry: Any) -> GroupMemory | None:
    """What a flow of the multicast table says; None: nothing that another does not."""
    match = entry.match
    if match.get("reg0") != Source.LOCAL:
        return None
    family: Family = 4 if match["eth_type"] == 0x0800 else 6
    vni, group = match["metadata"], match["eth_dst"]
    if "eth_src" in match:
        return GroupMemory(vni, family, None, (match["eth_src"],), ())
    masked = not isinstance(group, str)
    return GroupMemory(vni, family, None if masked else group, (), tuple(_ports(entry)))


def _ports(entry: Any) -> Iterator[int]:
    for instruction in entry.instructions:
        for action in getattr(instruction, "actions", ()):
            if isinstance(action, parser.OFPActionOutput):
                yield action.port
            elif isinstance(action, parser.NXActionUnknown) and action.subtype == _CLONE:
                yield unpack_from("!H", action.data, _PORT_OF_RESUBMIT)[0]
