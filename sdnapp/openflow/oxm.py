"""Match fields as bytes: OXM, OpenFlow 1.3.5 §7.2.3. Names are those of ``flows.match``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from struct import Struct
from typing import Any

from flows.match import packed

_FIELDS: Mapping[str, tuple[int, int]] = {
    "in_port": (0, 4),
    "metadata": (2, 8),
    "eth_dst": (3, 6),
    "eth_src": (4, 6),
    "eth_type": (5, 2),
    "vlan_vid": (6, 2),
    "ip_proto": (10, 1),
    "ipv4_src": (11, 4),
    "ipv4_dst": (12, 4),
    "udp_src": (15, 2),
    "udp_dst": (16, 2),
    "arp_op": (21, 2),
    "arp_spa": (22, 4),
    "arp_tpa": (23, 4),
    "arp_sha": (24, 6),
    "arp_tha": (25, 6),
    "ipv6_src": (26, 16),
    "ipv6_dst": (27, 16),
    "icmpv6_type": (29, 1),
    "icmpv6_code": (30, 1),
    "nd_target": (31, 16),
    "nd_sll": (32, 6),
    "nd_tll": (33, 6),
    "tunnel_id": (38, 8),
}
"""Number and length in bytes of each field (§7.2.3.7, table 12)."""
_FIELDS_OF_OVS: Mapping[str, tuple[int, int, int]] = {
    "reg0": (0x0001, 0, 4),
    "foreign_ip": (0x0001, 1, 4),
    "false_mac": (0x0001, 4, 4),
    "false_arp": (0x0001, 5, 4),
    "false_ip6": (0x0001, 6, 4),
    "false_target": (0x0001, 7, 4),
    "nested": (0x0001, 12, 4),
    "foreign_ip6": (0x0001, 113, 16),
    "ip_frag": (0x0001, 26, 1),
    "foreign_mac": (0x8001, 1, 8),
    "nd_reserved": (0x1000, 1, 4),
    "nd_options_type": (0x1000, 2, 1),
}
"""Class, number and length of fields beyond OpenFlow (ovs-fields(7)): registers, of which ``foreign_mac`` is
``xreg1`` (``reg2``, ``reg3``) and ``foreign_ip6`` is ``xxreg2`` (``reg8`` to ``reg11``); others it lacks.
"""


_header = Struct("!I").unpack_from
_NXM_1 = (0x0001).to_bytes(2, "big")
_FIRST, _LATER = 1, 2
_FRAGMENTS: Mapping[str, tuple[int, int | None]] = {
    "no": (0, None),
    "yes": (_FIRST, _FIRST),
    "first": (_FIRST, None),
    "later": (_FIRST | _LATER, None),
    "not_later": (0, _LATER),
}
"""Bits of ``ip_frag`` and their mask, by the words of ``flows.match.FRAGMENTS`` (ovs-fields(7))."""
_BEHIND_OTHERS = ("ip_frag",)
"""Fields of class 0x0001 that presuppose others; the rest of it are registers, which presuppose none."""


def header(name: str, *, masked: bool = False) -> int:
    """The 32-bit header of a field."""
    kind, number, length = _place(name)
    return kind << 16 | number << 9 | masked << 8 | length * (2 if masked else 1)


def bits(name: str) -> int:
    """The width of a field."""
    return _place(name)[2] * 8


def _place(name: str) -> tuple[int, int, int]:
    return _FIELDS_OF_OVS[name] if name in _FIELDS_OF_OVS else (0x8000, *_FIELDS[name])


@lru_cache(maxsize=65536)
def field(name: str, value: int | str) -> bytes:
    """Header, value and mask, if it has one, of a field that is neither a port nor a tag."""
    if name == "ip_frag":
        return _fragment(*_FRAGMENTS[str(value)])
    if isinstance(value, int):
        return header(name).to_bytes(4, "big") + value.to_bytes(_place(name)[2], "big")
    exact, _, mask = value.partition("/")
    start = header(name, masked=bool(mask)).to_bytes(4, "big") + _filled(name, exact)
    return start + _filled(name, mask) if mask else start


def exact(match: Any, name: str) -> Any:
    """The value of a field in os-ken's match; None if it is not there or has a mask."""
    value = match.get(name)
    return None if isinstance(value, tuple) else value


def value(fields: bytes | bytearray, name: str) -> bytes | None:
    """The value of a field, as bytes, among OXM fields with lengths that were checked; None where it is not
    there or has a mask.
    """
    wanted, at = _unmasked(name), 0
    while at < len(fields):
        (head,) = _header(fields, at)
        after: int = at + 4 + (head & 0xFF)
        if head == wanted:
            return bytes(fields[at + 4 : after])
        at = after
    return None


@lru_cache
def _unmasked(name: str) -> int:
    return header(name)


def _fragment(flags: int, among: int | None) -> bytes:
    """``ip_frag`` with these flags, of all or among some."""
    start = header("ip_frag", masked=among is not None).to_bytes(4, "big")
    return start + bytes([flags] if among is None else [flags, among])


def _filled(name: str, address: str) -> bytes:
    """An address in a field that may be wider."""
    return packed(address).rjust(_place(name)[2], b"\0")


def apart(fields: Iterable[tuple[str, int | str]]) -> tuple[list[bytes], list[bytes]]:
    """Bytes of the fields with these names and values: of registers, and of the others."""
    registers: list[bytes] = []
    others: list[bytes] = []
    for name, value in fields:
        (registers if _is_register(name) else others).append(field(name, value))
    return registers, others


def _is_register(name: str) -> bool:
    return _place(name)[0] == int.from_bytes(_NXM_1, "big") and name not in _BEHIND_OTHERS


def in_order(fields: Iterable[bytes]) -> bytes:
    """Registers alone, or fields without them, each behind those that it presupposes.

    Fields of OpenFlow stand in the order of their headers. Those that only Open vSwitch has come last: a
    switch refuses a field whose prerequisites come later (OpenFlow 1.3.5 section 7.2.3.6).
    """
    of_openflow: list[bytes] = []
    of_ovs: list[bytes] = []
    for each in fields:
        (of_ovs if each.startswith(_NXM_1) else of_openflow).append(each)
    return b"".join([*sorted(of_openflow), *sorted(of_ovs)])
