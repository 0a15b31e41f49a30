"""The identity of a flow: numbers and values, and no name."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from flows import actions, fields, flow, tables
from flows.actions import Goto, Learn, Move, Output, Punt, SetField, SetIngress
from flows.flow import Flow, learn_cookie
from flows.match import ARP, IPV4, Header, Ingress, Match
from flows.registers import REGISTERS, Register, declare
from flows.tables import Table

NOTHING = "another word"
EXAMPLE = Flow(
    Table.PORT_SECURITY_L2,
    100,
    Match(3, Ingress.LOCAL, header=Header(IPV4, ip_frag="later", mac_spoofed=1)),
    (
        SetIngress(Ingress.TUNNEL),
        SetField("mac_forbidden_bits", "00:00:00:00:00:01"),
        Move("arp_spa", "arp_tpa"),
        Output(7),
        Goto(Table.MAC_LEARNING),
    ),
)
"""A flow with an enum, a register, a word of fragments and a table."""


@pytest.fixture(name="forgetful")
def _forgetful() -> Iterator[None]:
    """Nothing that was worked out before is known in a test, nor after it."""
    memories = (flow._beyond, flow._written)
    for memory in memories:
        memory.cache_clear()
    yield
    for memory in memories:
        memory.cache_clear()


def again(one: Flow) -> Flow:
    """The same flow, made anew."""
    return Flow(one.table, one.priority, one.match, one.actions, one.idle, one.kind, one.hard)


@pytest.mark.usefixtures("forgetful")
def test_other_words_for_tables_and_actions_change_no_identity(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables.Table, "label", property(lambda _: NOTHING))
    for action in (Output, Goto, SetField, SetIngress, Move):
        monkeypatch.setattr(action, "__str__", lambda _: NOTHING)

    assert NOTHING in str(EXAMPLE)
    assert again(EXAMPLE).cookie == EXAMPLE.cookie


@pytest.mark.usefixtures("forgetful")
def test_another_name_for_a_register_changes_no_identity(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fields, "FIELDS", {**fields.FIELDS, "wrong_mac": fields.FIELDS["mac_forbidden_bits"]})
    renamed = tuple(
        SetField("wrong_mac", action.value) if isinstance(action, SetField) else action
        for action in EXAMPLE.actions
    )

    assert again(EXAMPLE._replace(actions=renamed)).cookie == EXAMPLE.cookie


def test_a_field_has_one_number_and_an_action_another() -> None:
    assert len({field.code for field in fields.FIELDS.values()}) == len(fields.FIELDS)
    assert len(set(actions._OPCODES.values())) == len(actions._OPCODES)


def test_what_a_flow_says_is_its_identity() -> None:
    others = [
        EXAMPLE._replace(match=EXAMPLE.match._replace(header=header))
        for header in (None, Header(ARP), Header(IPV4, ip_frag="first"), Header(IPV4, arp_spoofed=1))
    ]
    others += [
        EXAMPLE._replace(actions=done) for done in ((), (Output(8),), (Punt(7),), (Output(7), Output(7)))
    ]

    assert len({EXAMPLE.cookie, *(again(other).cookie for other in others)}) == 1 + len(others)


def test_what_a_bridge_learns_by_itself_has_the_identity_of_the_action() -> None:
    assert learn_cookie(Learn(5010, 1, 5010, None, 90, 300, 8)) != learn_cookie(
        Learn(5011, 1, 5010, None, 90, 300, 8)
    )


def test_registers_that_overlap_are_refused() -> None:
    with pytest.raises(ValueError, match="b and a overlap: both have reg3"):
        declare([Register("a", 2, 48, words=2), Register("b", 3, 1)])


@pytest.mark.parametrize(("first", "width", "words"), [(16, 1, 1), (1, 48, 2), (0, 33, 1), (0, 1, 3)])
def test_a_register_that_cannot_be_is_refused(first: int, width: int, words: int) -> None:
    with pytest.raises(ValueError, match="registers from reg"):
        declare([Register("a", first, width, words)])


def test_names_of_registers_are_those_of_open_vswitch() -> None:
    assert {one.name: one.ovs_name for one in REGISTERS.values() if one.words > 1} == {
        "mac_forbidden_bits": "xreg1",
        "ip6_forbidden_bits": "xxreg2",
    }
