"""What networks carry, and what is said to a packet that is too large."""

from __future__ import annotations

import re
from ipaddress import ip_address

import pytest
from os_ken.lib.packet import ethernet, icmp, icmpv6, ipv4, ipv6, packet, udp

from sdnapp.frames.packet import read
from sdnapp.net.mtu import remarks, unfit, workload_mtus
from sdnapp.net.packet_too_big import packet_too_big
from tests.overlays import TWO_HOSTS, overlay

JUMBO_HERE = TWO_HOSTS.replace("192.168.4.201}", "192.168.4.201, underlay_mtu: 9000}")
JUMBO = JUMBO_HERE.replace("192.168.4.202}", "192.168.4.202, underlay_mtu: 9000}")
ASKER, FAR = "02:00:00:00:00:01", "02:00:00:00:00:02"


def test_a_network_takes_the_smallest_and_says_so() -> None:
    jumbo, mixed = overlay(JUMBO), overlay(JUMBO_HERE)

    assert jumbo.networks["red/web"].mtu == 8958
    assert not list(remarks(jumbo))
    assert mixed.networks["red/web"].mtu == 1458
    assert workload_mtus(mixed, mixed.hosts["host1"], 9000)["red1"] == 1458
    assert "red/web: its MTU is 1458, as host2 carries no more; others carry 8958" in remarks(mixed)


def test_a_host_that_sees_less_than_the_file_says_takes_less() -> None:
    jumbo = overlay(JUMBO)

    assert workload_mtus(jumbo, jumbo.hosts["host1"], 1500)["red1"] == 1458


def test_an_mtu_that_an_underlay_does_not_carry_is_remarked() -> None:
    text = JUMBO.replace("202, underlay_mtu: 9000", "202, underlay_mtu: 1500")
    fixed = overlay(text.replace("encapsulation: gre", "encapsulation: gre, mtu: 1500"))

    assert "red/web: its MTU is 1500, but host2 carries 1458 at most" in remarks(fixed)


def test_an_mtu_that_wants_more_than_a_usual_underlay_is_remarked_until_the_file_says_more() -> None:
    text = TWO_HOSTS.replace("encapsulation: gre", "encapsulation: gre, mtu: 9000")
    words = (
        "red/web: its MTU is 9000, but host1 must have an underlay of 9042 for that. "
        "Write it as hosts.host1.underlay_mtu"
    )
    assert words in remarks(overlay(text))
    wide = re.sub(r"(vtep: [0-9.]+)", r"\1, underlay_mtu: 9042", text)
    assert not list(remarks(overlay(wide)))


def test_an_mtu_that_the_real_underlay_does_not_carry_is_a_problem_of_the_agent() -> None:
    there = overlay(TWO_HOSTS.replace("encapsulation: gre", "encapsulation: gre, mtu: 9000"))

    assert list(unfit(there, there.hosts["host1"], 1500)) == [
        "overlay.mtu is 9000, but the underlay of host1 has 1500 and carries 1458: "
        "larger packets between hosts are lost"
    ]
    assert not list(unfit(there, there.hosts["host1"], 9042))
    assert not list(unfit(overlay(), there.hosts["host1"], 1500))


def test_where_the_file_says_nothing_of_underlays_each_host_goes_by_its_own() -> None:
    usual = overlay(TWO_HOSTS)

    assert usual.networks["red/web"].mtu == 1458
    assert workload_mtus(usual, usual.hosts["host1"], 9000)["red1"] == 8958
    assert not list(remarks(usual))


def frame(*layers: object, payload: bytes = b"") -> bytes:
    built = packet.Packet()
    for layer in layers:
        built.add_protocol(layer)
    if payload:
        built.add_protocol(payload)
    built.serialize()
    return bytes(built.data)


def too_large(version: int, proto: int = 17, src: str = "") -> bytes:
    """A UDP packet of 1,500 bytes and more. A bridge may cut it, or not: Open vSwitch sends all of it."""
    if version == 4:
        ip = ipv4.ipv4(src=src or "10.1.1.1", dst="10.1.1.2", proto=proto, flags=2)
        head = ethernet.ethernet(FAR, ASKER, 0x0800)
    else:
        ip = ipv6.ipv6(src=src or "fd00::1", dst="fd00::2", nxt=proto)
        head = ethernet.ethernet(FAR, ASKER, 0x86DD)
    return frame(head, ip, udp.udp(4000, 4001), payload=bytes(1500))


def test_who_sends_too_large_a_packet_hears_what_fits() -> None:
    asked = read(too_large(4))
    assert asked is not None
    served = packet_too_big(asked, 1450)
    assert served is not None
    assert served.frame is not None
    layers = packet.Packet(served.frame)

    assert (layers.get_protocol(ethernet.ethernet).dst, layers.get_protocol(ethernet.ethernet).src) == (
        ASKER,
        FAR,
    )
    assert (layers.get_protocol(ipv4.ipv4).dst, layers.get_protocol(ipv4.ipv4).src) == (
        "10.1.1.1",
        "10.1.1.2",
    )
    told = layers.get_protocol(icmp.icmp)
    assert (told.type, told.code, told.data.mtu) == (3, 4, 1450)
    assert len(served.frame) <= 14 + 576
    assert served.frame[42:] == asked.data[:548]


def test_over_ipv6_too() -> None:
    asked = read(too_large(6))
    assert asked is not None
    served = packet_too_big(asked, 1430)
    assert served is not None
    assert served.frame is not None
    layers = packet.Packet(served.frame)

    told = layers.get_protocol(icmpv6.icmpv6)
    assert (told.type_, told.code) == (2, 0)
    assert served.frame[58:62] == (1430).to_bytes(4, "big")
    assert len(served.frame) == 14 + 1280
    again = read(served.frame)
    assert again is not None
    assert again.src == ip_address("fd00::2")


@pytest.mark.parametrize("version", [4, 6])
def test_what_a_bridge_has_cut_is_quoted_as_far_as_it_is_there(version: int) -> None:
    asked = read(too_large(version)[:640])
    assert asked is not None
    served = packet_too_big(asked, 1450)
    assert served is not None
    assert served.frame is not None

    assert served.frame.endswith(asked.data[: {4: 548, 6: 626}[version]])


@pytest.mark.parametrize(
    "data",
    [
        too_large(4, src="0.0.0.0"),
        too_large(4, src="224.0.0.1"),
        too_large(4, proto=1),  # whose type is 15: no question
        bytes.fromhex("ffffffffffff") + too_large(4)[6:],
        too_large(6, src="::"),
        too_large(6, proto=58),
    ],
)
def test_nobody_is_told_who_must_not_be(data: bytes) -> None:
    asked = read(data)
    assert asked is not None
    served = packet_too_big(asked, 1450)

    assert served is not None
    assert served.frame is None


def test_what_fits_needs_no_answer() -> None:
    asked = read(too_large(4))
    assert asked is not None

    assert packet_too_big(asked, asked.length) is None
