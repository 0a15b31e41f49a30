"""What is derived from names: the same for ever, within its bounds, and stable when others come and go."""

from __future__ import annotations

from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdnapp.config import Invalid, names, parse

NAMES = st.text("abcdefghijklmnopqrstuvwxyz0123456789-", min_size=1, max_size=40)


def test_derived_names_never_change() -> None:
    """Overlays that run were built with these."""
    assert names.datapath_id("host1") == 0xFE00E3B18A45
    assert names.mac("red1") == "02:bc:51:85:f4:95"
    assert names.tunnel_interface("vxlan", "host2") == "vxlan-host2"
    assert names.tunnel_interface("geneve", "rack-12-host-2") == "geneve-7b0b5af3"
    assert names.ofports(["red1", "blue1"], names.PORT_NUMBERS) == {"blue1": 34678, "red1": 59818}


@settings(deadline=None)
@given(NAMES)
def test_derived_values_keep_their_bounds(name: str) -> None:
    assert 0 < names.datapath_id(name) < 2**48
    assert names.mac(name).startswith("02:")
    for kind in ("vxlan", "gre", "geneve"):
        assert len(names.tunnel_interface(kind, name)) <= names.MAX_INTERFACE


@settings(deadline=None)
@given(st.sets(NAMES, max_size=40), NAMES)
def test_port_numbers_are_distinct_and_in_range_and_a_new_name_moves_none(known: set[str], new: str) -> None:
    before, after = (names.ofports(some, names.TUNNEL_NUMBERS) for some in (known, known | {new}))

    assert len(set(after.values())) == len(after)
    assert all(number in names.TUNNEL_NUMBERS for number in after.values())
    moved = {name for name in known if before[name] != after[name]}
    assert all(abs(before[name] - after[name]) == 1 for name in moved)  # only where two digests meet


def test_port_numbers_fill_their_range_and_no_more() -> None:
    assert set(names.ofports("abcd", range(5, 9)).values()) == {5, 6, 7, 8}
    with pytest.raises(ValueError, match="5 names for 4"):
        names.ofports("abcde", range(5, 9))


def test_hosts_whose_tunnels_would_share_a_name_are_refused() -> None:
    seen: dict[str, str] = {}
    for i in count():
        name = f"a-rather-long-host-{i}"
        first = seen.setdefault(names.tunnel_interface("vxlan", name), name)
        if first != name:
            break
    hosts = f"{{{first}: {{vtep: 192.168.4.1}}, {name}: {{vtep: 192.168.4.2}}}}"

    with pytest.raises(Invalid, match=f"the tunnel to it would be named vxlan-.*, like that to {first}"):
        parse(f"{{tenants: {{}}, hosts: {hosts}, ports: {{}}}}".encode(), "f")
