"""What a file promises about who reaches whom, and how what was seen is judged."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations
from pathlib import Path

import pytest

from sdnapp.config_file import load
from sdnapp.frames.packet import Ends
from sdnapp.lab import echo
from sdnapp.lab.reachability import Endpoint, Observed, Probe, compare, endpoints, probes

CONFIGS = Path(__file__).parents[2] / "configs"
RUN = b"12345678"


@pytest.fixture
def ends() -> tuple[Endpoint, ...]:
    return endpoints(load(CONFIGS / "two-hosts.yaml"))


@pytest.fixture
def sent(ends: tuple[Endpoint, ...]) -> tuple[Probe, ...]:
    return probes(ends, set(permutations(("red1", "red2", "blue1", "blue2"), 2)))


def place(end: Endpoint) -> tuple[str, int | None]:
    return end.port, end.tag


def as_expected(sent: tuple[Probe, ...]) -> Observed:
    """What a perfect overlay shows: in one network everything arrives, and is answered."""
    kept = [(n, place(probe.destination)) for n, probe in enumerate(sent) if probe.expected]
    return Observed(frozenset(kept), frozenset(n for n, _ in kept))


def test_a_network_is_reachable_as_a_whole_and_its_tenant_alone(
    ends: tuple[Endpoint, ...], sent: tuple[Probe, ...]
) -> None:
    cells = compare(sent, as_expected(sent), ends)

    assert {pair for pair, cell in cells.items() if cell.expected} == {
        ("red1", "red2", 4),
        ("red2", "red1", 4),
        ("blue1", "blue2", 4),
        ("blue2", "blue1", 4),
    }
    assert len(cells) == 12
    assert not any(cell.failures for cell in cells.values())


def test_an_answer_from_the_own_tenants_holder_of_the_address_is_no_leak(
    ends: tuple[Endpoint, ...], sent: tuple[Probe, ...]
) -> None:
    """red1 -> blue2's address: red2 has it too, and may answer."""
    seen = as_expected(sent)
    number = next(
        n
        for n, p in enumerate(sent)
        if (p.source.port, p.destination.port, p.routed) == ("red1", "blue2", True)
    )
    seen = Observed(seen.arrivals | {(number, ("red2", None))}, seen.answered | {number})

    assert not any(cell.failures for cell in compare(sent, seen, ends).values())


def test_a_frame_that_comes_out_at_another_tenant_is_a_leak_wherever_it_was_meant_for(
    ends: tuple[Endpoint, ...], sent: tuple[Probe, ...]
) -> None:
    seen = as_expected(sent)
    number = next(n for n, p in enumerate(sent) if (p.source.port, p.destination.port) == ("red1", "red2"))
    cells = compare(sent, Observed(seen.arrivals | {(number, ("blue1", None))}, seen.answered), ends)

    assert cells["red1", "blue1", 4].failures == ("a frame of red/web comes out in blue/web",)


def test_silence_and_a_lost_answer_are_told_apart(
    ends: tuple[Endpoint, ...], sent: tuple[Probe, ...]
) -> None:
    seen = as_expected(sent)
    there = next(n for n, p in enumerate(sent) if (p.source.port, p.destination.port) == ("red1", "red2"))
    back = next(n for n, p in enumerate(sent) if (p.source.port, p.destination.port) == ("red2", "red1"))
    arrivals = frozenset(arrival for arrival in seen.arrivals if arrival[0] != there)
    cells = compare(sent, Observed(arrivals, seen.answered - {back}), ends)

    assert cells["red1", "red2", 4].failures == ("nothing arrives at 10.1.1.2",)
    assert cells["red2", "red1", 4].failures == ("10.1.1.1 gets the request, but its answer is lost",)


def test_a_trunk_port_has_an_endpoint_for_each_of_its_networks() -> None:
    overlay = load(CONFIGS / "trunk.yaml")
    trunks = {p.name for p in overlay.ports.values() if any(a.tagged for a in p.attachments)}
    tagged = [end for end in endpoints(overlay) if end.port in trunks and end.tag is not None]

    assert tagged
    assert all(end.device == f"{end.wire}.{end.tag}" for end in tagged)


@pytest.mark.parametrize(("origin", "goal"), [("10.1.1.1", "10.1.1.2"), ("fd00::1", "fd00::2")])
def test_a_crafted_frame_carries_a_valid_echo_request_and_its_token(origin: str, goal: str) -> None:
    from ipaddress import ip_address

    source, destination = ip_address(origin), ip_address(goal)
    frame = echo.frame(Ends("02:00:00:00:00:01", echo.BROADCAST, source, destination), RUN, 77)

    assert frame[:12] == bytes.fromhex("ffffffffffff020000000001")
    assert echo.sighting(frame, RUN) == echo.Sighting(77, request=True)
    assert echo.sighting(frame, b"another!") is None
    if source.version == 4:
        assert _sum(frame[14:34]) == 0xFFFF
        assert _sum(frame[34:]) == 0xFFFF
    else:
        length = len(frame) - 54
        assert _sum(frame[22:54] + length.to_bytes(4, "big") + bytes([0, 0, 0, 58]) + frame[54:]) == 0xFFFF


def _sum(data: bytes) -> int:
    """The one's complement sum that a receiver checks (RFC 1071)."""
    data += b"\0" * (len(data) % 2)
    total = sum(int.from_bytes(data[i : i + 2], "big") for i in range(0, len(data), 2))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def test_a_request_that_no_device_can_answer_arrives_and_is_told_apart() -> None:
    """As on a trunk port of a kernel without VLAN devices: the promise is kept, and a ping fails."""
    ends = tuple(
        replace(end, device=None) if end.tag is not None else end
        for end in endpoints(load(CONFIGS / "trunk.yaml"))
    )
    sent = probes(ends, {("web1", "router"), ("web1", "web2")})
    cells = compare(sent, as_expected(sent), ends)

    assert cells["web1", "router", 4].failures == ()
    (words,) = cells["web1", "router", 4].unanswered
    assert "namespace router has no eth0.10" in words
    assert cells["web1", "web2", 4].unanswered == ()
