"""The shapes of messages: what os-ken's parsers take passes, and nothing else reaches them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from random import Random
from struct import pack
from types import SimpleNamespace
from typing import Any

import os_ken.base.app_manager  # noqa: F401  # the connection's module wants to be imported after it
import pytest
from os_ken.ofproto import ofproto_v1_3 as ofproto
from os_ken.ofproto import ofproto_v1_3_parser as parser

from sdnapp.openflow import actionshape, matchshape, partshape, shapes
from sdnapp.openflow.connection import parse
from sdnapp.openflow.matchshape import Malformed, Unreadable
from sdnapp.openflow.ondemand import Features, Group
from tests.malformed import messages
from tests.malformed.built import Built, message, sized, tlv
from tests.malformed.judge import judge

DATAPATH: Any = SimpleNamespace(ofproto=ofproto, ofproto_parser=parser)
CHECKOUT = Path(__file__).parents[2]


def test_every_message_that_os_ken_parses_has_a_shape_but_that_which_no_switch_sends() -> None:
    assert set(shapes.MESSAGES) == set(parser._MSG_PARSERS) - {ofproto.OFPT_FLOW_MOD}
    assert set(partshape.PARTS) == set(parser.OFPMultipartReply._STATS_MSG_TYPES)


def test_every_action_that_os_ken_parses_has_a_shape() -> None:
    variable = {ofproto.OFPAT_SET_FIELD, ofproto.OFPAT_EXPERIMENTER}
    lengths = {kind: cls.cls_action_len for kind, cls in parser.OFPAction._ACTION_TYPES.items()}

    assert {kind: length for kind, length in lengths.items() if kind not in variable} == actionshape._FIXED
    assert set(parser.NXAction._subtypes) - {None} <= set(actionshape._OF_OVS)


@pytest.mark.parametrize("kind", messages.TYPES)
def test_what_is_sound_passes_and_is_parsed(kind: int) -> None:
    """Of each type, some are; FLOW_MOD is none of a switch's messages."""
    random, taken = Random(1), 0
    for _ in range(200):
        made = bytearray(messages.TYPES[kind](random).data)
        try:
            taken += parse(DATAPATH, made) is not None
        except Malformed:
            continue

    assert (taken > 100) is (kind != ofproto.OFPT_FLOW_MOD)


@pytest.mark.parametrize("action", messages._ACTIONS, ids=lambda built: built.data.hex()[:24])
def test_actions_that_os_ken_writes_pass(action: Built) -> None:
    """Unless it writes them wrong: lengths that are no multiple of 8."""
    if len(action.data) % 8:
        with pytest.raises(Malformed):
            actionshape.actions(action.data, 0, len(action.data))
    else:
        actionshape.actions(action.data, 0, len(action.data))


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        ("80000004", "longer than what holds it"),
        ("80000000", "with 0 bytes"),
        ("8000000800000000000000000000", "with 8 bytes"),
        ("80000103000000", "with 3 bytes"),
        ("8000000400000001" * 2, "twice"),
        ("ffff000400002320", "with 0 bytes"),
        ("ffff0002 0000", "without the experimenter"),
        ("ffff0004 4f4e4600", "without its type"),
        ("00", "cut short"),
    ],
)
def test_fields_of_a_match_that_os_ken_would_stumble_over_are_refused(raw: str, why: str) -> None:
    data = bytes.fromhex(raw)

    with pytest.raises((Malformed, Unreadable), match=why):
        matchshape.fields(data, 0, len(data))


def test_fields_of_open_vswitch_pass() -> None:
    """Registers, packet type (class 0x1000), TCP flags of the ONF, and those of NSH."""
    for raw in ("00010004 00000001", "80010008" + "00" * 8, "10000004 00000001", "ffff5406 4f4e4600 0003"):
        matchshape.fields(bytes.fromhex(raw), 0, len(bytes.fromhex(raw)))
    nsh = bytes.fromhex("ffff0205 005ad650 01")
    matchshape.fields(nsh, 0, len(nsh))


@pytest.mark.parametrize(
    "body",
    [
        sized("!HBxI", 0, 1, 7, body=sized("!HHII4x", 0, 0, 0, 0, body=bytes(8))),
        sized("!HBxI", 0, 1, 7, body=sized("!HHII4x", 0, 0, 0, 0, body=tlv(30, bytes(4)))),
    ],
)
def test_a_group_is_known_by_its_number_whatever_is_in_it(body: Built) -> None:
    """One with an action that os-ken does not know keeps no bridge from being read."""
    group = Group(body.data)

    assert (group.group_id, group.type) == (7, 1)
    with pytest.raises((Malformed, Unreadable)):
        _ = group.buckets


def test_groups_and_features_of_tables_are_parsed_on_demand() -> None:
    bucket = sized("!HHII4x", 0, 1, 2, 3, body=messages._ACTIONS[0])
    group = sized("!HBxI", 0, 1, 7, body=bucket).data
    feature = tlv(ofproto.OFPTFPT_NEXT_TABLES, bytes([1, 2, 3]), pad=True, counted=False)
    table = sized("!H", 0, body=Built(pack("!B5x32sQQII", 7, b"table", 1, 2, 3, 4)) + feature).data

    groups = parse(DATAPATH, bytearray(message(19, pack("!HH4x", 7, 0) + group * 2).data)).body
    tables = parse(DATAPATH, bytearray(message(19, pack("!HH4x", 12, 0) + table * 2).data)).body

    assert [type(part) for part in groups] == [Group, Group]
    assert repr(list(groups)) == repr([parser.OFPGroupDescStats.parser(group, 0)] * 2)
    assert [type(part) for part in tables] == [Features, Features]
    assert repr(list(tables)) == repr([parser.OFPTableFeaturesStats.parser(table, 0)] * 2)


def test_an_experimenters_reply_is_one_whatever_its_length() -> None:
    for size in (0, 4, 8, 60_000):
        made = message(19, pack("!HH4xII", 0xFFFF, 0, 7, 8) + bytes(size))
        body = parse(DATAPATH, bytearray(made.data)).body
        assert (body.experimenter, body.exp_type, len(body.data)) == (7, 8, size)


def _flood(kind: int, body: bytes, piece: bytes) -> bytes:
    return message(kind, body + piece * ((0xFFF8 - 8 - len(body)) // len(piece))).data


def _filled(head: bytes, piece: bytes) -> bytes:
    """A structure of two bytes of length, a head, and pieces up to the largest message."""
    pieces = piece * ((0xFFF8 - 16 - 2 - len(head)) // len(piece))
    return pack("!H", 2 + len(head) + len(pieces)) + head + pieces


_PART = "!HH4x"
_APPLY = pack("!HH4xHH4x", 1, 4, 4, 0xFFC0 - 56)


@pytest.mark.parametrize(
    "flood",
    [
        _flood(0, b"", pack("!HH4x", 2, 8)),
        message(0, tlv(1, bytes(1000))).data,
        _flood(4, pack("!II", messages.NICIRA, 30), pack("!HHB3x", 3, 5, 1)),
        _flood(4, pack("!IIIHH", messages.ONF, 2300, 1, 2, 3), pack("!HH4x", 3, 8)),
        _flood(10, pack("!IHBBQHH", 0, 0, 0, 0, 0, 1, 0xFF00), pack("!I4x", 0x80000004)),
        _flood(19, pack(_PART, 7, 0), pack("!HBxI", 8, 0, 1)),
        _flood(19, pack(_PART, 10, 0), pack("!HHI", 8, 0, 1)),
        _flood(19, pack(_PART, 0xFFFF, 0) + pack("!II", messages.ONF, 1870), pack("!HHI", 8, 3, 1)),
        _flood(23, bytes(8), pack("!IIH6x", 1, 2, 16)),
        message(19, pack(_PART, 12, 0) + _filled(bytes(62), pack("!HH", 4, 4) + bytes(4))).data,
        message(19, pack(_PART, 12, 0) + _filled(bytes(62), pack("!HH252x", 2, 256))).data,
        message(
            19, pack(_PART, 12, 0) + _filled(bytes(62) + pack("!HH", 8, 0xFF00), pack("!I", 0x80000004))
        ).data,
        message(
            19, pack(_PART, 7, 0) + _filled(bytes(6) + pack("!H14x", 0xFFC0), pack("!HHI", 22, 8, 1))
        ).data,
        message(
            19, pack(_PART, 1, 0) + _filled(bytes(46) + _APPLY, pack("!HHI16s", 25, 24, 0x80003610, b""))
        ).data,
        message(
            19, pack(_PART, 1, 0) + _filled(bytes(46) + pack("!HH", 1, 0xFF00), pack("!I4x", 0x80000004))
        ).data,
    ],
    ids=lambda flood: flood[1:24].hex(),
)
def test_a_message_that_is_full_of_small_elements_is_handled_in_a_moment(flood: bytes) -> None:
    report = judge([flood])

    assert (report.raised, report.slow) == ([], [])


@pytest.mark.parametrize(("hub", "seed"), [("eventlet", 1), ("native", 2)])
def test_ten_thousand_malformed_messages_raise_nothing_and_take_no_time(hub: str, seed: int) -> None:
    """On either hub; ``./run fuzz`` says more of them."""
    said = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "tests.malformed", "--runs", "10000", "--seed", str(seed)],
        cwd=CHECKOUT,
        env={**os.environ, "OSKEN_HUB_TYPE": hub},
        capture_output=True,
        text=True,
        check=False,
    )

    assert said.returncode == 0, said.stdout + said.stderr
    assert "10000 messages" in said.stdout
    assert "raised: 0" in said.stdout
