"""Frames that say something about multicast groups, as os-ken makes them."""

from __future__ import annotations

from typing import Any

from os_ken.lib.packet import ether_types, ethernet, icmpv6, igmp, ipv4, ipv6, packet

IGMP, ICMPV6 = 2, 58
ALERT = bytes.fromhex("94040000")
"""The router alert (RFC 2113)."""
ROUTER, HOST = "02:00:00:00:00:fe", "02:00:00:00:00:01"


def _bytes(*protocols: Any) -> bytes:
    made = packet.Packet()
    for protocol in protocols:
        made.add_protocol(protocol)
    made.serialize()
    return bytes(made.data)


def of_igmp(message: Any, group: str, source: str = HOST) -> bytes:
    """An IGMP message to this group."""
    low = bytes(int(part) for part in group.split("."))
    mac = bytes([1, 0, 0x5E, low[1] & 0x7F, low[2], low[3]]).hex(":")
    return _bytes(
        ethernet.ethernet(dst=mac, src=source, ethertype=ether_types.ETH_TYPE_IP),
        ipv4.ipv4(
            dst=group, src="10.1.1.254", proto=IGMP, ttl=1, option=bytes.fromhex("94040000"), header_length=6
        ),
        message,
    )


def of_mld(kind: int, data: Any, source: str = HOST) -> bytes:
    """An MLD message. os-ken's checksum is wrong behind an extension header: the router alert comes later."""
    frame = _bytes(
        ethernet.ethernet(dst="33:33:00:00:00:01", src=source, ethertype=ether_types.ETH_TYPE_IPV6),
        ipv6.ipv6(src="fe80::1", dst="ff02::1", nxt=ICMPV6, hop_limit=1),
        icmpv6.icmpv6(type_=kind, data=data),
    )
    alert = bytes([ICMPV6, 0, 5, 2, 0, 0, 1, 0])
    length = int.from_bytes(frame[18:20], "big") + len(alert)
    return frame[:18] + length.to_bytes(2, "big") + b"\0" + frame[21:54] + alert + frame[54:]


def query(seconds: float = 10, group: str = "0.0.0.0", *, interval: int | None = None) -> bytes:
    """IGMPv2's query, or version 3's if it says how often it asks."""
    to = "224.0.0.1" if group == "0.0.0.0" else group
    if interval is None:
        return of_igmp(igmp.igmp(igmp.IGMP_TYPE_QUERY, int(seconds * 10), 0, group), to, ROUTER)
    asked = igmp.igmpv3_query(maxresp=int(seconds * 10), address=group, s_flg=0, qrv=3, qqic=interval)
    return of_igmp(asked, to, ROUTER)


def report(*joined: str, left: tuple[str, ...] = ()) -> bytes:
    """IGMPv3's report."""
    records = [igmp.igmpv3_report_group(type_=4, address=group) for group in joined]
    records += [igmp.igmpv3_report_group(type_=3, address=group) for group in left]
    return of_igmp(igmp.igmpv3_report(records=records), "224.0.0.22")
