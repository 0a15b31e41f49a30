"""What a flow matches: named fields, each absent, exact or masked.

The state that travels with a frame through the tables is named here, once: ``network`` is the OpenFlow
metadata (the VNI, 24 bits), ``ingress`` is register 0 (``Ingress``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import IntEnum
from functools import lru_cache
from ipaddress import ip_address
from typing import NamedTuple

UNTAGGED = 0
"""``Match.vlan`` of frames without an 802.1Q header."""
TAGGED = -1
"""``Match.vlan`` of frames with an 802.1Q header, whatever its tag."""


ARP, IPV4, IPV6 = 0x0806, 0x0800, 0x86DD
VLAN, SERVICE_VLAN, OLD_SERVICE_VLAN = 0x8100, 0x88A8, 0x9100
"""``Header.eth_type``; the last three are those of tags (IEEE 802.1Q §9.5, and before 802.1ad)."""
IGMP, UDP, ICMPV6 = 2, 17, 58
"""``Header.ip_proto``."""
DHCP_SERVER, DHCP_CLIENT, DHCP6_CLIENT, DHCP6_SERVER = 67, 68, 546, 547
"""UDP ports (RFC 2131 §4.1, RFC 8415 §7.2)."""
ZERO_MAC, UNSPECIFIED = "00:00:00:00:00:00", "::"
"""No MAC, as where an option of neighbour discovery is missing; no IPv6 address yet."""
FRAGMENTS: Mapping[str, frozenset[str]] = {
    "no": frozenset({"no"}),
    "yes": frozenset({"first", "later"}),
    "first": frozenset({"first"}),
    "later": frozenset({"later"}),
    "not_later": frozenset({"no", "first"}),
}
"""``Header.ip_frag``: the packets that each word matches (ovs-fields(7), ``ip_frag``). With
OFPC_FRAG_NX_MATCH, first fragments have the fields of the transport protocol, later ones have zeros there.
"""


class Ingress(IntEnum):
    """Side of the bridge that a frame came in on. Local is zero, so that tunnels alone set it.

    ``TOO_LARGE``: from a local port, and larger than its network's MTU (bit 1, set by ``CheckPacketLarger``).
    """

    LOCAL = 0
    TUNNEL = 1
    TOO_LARGE = 2


class Header(NamedTuple):
    """What lies behind the Ethernet header, by the names of OpenFlow (1.3 §A.2.3.7); None matches anything.

    And registers: on ports with port security, the bits that no MAC or address of the port has
    (``mac_forbidden_bits`` and so on), and 1 where the frame's has such a bit (``mac_spoofed`` and so on).
    ``nested`` is 1 for a frame from any port with a tag behind that of its network.

    Addresses are text, ``value`` or ``value/mask`` with the mask written as an address. A field wants those
    that say that it is there: ``arp_tpa`` an ``eth_type`` of ARP, ``ipv4_src`` one of IPv4, and so on.
    ``ip_frag`` is a word of ``FRAGMENTS``.
    """

    eth_type: int | None = None
    ip_proto: int | None = None
    ipv4_src: str | None = None
    ipv4_dst: str | None = None
    udp_src: int | None = None
    udp_dst: int | None = None
    arp_op: int | None = None
    arp_spa: str | None = None
    arp_tpa: str | None = None
    arp_sha: str | None = None
    arp_tha: str | None = None
    ipv6_src: str | None = None
    ipv6_dst: str | None = None
    icmpv6_type: int | None = None
    icmpv6_code: int | None = None
    nd_target: str | None = None
    nd_sll: str | None = None
    nd_tll: str | None = None
    ip_frag: str | None = None
    mac_forbidden_bits: str | None = None
    ip_forbidden_bits: str | None = None
    ip6_forbidden_bits: str | None = None
    mac_spoofed: int | None = None
    arp_spoofed: int | None = None
    ip6_spoofed: int | None = None
    nd_target_spoofed: int | None = None
    nested: int | None = None

    def said(self) -> Iterator[tuple[str, int | str]]:
        """The fields that are not wildcarded, with their values."""
        return ((name, value) for name, value in zip(HEADER_FIELDS, self, strict=True) if value is not None)

    def parsed(self) -> dict[str, int | str]:
        """The fields of a frame with this header as Open vSwitch extracts them (lib/flow.c).

        A field of a protocol that is there, which the frame lacks or which cannot be read, is zero.
        """
        fields = dict(self.said())
        for prerequisites, zeros in _ZEROS:
            if all(fields.get(name) in wanted for name, wanted in prerequisites.items()):
                fields = {**zeros, **fields}
        return fields


HEADER_FIELDS: tuple[str, ...] = Header._fields
REGISTER_DEFAULTS: Mapping[str, int | str] = {
    "mac_forbidden_bits": ZERO_MAC,
    "ip_forbidden_bits": "0.0.0.0",
    "ip6_forbidden_bits": UNSPECIFIED,
    **dict.fromkeys(("mac_spoofed", "arp_spoofed", "ip6_spoofed", "nd_target_spoofed", "nested"), 0),
}
"""Fields of registers, with their values in a frame that has just arrived."""
NO_HEADER = Header()
_ZEROS: tuple[tuple[Mapping[str, frozenset[int | str]], Mapping[str, int | str]], ...] = (
    (
        {"eth_type": frozenset({ARP})},
        {"arp_op": 0, "arp_spa": "0.0.0.0", "arp_tpa": "0.0.0.0", "arp_sha": ZERO_MAC, "arp_tha": ZERO_MAC},
    ),
    ({"eth_type": frozenset({IPV4})}, {"ipv4_src": "0.0.0.0", "ipv4_dst": "0.0.0.0"}),
    ({"eth_type": frozenset({IPV6})}, {"ipv6_src": UNSPECIFIED, "ipv6_dst": UNSPECIFIED}),
    ({"eth_type": frozenset({IPV4, IPV6})}, {"ip_proto": 0, "ip_frag": "no"}),
    ({"ip_proto": frozenset({UDP})}, {"udp_src": 0, "udp_dst": 0}),
    (
        {"eth_type": frozenset({IPV6}), "ip_proto": frozenset({ICMPV6})},
        {"icmpv6_type": 0, "icmpv6_code": 0},
    ),
    (
        {"icmpv6_type": frozenset({135, 136})},
        {"nd_target": UNSPECIFIED, "nd_sll": ZERO_MAC, "nd_tll": ZERO_MAC},
    ),
)
"""Fields that are zero where nothing was read, and the values of others that they presuppose."""


class Match(NamedTuple):
    """None matches anything.

    ``in_port``: OpenFlow port number. ``vlan``: tag 1..4094, ``UNTAGGED`` or ``TAGGED``. ``key``: tunnel key.
    ``network``: VNI. MAC addresses are lower-case, ``aa:bb:cc:dd:ee:ff``, or ``value/mask``.
    """

    in_port: int | None = None
    ingress: Ingress | None = None
    key: int | None = None
    network: int | None = None
    vlan: int | None = None
    eth_src: str | None = None
    eth_dst: str | None = None
    header: Header | None = None

    def said(self) -> Iterator[tuple[str, int | str]]:
        """The fields that are not wildcarded, with their values."""
        yield from ((name, value) for name, value in zip(FIELDS, self[:-1], strict=True) if value is not None)
        if self.header is not None:
            yield from self.header.said()

    def fields(self) -> frozenset[str]:
        """Names of the fields that are not wildcarded."""
        return frozenset(name for name, _ in self.said())

    def __str__(self) -> str:
        """``in_port=3 vlan=10``; ``any`` where nothing is matched."""
        return " ".join(_text(name, value) for name, value in self.said()) or "any"


FIELDS: tuple[str, ...] = Match._fields[:-1]


def _text(name: str, value: int | str) -> str:
    if isinstance(value, Ingress):
        return f"{name}={value.name.lower()}"
    if name == "vlan" and value in (UNTAGGED, TAGGED):
        return "vlan=none" if value == UNTAGGED else "vlan=any"
    if name == "eth_type":
        return f"{name}={value:#06x}"
    return f"{name}={value}"


@lru_cache(maxsize=65536)
def to_wire(address: str) -> bytes:
    """A MAC, IPv4 or IPv6 address as it stands in a frame."""
    if address.count(":") == 5 and "::" not in address:
        return bytes.fromhex(address.replace(":", ""))
    return ip_address(address).packed


def field_matches(wanted: int | str, value: int | str | None) -> bool:
    """Whether a field with this value matches what is wanted of it."""
    if wanted in FRAGMENTS:
        return value in FRAGMENTS[str(wanted)]
    if wanted == value or value is None:
        return wanted == value
    exact, _, mask = str(wanted).partition("/")
    if not mask:
        return False
    bits = int.from_bytes(to_wire(mask), "big")
    return int.from_bytes(to_wire(str(value)), "big") & bits == int.from_bytes(to_wire(exact), "big") & bits
