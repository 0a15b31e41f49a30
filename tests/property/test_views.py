"""The generated views have all that a view can have: what holds for them holds for every feature."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from itertools import combinations
from typing import Any, get_args, get_type_hints

import pytest
from hypothesis import Phase, given, settings

import flows.view
from flows.flow import Meter
from flows.view import BridgeView
from tests.views import views

EXAMPLES = 250
PARTS = {
    name: part
    for name, part in vars(flows.view).items()
    if isinstance(part, type) and part.__module__ == flows.view.__name__
} | {"Meter": Meter}
"""What a view is made of, by name."""

NEVER_EMPTY = {"NetworkView.members", "Location.macs", "AllowedAddressPair.addresses"}
"""What a sound view has at least one of."""
ALWAYS_MET = {"NeighborEntry.port", "Location.remote", "NetworkPort.vlan"}
"""What says where somebody is, and not that something is turned on."""


def names(part: type) -> tuple[str, ...]:
    """The fields of a dataclass or a named tuple."""
    if is_dataclass(part):
        return tuple(field.name for field in fields(part))
    return tuple(getattr(part, "_fields", ()))


def kind(value: object) -> object:
    """What sort of value it is: of collections, whether there are none, one or many in it."""
    if isinstance(value, Collection) and not isinstance(value, str) and type(value) not in PARTS.values():
        return ("none", "one", "many")[min(len(value), 2)]
    return "some" if type(value) in PARTS.values() else value


def described(value: Any) -> Iterator[tuple[str, object]]:
    """Every field in a view, with the kind of its value."""
    if type(value) in PARTS.values():
        for name in names(type(value)):
            inner = getattr(value, name)
            yield f"{type(value).__name__}.{name}", kind(inner)
            yield from described(inner)
    elif isinstance(value, Mapping):
        yield from described(tuple(value.values()))
    elif isinstance(value, Collection) and not isinstance(value, str):
        for each in value:
            yield from described(each)


@cache
def sample() -> list[frozenset[tuple[str, object]]]:
    """What many generated views have, each on its own."""
    found = []

    @settings(max_examples=EXAMPLES, derandomize=True, database=None, phases=[Phase.generate])
    @given(views())
    def collect(view: BridgeView) -> None:
        found.append(frozenset(described(view)))

    collect()
    return found


@cache
def kinds() -> Mapping[str, set[object]]:
    """What the fields of the sample are."""
    found: defaultdict[str, set[object]] = defaultdict(set)
    for view in sample():
        for name, each in view:
            found[name].add(each)
    return found


@pytest.mark.parametrize("part", PARTS)
def test_every_field_of_a_view_varies(part: str) -> None:
    """There are both values of a switch, none and some of what is optional, none, one and many of a kind."""
    for name, hint in get_type_hints(PARTS[part]).items():
        whole, found = f"{part}.{name}", kinds()[f"{part}.{name}"]
        if hint in PARTS.values():
            assert found == {"some"}, whole
            continue
        assert len(found) > 1, f"{whole} is always {found}"
        if type(None) in get_args(hint):
            assert None in found, f"{whole} is never None"
        if found & {"none", "one", "many"}:
            expected = {"one", "many"} if whole in NEVER_EMPTY else {"none", "one", "many"}
            assert found >= expected, f"{whole} is never {expected - found}"


FEATURES: dict[str, Callable[[Any], bool]] = {
    "NeighborEntry.lease": bool,
    "NeighborEntry.learned": bool,
    "NeighborEntry.router": bool,
    "BridgeView.mac_limit_exceeded": lambda found: found != "none",
    "BridgeView.learn_from_tunnels": bool,
    "Limits.flood": bool,
    "Limits.receive": bool,
    "Limits.send": bool,
    "Location.blocked": bool,
    "Location.learned": bool,
    "Location.moves": bool,
    "NetworkPort.key": lambda found: found is not None,
    "NetworkPort.max_frame_size": bool,
    "NetworkPort.roles": lambda found: found != "none",
    "NetworkPort.allowed": bool,
    "NetworkPort.tagged": bool,
    "NetworkView.conflicts": lambda found: found != "none",
    "NetworkView.floods_unknown": lambda found: not found,
    "NetworkView.external_dhcp": bool,
    "NetworkView.nests": bool,
    "NetworkView.dhcp_enabled": bool,
    "Peer.up": lambda found: not found,
    "MulticastGroups.groups": lambda found: found in {"one", "many"},
    "MulticastGroups.queriers": lambda found: found != "none",
}
"""What somebody turns on, or what happens, by the field that tells and its kinds that do."""


def test_any_two_features_meet_in_some_view() -> None:
    views_with = {
        feature: {
            number for number, view in enumerate(sample()) if any(n == feature and on(k) for n, k in view)
        }
        for feature, on in FEATURES.items()
    }
    for one, other in combinations(FEATURES, 2):
        assert views_with[one] & views_with[other], f"{one} and {other} are never there together"


def test_all_switches_of_a_view_are_features() -> None:
    """Whoever adds one adds it here."""
    switches = {name for name, found in kinds().items() if found <= {True, False} or None in found}
    assert switches <= FEATURES.keys() | ALWAYS_MET, switches - FEATURES.keys()
