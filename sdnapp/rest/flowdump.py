"""Flows as ofctl_rest prints them, many of them, beside an OpenFlow controller that must not wait.

The words are os-ken's own (``ofctl_v1_3``). What makes it fast: most fields and action lists of a bridge
repeat, so os-ken converts them once and they are remembered by their bytes. What makes it harmless: the hub
gets its turn every few milliseconds.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator
from functools import lru_cache
from struct import pack
from typing import Any

from os_ken.lib import hub, ofctl_utils, ofctl_v1_3
from os_ken.ofproto import ofproto_v1_3 as ofproto
from os_ken.ofproto import ofproto_v1_3_parser as parser

from sdnapp.openflow import actionshape, matchshape
from sdnapp.openflow.flowstats import FlowStats
from sdnapp.openflow.matchshape import Malformed, Unreadable

_TURN = 0.005
"""Seconds of work between two turns of the hub."""
_PIECE = 16 * 1024
"""Bytes that make a piece of a response."""
_REMEMBERED = 4096
_SHORT = 1024
"""Bytes of instructions that are worth remembering."""

_OXM_HEADER = 4
_OFPMT_OXM = 1


class _Names(ofctl_utils.OFCtlUtil):  # type: ignore[misc]  # os-ken has no types
    """os-ken's names of numbers; it goes through all of OpenFlow for each, 0.3 ms long."""

    def __init__(self, protocol: Any) -> None:
        super().__init__(protocol)
        self._known: dict[str, dict[int, str]] = {}

    def _reserved_num_to_user(self, num: int, prefix: str) -> str | int:
        if prefix not in self._known:
            names = [name for name in vars(self.ofproto) if name.startswith(prefix)]
            fit = [name for name in names if name not in self.deprecated_value]
            numbers = {getattr(self.ofproto, name): name.replace(prefix, "") for name in reversed(fit)}
            self._known[prefix] = numbers  # the first of several
        return self._known[prefix].get(num, num)


ofctl_v1_3.UTIL = _Names(ofproto)


def dump(dpid: int, replies: Iterable[Any], priority: int | None = None) -> Iterator[bytes]:
    """``{"DPID": [flow, ...]}`` in pieces, of the flows with ``priority`` or of all."""
    piece = bytearray(f'{{"{dpid}": ['.encode())
    separator = b""
    turn = time.monotonic() + _TURN
    for reply in replies:
        for entry in reply.body:
            if priority is None or entry.priority == priority:
                piece += separator
                piece += json.dumps(flow(entry)).encode()
                separator = b", "
            if time.monotonic() > turn:
                hub.sleep(0)
                turn = time.monotonic() + _TURN
            if len(piece) > _PIECE:
                yield bytes(piece)
                piece.clear()
    yield bytes(piece + b"]}")


def flow(entry: FlowStats) -> dict[str, Any]:
    """One flow, exactly as ``ofctl_v1_3.get_flow_stats`` has it."""
    return {
        "priority": entry.priority,
        "cookie": entry.cookie,
        "idle_timeout": entry.idle_timeout,
        "hard_timeout": entry.hard_timeout,
        "byte_count": entry.byte_count,
        "duration_sec": entry.duration_sec,
        "duration_nsec": entry.duration_nsec,
        "packet_count": entry.packet_count,
        "length": entry.length,
        "flags": entry.flags,
        "actions": _actions(entry.instruction_bytes),
        "match": dict(_fields(entry.match_bytes)),
        "table_id": _table(entry.table_id),
    }


def _fields(match: bytes) -> Iterator[tuple[str, Any]]:
    at = 0
    while at < len(match):
        end = at + _OXM_HEADER + (match[at + 3] if at + 3 < len(match) else 0)
        yield _field(match[at:end])
        at = end


@lru_cache(_REMEMBERED)
def _field(oxm: bytes) -> tuple[str, Any]:
    """One field of a match, by way of a match that has no other."""
    try:
        matchshape.fields(oxm, 0, len(oxm))
    except (Malformed, Unreadable):
        return f"unreadable_{oxm[:_OXM_HEADER].hex()}", oxm[_OXM_HEADER:].hex()
    length = _OXM_HEADER + len(oxm)
    match = parser.OFPMatch.parser(pack("!HH", _OFPMT_OXM, length) + oxm + bytes(-length % 8), 0)
    ((name, value),) = ofctl_v1_3.match_to_str(match).items()
    return name, value


def _actions(raw: bytes) -> list[Any]:
    return _remembered(raw) if len(raw) <= _SHORT else _words(raw)


def _words(raw: bytes) -> list[Any]:
    try:
        actionshape.instructions(raw, 0, len(raw))
    except (Malformed, Unreadable):
        return [f"UNREADABLE:{raw.hex()}"]
    instructions = []
    at = 0
    while at < len(raw):
        instruction = parser.OFPInstruction.parser(raw, at)
        instructions.append(instruction)
        at += instruction.len
    try:
        words: list[Any] = ofctl_v1_3.actions_to_str(instructions)
    except AttributeError:  # it has no words for some actions of Open vSwitch, such as exit
        return [f"UNREADABLE:{raw.hex()}"]
    return words


_remembered = lru_cache(_REMEMBERED)(_words)


@lru_cache(256)
def _table(table_id: int) -> Any:
    return ofctl_v1_3.UTIL.ofp_table_to_user(table_id)
