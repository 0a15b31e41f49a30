"""A file means the same whatever was read before it; what it has in common with that one is the very same."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from sdnapp.config import Invalid, Problem, ResultCache, document, parse
from sdnapp.config_file import Loader
from sdnapp.net.build import build
from sdnapp.net.model import Overlay
from tests.overlays import TWO_HOSTS

CONFIGS = Path(__file__).parents[2] / "configs"
NETWORKS = ("red/web", "red/db", "blue/web")
HOSTS = ("host1", "host2", "host3")
KINDS = st.sampled_from(["vxlan", "gre", "geneve"])
TAGS = st.integers(10, 13)


def optional(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=fields)


def network(vni: int) -> st.SearchStrategy[dict[str, Any]]:
    subnets = st.sampled_from([["10.1.1.0/24"], ["10.1.1.0/24", "fd00:1::/64"], ["fd00:1::/64"], []])
    return st.fixed_dictionaries(
        {"vni": st.sampled_from([*[vni] * 30, vni + 1])},
        optional={"vlan": TAGS, "subnet": subnets, "multicast": st.just("flood"), "dhcp": st.booleans()},
    )


def host(number: int) -> st.SearchStrategy[dict[str, Any]]:
    others = st.dictionaries(st.sampled_from([*{*HOSTS} - {f"host{number}"}, "*"]), KINDS, max_size=2)
    return st.fixed_dictionaries(
        {"vtep": st.sampled_from([*[f"192.168.4.20{number}"] * 30, f"fd00:4::20{number}"])},
        optional={
            "encapsulation": others,
            "vlans": st.dictionaries(st.sampled_from(NETWORKS), TAGS, max_size=2),
            "underlay_mtu": st.sampled_from([1500, 9000]),
        },
    )


def port(number: int) -> st.SearchStrategy[dict[str, Any]]:
    addresses = [f"10.1.1.{number}/24", f"fd00:1::{number}/64", f"10.1.1.{number}"]
    more = optional(
        network=st.sampled_from(NETWORKS),
        attach=st.just("external"),
        max_macs=st.just(7),
        rate=st.just({"send": "1M"}),
        may=st.just("router"),
        mac=st.sampled_from([*[f"02:00:00:00:00:0{number}"] * 20, "02:00:00:00:00:01"]),
        interface=st.sampled_from([*[f"eth{number}"] * 20, "eth1", "br-int"]),
        security=st.sampled_from(["learn"] * 5 + ["strict"]),
    )
    trunk = st.dictionaries(st.sampled_from(NETWORKS), TAGS, min_size=1, max_size=2)
    addresses += ["10.1.1.1/24"]
    address = st.lists(st.sampled_from(addresses[:2] * 10 + addresses[2:]), unique=True, max_size=2)
    ways = (
        st.fixed_dictionaries({"network": st.sampled_from(NETWORKS)}),
        st.fixed_dictionaries({"network": st.just("red/db"), "address": address}),
        st.fixed_dictionaries({"trunk": trunk}),
    )
    on = st.fixed_dictionaries({"host": st.sampled_from(HOSTS)})
    return st.tuples(more, st.one_of(*ways), on).map(lambda parts: parts[0] | parts[1] | parts[2])


def peer(number: int) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(
        {"host": st.sampled_from(HOSTS), "vtep": st.just(f"192.168.5.{number}")},
        optional={
            "encapsulation": KINDS,
            "network": st.sampled_from(NETWORKS),
            "keys": st.dictionaries(st.sampled_from(NETWORKS), st.integers(7, 9), max_size=2),
        },
    )


def tenant(**networks: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({"networks": st.fixed_dictionaries(networks)})


TENANTS = st.fixed_dictionaries(
    {"red": tenant(web=network(5010), db=network(5011)), "blue": tenant(web=network(5020))}
)
PORTS = [(f"port{n}", port(n)) for n in range(1, 6)]
FILES = st.fixed_dictionaries(
    {
        "tenants": TENANTS,
        "hosts": st.fixed_dictionaries({name: host(n) for n, name in enumerate(HOSTS, 1)}),
        "ports": optional(**dict(PORTS)),
    },
    optional={
        "overlay": optional(encapsulation=KINDS, mtu=st.just(1400), csum=st.just(True)),
        "peers": optional(nas=peer(7), wan=peer(8)),
    },
)


@st.composite
def histories(draw: st.DrawFn) -> list[str]:
    """Files, each like the one before it but for some of its sections, or the order of what is in them."""
    files: list[dict[str, Any]] = [draw(FILES)]
    for _ in range(draw(st.integers(1, 4))):
        other = draw(FILES)
        changed = draw(st.sets(st.sampled_from([*other]), max_size=2))
        new = files[-1] | {section: other[section] for section in changed}
        files.append(_turned(new) if draw(st.booleans()) else new)
    return [yaml.safe_dump(file, sort_keys=False).replace("'", "") for file in files]


def _turned(value: Any) -> Any:
    return {k: _turned(v) for k, v in reversed(value.items())} if isinstance(value, dict) else value


def verdict(loader: Loader) -> Overlay | tuple[Problem, ...]:
    try:
        return loader.load()
    except Invalid as invalid:
        return invalid.problems


@settings(deadline=None, max_examples=200)
@given(histories())
def test_a_file_means_the_same_whatever_was_read_before_it(texts: list[str]) -> None:
    with tempfile.NamedTemporaryFile("w+") as file:
        again = Loader(file.name)
        for text in texts:
            Path(file.name).write_text(text)

            assert verdict(again) == verdict(Loader(file.name))


SERVER = TWO_HOSTS.replace("red1:  {", "red1:  {roles: dhcp-server, ")
SAME_MAC, SAME_ID = "mac: 02:00:00:00:00:01, ", "attach: external, iface_id: x, "
APART = {
    "mac": (("red1:  {", f"red1:  {{{SAME_MAC}"), ("red2:  {", f"red2:  {{{SAME_MAC}")),
    "address": (("10.1.1.1/24", "10.1.1.9/24"), ("10.1.1.2/24", "10.1.1.9/24")),
    "iface-id": (("red1:  {", f"red1:  {{{SAME_ID}"), ("red2:  {", f"red2:  {{{SAME_ID}")),
    "interface": (("red1:  {", "red1:  {interface: x, "), ("blue1: {", "blue1: {interface: x, ")),
    "uplink": (("red2:  {", "red2:  {interface: x, "), (".202}", ".202, uplink: x}")),
    "server": (("red2:  {", "red2:  {addressing: dhcp, "), ("roles: dhcp-server, ", "")),
    "family": (("red2:  {", "red2:  {max_macs: 7, "), ("192.168.4.202", "fd00:4::202")),
    "network": (("red2:  {", "red2:  {max_macs: 7, "), ("blue: {networks: {web:", "blue: {networks: {db:")),
    "subnet": (("red2:  {", "red2:  {max_macs: 7, "), ("10.1.1.0/24", "10.1.2.0/24")),
    "stranger": (
        ("ports:", "peers: {nas: {host: host1, vtep: 192.168.5.7, network: red/web}}\nports:"),
        ("{nas:", "{red2:"),
    ),
}
"""Two changes to a file that do not go together."""


@pytest.mark.parametrize("changes", APART.values(), ids=APART)
def test_what_does_not_go_with_what_was_there_before_is_found(changes: tuple[tuple[str, str], ...]) -> None:
    text, known = SERVER, ResultCache()
    parse(text.encode(), "f", known)
    for old, new in changes[:-1]:
        text, known = text.replace(old, new), ResultCache(known.made)
        parse(text.encode(), "f", known)
    text = text.replace(*changes[-1])
    with pytest.raises(Invalid) as alone:
        parse(text.encode(), "f")
    with pytest.raises(Invalid) as after:
        parse(text.encode(), "f", ResultCache(known.made))

    assert after.value.problems == alone.value.problems


@pytest.mark.parametrize("path", sorted((CONFIGS / "broken").glob("*.yaml")), ids=lambda path: path.stem)
def test_a_broken_file_is_told_as_if_it_were_the_first(path: Path) -> None:
    known = ResultCache()
    parse((CONFIGS / "minimal.yaml").read_bytes(), "f", known)
    with pytest.raises(Invalid) as alone:
        parse(path.read_bytes(), "f")
    with pytest.raises(Invalid) as after:
        parse(path.read_bytes(), "f", ResultCache(known.made))

    assert after.value.problems == alone.value.problems


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.stem)
def test_no_example_needs_to_be_read_as_a_whole(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    alone = parse(path.read_bytes(), "f")
    monkeypatch.delattr(document, "read")

    assert parse(path.read_bytes(), "f", ResultCache()) == alone


def test_what_a_part_came_to_is_kept_with_the_whole_that_is_the_same() -> None:
    made: list[int] = []

    def part(number: int) -> int:
        made.append(number)
        return number

    def whole(results: ResultCache, *numbers: int) -> int:
        return sum(results.of(number, part, number) for number in numbers)

    known = ResultCache()
    for numbers in ((1, 2), (1, 2), (1, 3)):
        known = ResultCache(known.made)
        assert known.parts("whole", whole, *numbers) == sum(numbers)
    assert made == [1, 2, 3]


def test_what_many_come_to_depends_on_what_is_given_to_all() -> None:
    known = ResultCache()
    for items, power in (((2, 3, 2), 10), ((3, 4), 10), ((3, 4), 2)):
        known = ResultCache(known.made)
        assert known.each("powers", pow, items, power) == [item**power for item in items]


def test_what_has_not_changed_is_the_very_same() -> None:
    first = ResultCache()
    before = build(parse(TWO_HOSTS.encode(), "f", first), first)
    second = ResultCache(first.made)
    changed = TWO_HOSTS.replace("red2:  {", "red2:  {max_macs: 7, ")
    after = build(parse(changed.encode(), "f", second), second)

    assert after.ports["red2"].max_macs == 7
    assert all(after.ports[name] is before.ports[name] for name in ("red1", "blue1", "blue2"))
    assert after.hosts["host1"] is before.hosts["host1"]
    assert after.networks["red/web"] is before.networks["red/web"]
    assert after.hosts["host2"].tunnels is before.hosts["host2"].tunnels


def test_what_the_last_file_did_not_have_is_forgotten() -> None:
    first = ResultCache()
    build(parse(TWO_HOSTS.encode(), "f", first), first)
    less = "\n".join(line for line in TWO_HOSTS.splitlines() if "red2" not in line).encode()
    second, fresh = ResultCache(first.made), ResultCache()
    for results in (second, fresh):
        build(parse(less, "f", results), results)

    assert second.made == fresh.made
