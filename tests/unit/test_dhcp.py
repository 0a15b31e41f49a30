"""DHCP, DHCPv6 and router advertisements, as clients see them. os-ken builds and reads the other end."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_interface
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from os_ken.lib import addrconv
from os_ken.lib.packet import dhcp as os_ken_dhcp
from os_ken.lib.packet import dhcp6 as os_ken_dhcp6
from os_ken.lib.packet import ethernet, icmpv6, ipv4, ipv6, packet, udp, vlan

from sdnapp.config import parse
from sdnapp.frames import dhcp, dhcp6
from sdnapp.frames.packet import Ends, link_local, read, with_udp
from sdnapp.net.build import build
from sdnapp.net.dhcp import DUID, SERVER, SERVER6, DhcpClient, DhcpReply, dhcp_reply
from sdnapp.net.events import BridgeFound
from sdnapp.net.model import Dhcp
from sdnapp.net.responder import Reply, respond
from sdnapp.net.state import State
from sdnapp.net.step import step
from tests.overlays import numbers

MAC, OTHER = "02:00:00:00:00:01", "02:00:00:00:00:02"
TOLD = Dhcp(
    IPv4Address("10.1.1.254"), (ip_address("10.1.1.53"), ip_address("fd00:1::53")), "web.example", 600
)
CLIENT = DhcpClient("red1", MAC, (ip_interface("10.1.1.1/24"), ip_interface("fd00:1::1/64")), 1450, TOLD)
HERE = IPv4Address("10.1.1.1")
KIND = dhcp.Kind


def asked4(kind: int, src: str = "0.0.0.0", mac: str = MAC, **options: bytes) -> bytes:
    """A question as os-ken writes it; ``ciaddr`` is the source."""
    numbered = {"requested": 50, "server": 54, "client": 61}
    listed = [os_ken_dhcp.option(53, bytes([kind]))]
    listed += [os_ken_dhcp.option(numbered[name], value) for name, value in options.items()]
    message = os_ken_dhcp.dhcp(
        op=1, chaddr=mac, xid=7, ciaddr=src, options=os_ken_dhcp.options(option_list=listed)
    )
    return built(
        ethernet.ethernet("ff:ff:ff:ff:ff:ff", mac, 0x0800),
        ipv4.ipv4(src=src, dst="255.255.255.255", proto=17),
        udp.udp(68, 67),
        message,
    )


def built(*layers: object) -> bytes:
    whole = packet.Packet()
    for layer in layers:
        whole.add_protocol(layer)
    whole.serialize()
    return bytes(whole.data)


def said(frame: bytes, client: DhcpClient = CLIENT) -> DhcpReply:
    asked = read(frame)
    assert asked is not None
    served = dhcp_reply(client, asked)
    assert served is not None
    return served


def told4(served: DhcpReply) -> tuple[Any, dict[int, bytes]]:
    """The message and its options, as os-ken reads them."""
    assert served.frame is not None
    layers = packet.Packet(served.frame)
    ports = layers.get_protocol(udp.udp)
    assert (ports.src_port, ports.dst_port) == (67, 68)
    message, _, _ = (
        os_ken_dhcp.dhcp.parser(layers.protocols[-1])
        if isinstance(layers.protocols[-1], bytes)
        else (layers.get_protocol(os_ken_dhcp.dhcp), None, None)
    )
    return message, {option.tag: option.value for option in message.options.option_list}


def test_a_client_gets_the_address_of_its_port_and_what_the_file_tells() -> None:
    offer, options = told4(said(asked4(KIND.DISCOVER, client=b"\x01abcdef")))

    assert (offer.op, offer.yiaddr, offer.xid, offer.chaddr) == (2, "10.1.1.1", 7, MAC)
    assert options[53] == bytes([KIND.OFFER])
    assert options[54] == SERVER.packed
    assert options[1] == addrconv.ipv4.text_to_bin("255.255.255.0")
    assert options[3] == addrconv.ipv4.text_to_bin("10.1.1.254")
    assert options[6] == addrconv.ipv4.text_to_bin("10.1.1.53")
    assert options[26] == (1450).to_bytes(2, "big")
    assert (options[12], options[15]) == (b"red1", b"web.example")
    assert int.from_bytes(options[51], "big") == 600
    assert options[61] == b"\x01abcdef"


@pytest.mark.parametrize(
    ("frame", "what"),
    [
        (asked4(KIND.REQUEST, requested=HERE.packed, server=SERVER.packed), "dhcp ack"),
        (asked4(KIND.REQUEST, requested=HERE.packed), "dhcp ack"),
        (asked4(KIND.REQUEST, src="10.1.1.1"), "dhcp ack"),
        (asked4(KIND.REQUEST, requested=bytes(4)), "dhcp nak"),
        (asked4(KIND.REQUEST, src="10.1.1.2"), "dhcp nak"),
        (asked4(KIND.REQUEST, requested=HERE.packed, server=bytes((10, 1, 1, 9))), "dhcp ignored"),
        (asked4(KIND.INFORM, src="10.1.1.1"), "dhcp ack"),
        (asked4(KIND.RELEASE, src="10.1.1.1"), "dhcp release"),
        (asked4(KIND.DECLINE, requested=HERE.packed), "dhcp decline"),
        (asked4(KIND.OFFER), "dhcp ignored"),
        (asked4(KIND.DISCOVER, mac=OTHER), "source not allowed"),
    ],
)
def test_each_question_has_its_answer(frame: bytes, what: str) -> None:
    assert said(frame).what == what


def test_nobody_asks_in_the_name_of_another() -> None:
    mine = asked4(KIND.DISCOVER)
    forged = mine.replace(bytes.fromhex(MAC.replace(":", "")), bytes.fromhex(OTHER.replace(":", "")))
    inner = mine[:6] + forged[6:12] + mine[12:]

    assert said(forged).frame is None
    assert said(inner, replace(CLIENT, mac=None)).frame is None


def test_a_port_without_an_address_is_offered_none() -> None:
    assert said(asked4(KIND.DISCOVER), replace(CLIENT, addresses=())).frame is None


def test_who_has_no_address_yet_is_told_at_its_mac_and_who_has_one_there() -> None:
    first = packet.Packet(said(asked4(KIND.DISCOVER)).frame)
    later = packet.Packet(said(asked4(KIND.REQUEST, src="10.1.1.1")).frame)
    refused = packet.Packet(said(asked4(KIND.REQUEST, src="10.1.1.9")).frame)

    for whole, destination, mac in (
        (first, "10.1.1.1", MAC),
        (later, "10.1.1.1", MAC),
        (refused, "255.255.255.255", "ff:ff:ff:ff:ff:ff"),
    ):
        assert whole.get_protocol(ipv4.ipv4).dst == destination
        assert whole.get_protocol(ethernet.ethernet).dst == mac


def asked6(kind: int, *options: tuple[int, bytes], src: IPv6Address | None = None) -> bytes:
    inner = b"".join(n.to_bytes(2, "big") + len(v).to_bytes(2, "big") + v for n, v in options)
    ends = Ends(MAC, "33:33:00:01:00:02", src or link_local(MAC), IPv6Address("ff02::1:2"))
    return with_udp(ends, 546, 547, bytes([kind]) + b"xid" + inner)


WHO = (1, b"\0\x03\0\x01client")
CHOSEN = (2, DUID)
EMPTY = (3, (42).to_bytes(4, "big") + bytes(8))


def having(*addresses: str) -> tuple[int, bytes]:
    inner = b"".join(b"\0\x05\0\x18" + IPv6Address(a).packed + bytes(8) for a in addresses)
    return 3, EMPTY[1] + inner


def told6(served: DhcpReply) -> tuple[int, dict[int, bytes]]:
    assert served.frame is not None
    whole = packet.Packet(served.frame)
    assert whole.get_protocol(ipv6.ipv6).src == str(SERVER6)
    raw = served.frame[62:]
    message, _, _ = os_ken_dhcp6.dhcp6.parser(raw)
    return message.msg_type, {option.code: option.data for option in message.options.option_list}


def test_a_client_of_dhcpv6_gets_its_address_in_two_steps_or_in_one() -> None:
    kind, offered = told6(said(asked6(1, WHO, EMPTY)))
    assert kind == dhcp6.Kind.ADVERTISE
    assert offered[7] == b"\xff"  # so the client waits for no other (RFC 8415 section 18.2.1)
    kind, given = told6(said(asked6(3, WHO, CHOSEN, having("fd00:1::1"))))
    assert kind == dhcp6.Kind.REPLY
    kind, rapid = told6(said(asked6(1, WHO, EMPTY, (14, b""))))
    assert kind == dhcp6.Kind.REPLY
    assert 14 in rapid

    for options in (offered, given, rapid):
        assert options[1] == WHO[1]
        assert options[2] == DUID
        assert IPv6Address("fd00:1::1").packed in options[3]
        assert options[23] == IPv6Address("fd00:1::53").packed
        assert options[24] == b"\x03web\x07example\0"


@pytest.mark.parametrize(
    ("frame", "what"),
    [
        (asked6(5, WHO, CHOSEN, having("fd00:1::1")), "dhcpv6 reply"),
        (asked6(6, WHO, having("fd00:1::1")), "dhcpv6 reply"),
        (asked6(4, WHO, having("fd00:1::1")), "dhcpv6 reply"),
        (asked6(11), "dhcpv6 reply"),
        (asked6(8, WHO, CHOSEN, having("fd00:1::1")), "dhcpv6 release"),
        (asked6(9, WHO, CHOSEN, having("fd00:1::1")), "dhcpv6 decline"),
        (asked6(1, EMPTY), "dhcpv6 ignored"),
        (asked6(1, WHO, CHOSEN, EMPTY), "dhcpv6 ignored"),
        (asked6(3, WHO, (2, b"somebody else"), EMPTY), "dhcpv6 ignored"),
        (asked6(2, WHO), "dhcpv6 ignored"),
    ],
)
def test_each_question_of_dhcpv6_has_its_answer(frame: bytes, what: str) -> None:
    assert said(frame).what == what


def test_an_address_that_is_no_longer_right_is_over() -> None:
    _, options = told6(said(asked6(5, WHO, CHOSEN, having("fd00:1::9"))))

    assert IPv6Address("fd00:1::1").packed + (600).to_bytes(4, "big") * 2 in options[3]
    assert IPv6Address("fd00:1::9").packed + bytes(8) in options[3]


@pytest.mark.parametrize(("address", "status"), [("fd00:1::1", 0), ("fd00:1::77", 4), ("fd00:2::1", 4)])
def test_addresses_of_other_ports_and_links_are_not_confirmed(address: str, status: int) -> None:
    _, options = told6(said(asked6(4, WHO, having(address))))

    assert options[13] == status.to_bytes(2, "big")


def test_a_port_without_an_ipv6_address_hears_that_there_is_none() -> None:
    _, options = told6(said(asked6(1, WHO, EMPTY), replace(CLIENT, addresses=())))

    assert options[3].endswith(b"\0\x0d\0\x02\0\x02")


def solicitation(src: str, hops: int = 255) -> bytes:
    return built(
        ethernet.ethernet("33:33:00:00:00:02", MAC, 0x86DD),
        ipv6.ipv6(src=src, dst="ff02::2", nxt=58, hop_limit=hops),
        icmpv6.icmpv6(type_=133, data=icmpv6.nd_router_solicit()),
    )


def test_a_solicitation_is_told_what_is_on_the_link_and_where_addresses_are() -> None:
    served = said(solicitation(str(link_local(MAC))))
    assert served.frame is not None
    whole = packet.Packet(served.frame)
    told = whole.get_protocol(icmpv6.icmpv6)

    assert whole.get_protocol(ipv6.ipv6).hop_limit == 255
    assert (told.type_, told.data.res, told.data.rou_l) == (134, 3, 0)
    on_link, forever = bytes((3, 4, 64, 0x80)), b"\xff" * 8
    assert on_link + forever + bytes(4) + IPv6Address("fd00:1::").packed in served.frame
    assert b"\x05\x01\0\0" + (1450).to_bytes(4, "big") in served.frame


def test_a_solicitation_from_elsewhere_is_no_business_of_ours() -> None:
    asked = read(solicitation("fe80::1", hops=254))
    assert asked is not None

    assert dhcp_reply(CLIENT, asked) is None


FILE = """
tenants: {red: {networks: {web: {vni: 5010, vlan: 10, subnet: 10.1.1.0/24, dhcp: true}}}}
hosts: {host1: {vtep: 192.168.4.201}}
ports:
  red1:
    {host: host1, network: red/web, address: 10.1.1.1, mac: 02-00-00-00-00-01,
     attach: external, interface: vm}
  trunk: {host: host1, trunk: {red/web: 77}, address: 10.1.1.2, mac: "02:00:00:00:00:02"}
"""


def heard(port: str, frame: bytes) -> Reply | None:
    overlay = build(parse(FILE.encode(), "f"))
    host = overlay.hosts["host1"]
    state = step(State.of(overlay), BridgeFound("host1", numbers(host)))
    return respond(state, "host1", 5010, overlay.ports[port].ofport, frame)


def test_a_trunk_is_answered_with_its_tag() -> None:
    spoken = heard("trunk", asked4(KIND.DISCOVER, mac=OTHER))

    assert spoken is not None
    assert (spoken.network, spoken.port, spoken.what) == ("red/web", "trunk", "dhcp offer")
    assert packet.Packet(spoken.frame).get_protocol(vlan.vlan).vid == 77


def test_an_mtu_is_told_only_where_it_is_known() -> None:
    external, ours = heard("red1", asked4(KIND.DISCOVER)), heard("trunk", asked4(KIND.DISCOVER, mac=OTHER))
    assert external is not None
    assert ours is not None

    assert b"\x1a\x02" + (1450).to_bytes(2, "big") in (external.frame or b"")
    assert b"\x1a\x02" not in (ours.frame or b"")[250:]


WHOLE = [asked4(KIND.DISCOVER), asked6(3, WHO, CHOSEN, having("fd00:1::1")), solicitation("::")]


@given(st.sampled_from(WHOLE), st.data())
def test_no_garbage_ever_raises(frame: bytes, data: st.DataObject) -> None:
    damaged = bytearray(frame[: data.draw(st.integers(0, len(frame)))])
    for at, value in data.draw(
        st.dictionaries(st.integers(0, len(frame)), st.integers(0, 255), max_size=8)
    ).items():
        if at < len(damaged):
            damaged[at] = value
    for port in ("red1", "trunk"):
        heard(port, bytes(damaged))


@given(st.binary(max_size=400))
def test_no_payload_ever_raises(payload: bytes) -> None:
    dhcp.read(payload)
    dhcp6.read(payload)
