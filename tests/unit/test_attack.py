"""The attack suite itself: the same frames from each seed, and an oracle that sees through them."""

from __future__ import annotations

import struct
from collections import Counter

import pytest

from tests.attack import packets
from tests.attack.generate import MARK, mark, shot
from tests.attack.ground import KINDS, ground, sender
from tests.attack.linux import Fact, Receiver
from tests.attack.messages import dhcp_message
from tests.attack.oracle import Judge
from tests.attack.packets import ARP, IPV4, IPV6, UDP, ethernet, extension, fragment_header
from tests.attack.scene import scenes

GROUND = ground()
NEAR, FAR = GROUND.stations["near"], GROUND.stations["far"]
COUNT = 1500


@pytest.mark.parametrize("kind", KINDS)
def test_a_shot_follows_from_its_seed_and_number_alone_and_bears_its_mark(kind: str) -> None:
    around = scenes(GROUND, sender(GROUND, kind))
    forth = [shot(3, number, around) for number in range(COUNT)]
    back = [shot(3, number, around) for number in reversed(range(COUNT))]

    assert forth == back[::-1]
    assert forth[0] != shot(4, 0, around)
    marked = [f.data[-MARK:] == mark(3, kind) + struct.pack("!I", s.number) for s in forth for f in s.frames]
    assert sum(marked) > 0.9 * len(marked)
    assert all(len(frame.data) >= 14 for each in forth for frame in each.frames)


@pytest.mark.parametrize("kind", ["strict-trunk", "learning-access"])
def test_if_all_came_through_every_rule_would_be_broken(kind: str) -> None:
    """The generator reaches what it is for: without guards, each rule of the oracle finds something."""
    around, judge = scenes(GROUND, sender(GROUND, kind)), Judge(GROUND, sender(GROUND, kind))
    rules: Counter[str] = Counter()
    for number in range(COUNT):
        for frame in shot(5, number, around).frames:
            bare = frame.data[:12] + frame.data[16:] if kind == "strict-trunk" else frame.data
            rules.update(finding.rule for finding in judge.frame("near", bare))

    words = Counter(word for rule in rules for word in rule.replace(":", "").split())
    anyone = {"claims", "arp", "na", "ns", "group", "68", "546", "advertisement", "redirect"}
    strict = {"igmp", "mld", "own", "speaks", "gives", "ipv4", "ipv6"}
    assert words.keys() >= anyone | (strict if kind == "strict-trunk" else set())


def claim(hrd: int = 1, op: int = 2) -> bytes:
    """ARP: far's address is at strict."""
    body = (
        struct.pack("!HHBBH", hrd, IPV4, 6, 4, op) + packets.mac("02:aa:00:00:00:11") + packets.ip("10.1.1.2")
    )
    return body + packets.mac(NEAR.mac) + packets.ip("10.1.1.1")


def advertisement(options: bytes) -> bytes:
    rest = struct.pack("!I", 0x60000000) + packets.ip("fd00:1::2") + options
    return packets.icmpv6("fe80::1", "fd00:1::1", 136, rest)


def to_near(ethertype: int, payload: bytes, *tags: tuple[int, int]) -> bytes:
    return ethernet(NEAR.mac, "02:aa:00:00:00:11", tags, ethertype, payload)


def nd(following: int, payload: bytes) -> bytes:
    return to_near(IPV6, packets.ipv6("fe80::1", "fd00:1::1", following, payload, hops=255))


ATTACKER = packets.mac("02:aa:00:00:00:11")
TRUE, FALSE = b"\2\1" + packets.mac(FAR.mac), b"\2\1" + ATTACKER
ADVERTISED = advertisement(FALSE)
OFFER = packets.udp(
    "10.1.1.9", "255.255.255.255", (67, 68), dhcp_message(NEAR.mac, 7, 2, "10.1.1.9", "10.1.1.9")
)


def offer(**fields: int) -> bytes:
    return to_near(IPV4, packets.ipv4("10.1.1.9", "255.255.255.255", UDP, OFFER, **fields))  # type: ignore[arg-type]


SEEN_THROUGH = {
    "bare": [to_near(ARP, claim())],
    "hardware type 6": [to_near(ARP, claim(hrd=6))],
    "priority tags": [to_near(ARP, claim(), (0x8100, 0), (0x88A8, 0))],
    "the first of two options": [nd(58, advertisement(FALSE + TRUE))],
    "extension headers": [nd(0, extension(60) + extension(58) + ADVERTISED)],
    "atomic fragment": [nd(44, fragment_header(58, 0, False, 1) + ADVERTISED)],
    "two fragments": [
        nd(44, fragment_header(58, 0, True, 1) + ADVERTISED[:16]),
        nd(44, fragment_header(58, 16, False, 1) + ADVERTISED[16:]),
    ],
    "fragments in disorder": [
        nd(44, fragment_header(58, 16, False, 1) + ADVERTISED[16:]),
        nd(44, fragment_header(58, 0, True, 1) + ADVERTISED[:16]),
    ],
}
HARMLESS = {
    "hardware type 7": to_near(ARP, claim(hrd=7)),
    "reverse ARP": to_near(ARP, claim(op=4)),
    "another tag": to_near(ARP, claim(), (0x8100, 10)),
    "the second of two options": nd(58, advertisement(TRUE + FALSE)),
    "an option without a length": nd(58, advertisement(b"\2\0" + FALSE[2:] + FALSE)),
    "a hop limit of 64": to_near(IPV6, packets.ipv6("fe80::1", "fd00:1::1", 58, ADVERTISED)),
    "a wrong checksum": nd(58, ADVERTISED[:2] + b"\0\0" + ADVERTISED[4:]),
    "for another station": ethernet(FAR.mac, "02:aa:00:00:00:11", (), ARP, claim()),
    "a routing header that leads on": nd(43, packets.routing(58, 4, 1) + ADVERTISED),
}


def claims(frames: list[bytes]) -> set[tuple[str, str]]:
    """What of far's addresses a receiver takes to be the attacker's."""
    receiver = Receiver(NEAR.mac)
    facts = {fact for frame in frames for fact in receiver.facts(frame) if fact.what == "claim"}
    return {(fact.ip, fact.mac) for fact in facts if fact.mac == ATTACKER.hex(":")}


@pytest.mark.parametrize("how", SEEN_THROUGH)
def test_the_oracle_reads_what_linux_reads(how: str) -> None:
    assert {ip for ip, _ in claims(SEEN_THROUGH[how])} <= {"10.1.1.2", "fd00:1::2"}
    assert claims(SEEN_THROUGH[how])


@pytest.mark.parametrize("how", HARMLESS)
def test_the_oracle_ignores_what_linux_ignores(how: str) -> None:
    assert not claims([HARMLESS[how]])


@pytest.mark.parametrize("fields", [{}, {"fragment": 0x2000}, {"identity": 5}])
def test_an_offer_is_one_also_as_a_fragment_of_which_more_never_come(fields: dict[str, int]) -> None:
    said = Receiver(NEAR.mac).facts(offer(**fields))

    assert Fact("dhcp-server", "udp to port 68") in said


def test_a_frame_at_another_tenant_is_a_finding_whatever_it_says() -> None:
    judge = Judge(GROUND, sender(GROUND, "strict-access"))
    frame = ethernet(packets.EVERYONE, "02:aa:00:00:00:11", (), packets.EXPERIMENTAL, bytes(46))

    assert [finding.where for finding in judge.frame("blue1", frame)] == ["blue1"]
    assert judge.frame("near", frame) == []
