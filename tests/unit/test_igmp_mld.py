"""What frames say about multicast groups."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from os_ken.lib.packet import icmpv6, igmp
from os_ken.lib.packet.packet_utils import checksum

from sdnapp.net.igmp_mld import LONGEST, Query, Report, decode
from tests.groups import ROUTER, of_igmp, of_mld, query, report

GROUP, GROUP6 = "239.1.2.3", "ff05::1:3"
ASKER = "10.1.1.254"


def joined(family: int, *groups: str) -> Report:
    return Report(4 if family == 4 else 6, frozenset(groups), frozenset())


def test_queries_say_how_long_to_wait() -> None:
    assert decode(query(10)) == Query(4, ROUTER, ASKER, general=True, response=10.0)
    assert decode(query(1, GROUP)) == Query(4, ROUTER, ASKER, general=False, response=1.0)
    assert decode(query(0)) == Query(4, ROUTER, ASKER, general=True, response=10.0)  # version 1
    third = decode(query(10, interval=30))
    assert third == Query(4, ROUTER, ASKER, general=True, response=10.0, interval=30.0, robustness=3)
    assert third.membership == 100.0
    assert third.presence == 95.0


def test_reports_of_every_version_of_igmp() -> None:
    first = of_igmp(igmp.igmp(igmp.IGMP_TYPE_REPORT_V1, 0, 0, GROUP), GROUP)
    second = of_igmp(igmp.igmp(igmp.IGMP_TYPE_REPORT_V2, 0, 0, GROUP), GROUP)
    leave = of_igmp(igmp.igmp(igmp.IGMP_TYPE_LEAVE, 0, 0, GROUP), "224.0.0.2")

    assert decode(first) == decode(second) == joined(4, GROUP)
    assert decode(leave) == Report(4, frozenset(), frozenset({GROUP}))
    assert decode(report(GROUP, "239.9.9.9", left=("239.4.4.4",))) == Report(
        4, frozenset({GROUP, "239.9.9.9"}), frozenset({"239.4.4.4"})
    )


def test_a_source_that_is_wanted_is_a_group_that_is_wanted() -> None:
    records = [
        igmp.igmpv3_report_group(type_=3, address=GROUP, srcs=["10.0.0.1"]),
        igmp.igmpv3_report_group(type_=5, address="239.5.5.5", srcs=["10.0.0.1", "10.0.0.2"]),
        igmp.igmpv3_report_group(type_=6, address="239.6.6.6", srcs=["10.0.0.1"]),
    ]

    assert decode(of_igmp(igmp.igmpv3_report(records=records), "224.0.0.22")) == joined(4, GROUP, "239.5.5.5")


def test_both_versions_of_mld() -> None:
    asked = decode(of_mld(130, icmpv6.mld(maxresp=10000, address="::"), ROUTER))
    assert asked == Query(6, ROUTER, "fe80::1", general=True, response=10.0)
    third = of_mld(130, icmpv6.mldv2_query(maxresp=0x8001, address="::", qrv=2, qqic=0x8F), ROUTER)
    assert decode(third) == Query(6, ROUTER, "fe80::1", general=True, response=32.776, interval=248.0)
    assert decode(of_mld(131, icmpv6.mld(address=GROUP6))) == joined(6, GROUP6)
    assert decode(of_mld(132, icmpv6.mld(address=GROUP6))) == Report(6, frozenset(), frozenset({GROUP6}))
    records = [
        icmpv6.mldv2_report_group(type_=4, num=0, address=GROUP6),
        icmpv6.mldv2_report_group(type_=3, num=0, address="ff08::2"),
    ]
    second = of_mld(143, icmpv6.mldv2_report(records=records, record_num=2))
    assert decode(second) == Report(6, frozenset({GROUP6}), frozenset({"ff08::2"}))


def test_groups_that_stay_on_the_link_are_nobodys_to_join() -> None:
    assert decode(report("224.0.0.251")) is None
    assert decode(of_mld(131, icmpv6.mld(address="ff02::1:ff00:1"))) is None
    assert decode(report("10.1.1.1")) is None


def test_a_wrong_checksum_says_nothing() -> None:
    frame = bytearray(report(GROUP))
    frame[52] ^= 1

    assert decode(bytes(frame)) is None


def with_sum(frame: bytes) -> bytes:
    """The frame with the right checksum in its IPv4 header."""
    header = frame[14 : 14 + 4 * (frame[14] & 15)]
    bare = header[:10] + bytes(2) + header[12:]
    return frame[:24] + int(checksum(bare)).to_bytes(2, "big") + frame[26:]


def changed(frame: bytes, at: int, *values: int) -> bytes:
    return frame[:at] + bytes(values) + frame[at + len(values) :]


def of_longer(frame: bytes, at: int, *values: int) -> bytes:
    """IGMP with other bytes, and the right checksums."""
    said = changed(frame[38:], at, *values)
    return frame[:38] + changed(said, 2, *checksum(changed(said, 2, 0, 0)).to_bytes(2, "big"))


ASKED, THIRD = query(), query(interval=30)
OF_MLD = of_mld(130, icmpv6.mld(maxresp=10000, address="::"), ROUTER)
UNANSWERED = {
    "wrong checksum of the IP header": changed(ASKED, 24, 1, 1),
    "TTL 2": with_sum(changed(ASKED, 22, 2)),
    "no router alert": with_sum(changed(ASKED, 34, 1, 1, 1, 0)),
    "IP address of a group": with_sum(changed(ASKED, 30, 224, 0, 0, 22)),
    "MAC of another group": changed(ASKED, 0, 1, 0, 0x5E, 0, 0, 22),
    "MAC of one host": changed(ASKED, 0, 2, 0, 0, 0, 0, 1),
    "source is a group": with_sum(changed(ASKED, 26, 224, 0, 0, 1)),
    "source is everybody": with_sum(changed(ASKED, 26, 255, 255, 255, 255)),
    "source is loopback": with_sum(changed(ASKED, 26, 127, 0, 0, 1)),
    "a fragment": with_sum(changed(ASKED, 20, 0x20, 0)),
    "sources of no group": of_longer(THIRD, 10, 0, 1),
    "10 bytes": with_sum(changed(ASKED, 16, 0, 34)) + bytes(2),
    "MLD with hop limit 255": changed(OF_MLD, 21, 255),
    "MLD without router alert": changed(OF_MLD, 56, 1, 4, 0, 0, 0, 0),
    "MLD with an option that hosts must not pass over": changed(OF_MLD, 60, 0x80, 0),
    "MLD with the alert of RSVP": changed(OF_MLD, 58, 0, 1),
    "MLD to the MAC of another group": changed(OF_MLD, 5, 22),
}


@pytest.mark.parametrize("why", UNANSWERED)
def test_a_query_that_hosts_ignore_says_nothing(why: str) -> None:
    assert decode(UNANSWERED[why]) is None


def test_a_query_of_mld_comes_from_a_link_local_address() -> None:
    anywhere = changed(OF_MLD, 22, 0xFD, 0, *OF_MLD[24:37], 1)
    difference = 0xFE80 - 0xFD00
    wrong = int.from_bytes(OF_MLD[64:66], "big") + difference
    mended = changed(anywhere, 64, *((wrong & 0xFFFF) + (wrong >> 16)).to_bytes(2, "big"))

    assert decode(OF_MLD) is not None
    assert decode(mended) is None


def test_no_query_counts_for_days() -> None:
    forged = decode(of_igmp(igmp.igmpv3_query(maxresp=255, qrv=7, qqic=255), "224.0.0.1", ROUTER))

    assert isinstance(forged, Query)
    assert (forged.membership, forged.presence) == (LONGEST, LONGEST)


SAID = [query(), query(interval=9), report(GROUP), of_mld(143, icmpv6.mldv2_report(records=[]))]


@given(st.integers(0, 2**32 - 1))
def test_no_frame_makes_it_raise(seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(100):
        broken = bytearray(chance.choice(SAID)[: chance.randrange(91)])
        for _ in range(chance.randrange(8) if broken else 0):
            broken[chance.randrange(len(broken))] = chance.randrange(256)
        decode(bytes(broken))


@given(st.binary(max_size=200))
@settings(max_examples=1000)
def test_nor_does_any_other(data: bytes) -> None:
    decode(data)
    decode(bytes(12) + b"\x08\x00\x46" + data)
    decode(bytes(12) + b"\x86\xdd\x60" + data)
