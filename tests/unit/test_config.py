"""Text to ``Config``: what is accepted without quotes, and that every refusal says where and what to do."""

from __future__ import annotations

import resource
import time
from ipaddress import ip_interface
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdnapp.config import Config, Invalid, Problem, parse
from sdnapp.config.problem import LIMIT

CONFIGS = Path(__file__).parents[2] / "configs"
EXAMPLES = sorted(CONFIGS.glob("*.yaml"))
BROKEN = sorted((CONFIGS / "broken").glob("*.yaml"))
HEAD = "tenants: {red: {networks: {web: {vni: 5010}}}}\nhosts: {host1: {vtep: 192.168.4.201}}\n"


def problems(data: bytes | str) -> list[str]:
    with pytest.raises(Invalid) as caught:
        parse(data.encode() if isinstance(data, str) else data, "f")
    return [str(problem) for problem in caught.value.problems]


def verdict(data: bytes) -> tuple[Problem, ...]:
    """The problems of a file, none if it is valid."""
    try:
        parse(data, "f")
    except Invalid as invalid:
        return invalid.problems
    return ()


def port(body: str) -> Config:
    return parse(f"{HEAD}ports: {{red1: {{host: host1, network: red/web, {body}}}}}".encode(), "f")


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_examples_are_valid(path: Path) -> None:
    assert parse(path.read_bytes(), path.name).ports


@pytest.mark.parametrize("path", BROKEN, ids=lambda path: path.stem)
def test_broken_files_give_exactly_the_messages_that_they_name(path: Path) -> None:
    text = path.read_text()
    expected = [
        line.removeprefix("# expect: ") for line in text.splitlines() if line.startswith("# expect: ")
    ]

    assert expected
    assert [message.removeprefix("f:") for message in problems(text)] == expected


def test_no_value_needs_quotes() -> None:
    """YAML 1.1 would make numbers, dates and booleans of these."""
    config = parse(
        b"""
tenants: {on: {networks: {10: {vni: 0x1392, subnet: fd00::/64}}}}
hosts: {no: {vtep: fd00:4::201, datapath_id: 0000000000000010, vlans: {on/10: 30}}}
ports: {2024-01-01: {host: no, network: on/10, mac: 02-00-00-00-00-0A, address: fd00::1}}
""",
        "f",
    )

    assert config.networks["on/10"].vni == 5010
    assert config.hosts["no"].datapath_id == 16
    assert config.ports["2024-01-01"].mac == "02:00:00:00:00:0a"


def test_sexagesimal_mac_is_an_address() -> None:
    assert port("mac: 02:00:00:00:00:01").ports["red1"].mac == "02:00:00:00:00:01"


def test_one_address_or_a_list_of_them() -> None:
    assert port("address: 10.1.1.1/24").ports["red1"].address == (ip_interface("10.1.1.1/24"),)
    assert len(port("address: [10.1.1.1/24, fd00::1/64]").ports["red1"].address) == 2


def test_a_key_with_nothing_behind_it_counts_as_left_out() -> None:
    assert parse(f"overlay:\ncontroller:\n{HEAD}ports: {{}}".encode(), "f") == parse(
        f"{HEAD}ports: {{}}".encode(), "f"
    )


def test_equal_tags_addresses_and_macs_in_two_tenants_are_fine() -> None:
    body = "address: 10.1.1.1/24, mac: 02:00:00:00:00:01}"
    parse(
        f"""
tenants:
  red: {{networks: {{web: {{vni: 1, vlan: 10, subnet: 10.1.1.0/24}}}}}}
  blue: {{networks: {{web: {{vni: 2, vlan: 10, subnet: 10.1.1.0/24}}}}}}
hosts: {{host1: {{vtep: 192.168.4.201}}}}
ports:
  red1: {{host: host1, network: red/web, {body}
  blue1: {{host: host1, network: blue/web, {body}
""".encode(),
        "f",
    )


def test_two_ports_may_share_a_namespace() -> None:
    ports = ", ".join(f"red{i}: {{host: host1, network: red/web, namespace: router}}" for i in (1, 2))
    assert len(parse(f"{HEAD}ports: {{{ports}}}".encode(), "f").ports) == 2


def test_an_entry_that_is_broken_does_not_hide_what_is_wrong_with_the_others() -> None:
    found = problems(
        "tenants: {red: {networks: {web: {vni: 5010, subnet: 10.1.1.0/24}, db: {vni: x}}}}\n"
        "hosts: {host1: {vtep: nonsense}}\n"
        "ports:\n"
        "  red1: {host: host1, network: red/db}\n"  # both are broken, but neither is unknown
        "  red2: {host: host1, network: red/web, address: 10.2.0.1/24}\n"
    )

    assert [message.split(": ")[1] for message in found] == [
        "tenants.red.networks.db.vni",
        "hosts.host1.vtep",
        "ports.red2.address",
    ]


def test_a_port_that_asks_in_no_network_is_told_that_it_is_in_none() -> None:
    found = problems(f"{HEAD}ports: {{red1: {{host: host1, addressing: dhcp}}}}")

    assert [message.split(": ")[2] for message in found] == [
        "it has neither 'network' nor 'trunk'. Add network"
    ]


def test_not_utf8_says_where() -> None:
    assert problems(b"tenants:\n  r\xe9d: {}") == [
        "f:2:4: byte 0xe9 is not UTF-8. Save the file as UTF-8 text."
    ]


def test_control_characters_are_refused() -> None:
    assert problems("tenants:\n a\0: 1") == [
        "f:2:3: control character U+0000. Remove it: the file must be text."
    ]


def test_messages_carry_no_control_characters_of_the_file() -> None:
    assert all(message.isprintable() for message in problems('"\\e[31m": "\\e[2J"\n'))


def test_a_byte_order_mark_is_ignored() -> None:
    parse(f"\ufeff{HEAD}ports: {{}}".encode(), "f")


def test_a_huge_file_is_refused_unread() -> None:
    assert problems(b"[" * 50_000_000) == ["f:1:1: the file is larger than 10 MB. Is this the right file?"]


def laughs() -> str:
    """Twelve levels of ten: 10^12 values, if anybody expanded them."""
    levels = (f"{chr(98 + i)}: &{chr(98 + i)} [{', '.join(['*' + chr(97 + i)] * 10)}]" for i in range(12))
    return "\n".join(["a: &a [x]", *levels])


@pytest.mark.parametrize(
    "text",
    [laughs(), "[" * 5_000_000, "{a: " * 2_000_000, "- " * 4_000_000, "? " * 4_000_000, "a: 1\n" * 1_000_000],
    ids=["laughs", "lists", "mappings", "dashes", "questions", "duplicates"],
)
def test_what_explodes_is_refused_at_once_and_in_little_memory(text: str) -> None:
    before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()

    assert 0 < len(problems(text)) <= LIMIT
    assert time.monotonic() - began < 2
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # KiB


def test_problems_are_bounded_in_number() -> None:
    assert len(problems(f"{HEAD}ports:\n" + "".join(f"  P{i}: x\n" for i in range(5000)))) == LIMIT


TOKENS = st.sampled_from(
    [
        *"{}[]:,-*&!?|>'\"#%@`~\t\n \0\x1b",
        "---",
        "...",
        "<<",
        "null",
        "\u2028",
        "é",
        "0",
        "-1",
        "/",
        "10.1.1.1/24",
    ]
)


@settings(deadline=None, max_examples=300)
@given(
    st.sampled_from([path.read_text() for path in EXAMPLES + BROKEN]),
    st.lists(st.tuples(st.floats(0, 1), st.integers(0, 12), TOKENS | st.text(max_size=3)), max_size=6),
)
def test_mutated_files_are_accepted_or_refused_in_words(
    text: str, edits: list[tuple[float, int, str]]
) -> None:
    for where, removed, added in edits:
        at = int(where * len(text))
        text = text[:at] + added + text[at + removed :]
    for problem in verdict(text.encode("utf-8", "surrogatepass")):
        assert problem.message
        assert problem.remedy
        assert min(problem.line, problem.column) > 0
        assert "pydantic" not in str(problem)


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_garbage_is_refused_in_words(data: bytes) -> None:
    with pytest.raises(Invalid):
        parse(data, "f")
