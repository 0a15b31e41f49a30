"""Flow monitor: a bridge reports changes of its flows, meters and groups by other programs.

The ONF extension 1870 to OpenFlow 1.3, as Open vSwitch 3.0 and later have it (ovs-ofctl(8), ``monitor``;
include/openflow/openflow-1.3.h). Only what identifies a flow is decoded. Changes of meters and groups are
forwarded requests, as in OpenFlow 1.4 (6.3.7) and in Open vSwitch 2.5 and later with 1.3, too.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from struct import Struct, pack
from typing import Any

from os_ken.ofproto import ofproto_v1_3 as ofproto
from os_ken.ofproto import ofproto_v1_3_parser as parser

from flows.flow import Origin, origin_of

_ONF = 0x4F4E4600
_FLOW_MONITOR = 1870
_NICIRA, _SET_ASYNC, _FORWARDED = 0x2320, 27, 2350
_METERS_AND_GROUPS = 0b11
_ADD_DELETE_MODIFY = 0b1110
_ABBREVIATED = 3
_TIMED_OUT = (ofproto.OFPRR_IDLE_TIMEOUT, ofproto.OFPRR_HARD_TIMEOUT)

_request = Struct("!IHHIBxxx")
_any_match = bytes.fromhex("0001000400000000")
_update = Struct("!HH")
_property = Struct("!HHI")
_full = Struct("!HHHHHHHBxQ")

DONE = pack(
    "!BBHIHHxxxxIIHH",
    *(ofproto.OFP_VERSION, ofproto.OFPT_MULTIPART_REPLY, 32, 0, ofproto.OFPMP_EXPERIMENTER, 0),
    *(_ONF, _FLOW_MONITOR, 8, _ABBREVIATED),
)
"""How a message begins that says only that something was done as we asked; its xid follows."""


class Event(IntEnum):
    """What happened to a flow."""

    ADDED = 0
    DELETED = 1
    MODIFIED = 2


_EVENTS = frozenset(map(int, Event))


@dataclass(frozen=True, slots=True)
class Change:
    """Another program changed the flow with this cookie in this table."""

    event: Event
    table: int
    cookie: int


def request(datapath: Any) -> Any:
    """Return the request to report changes of any flow by others, from now on."""
    wanted = _request.pack(1, _ADD_DELETE_MODIFY, len(_any_match), ofproto.OFPP_ANY, ofproto.OFPTT_ALL)
    return parser.OFPExperimenterStatsRequest(datapath, 0, _ONF, _FLOW_MONITOR, wanted + _any_match)


def forward(datapath: Any) -> Any:
    """Return the request to report changes of meters and groups by others, from now on (OpenFlow 1.4,
    7.3.10).
    """
    wanted = b"".join(_property.pack(kind, _property.size, _METERS_AND_GROUPS) for kind in (10, 11))
    return parser.OFPExperimenter(datapath, _NICIRA, _SET_ASYNC, wanted)


def is_forwarded(message: Any) -> bool:
    """Whether the message reports a change of a meter or a group by another program."""
    return (message.experimenter, message.exp_type) == (_ONF, _FORWARDED)


def decode(body: Any) -> Iterator[Change]:
    """The changes in the body of a reply, without our own doing, and what timed out or was learned.

    Nothing in those of other experimenters, nor in events that change no flow. Lengths were checked.
    """
    if (body.experimenter, body.exp_type) != (_ONF, _FLOW_MONITOR):
        return
    data, offset = body.data, 0
    while offset + _update.size <= len(data):
        length, event = _update.unpack_from(data, offset)
        if event in _EVENTS:
            _, _, reason, _, _, _, _, table, cookie = _full.unpack_from(data, offset)
            if origin_of(cookie) is not Origin.SWITCH_LEARNED and (
                event != Event.DELETED or reason not in _TIMED_OUT
            ):
                yield Change(Event(event), table, cookie)
        offset += length
