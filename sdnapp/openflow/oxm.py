"""Match fields as bytes: OXM, OpenFlow 1.3.5 §7.2.3. Names are those of ``flows.match``."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from struct import Struct
from typing import Any

from flows.fields import FIELDS, FRAGMENT_BITS, NXM_1, Field
from flows.match import to_wire

_header = Struct("!I").unpack_from
_NXM_1 = NXM_1.to_bytes(2, "big")
_BEHIND_OTHERS = ("ip_frag",)
"""Fields of class 0x0001 that presuppose others; the rest of it are registers, which presuppose none."""


def header(name: str, *, masked: bool = False) -> int:
    """The 32-bit header of a field."""
    kind, number, length = _place(name)
    return kind << 16 | number << 9 | masked << 8 | length * (2 if masked else 1)


def bits(name: str) -> int:
    """The width of a field."""
    return _place(name).length * 8


def _place(name: str) -> Field:
    return FIELDS[name]


@lru_cache(maxsize=65536)
def field(name: str, value: int | str) -> bytes:
    """Header, value and mask, if it has one, of a field that is neither a port nor a tag."""
    if name == "ip_frag":
        return _fragment(*FRAGMENT_BITS[str(value)])
    if isinstance(value, int):
        return header(name).to_bytes(4, "big") + value.to_bytes(_place(name).length, "big")
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
    return to_wire(address).rjust(_place(name).length, b"\0")


def apart(fields: Iterable[tuple[str, int | str]]) -> tuple[list[bytes], list[bytes]]:
    """Bytes of the fields with these names and values: of registers, and of the others."""
    registers: list[bytes] = []
    others: list[bytes] = []
    for name, value in fields:
        (registers if _is_register(name) else others).append(field(name, value))
    return registers, others


def _is_register(name: str) -> bool:
    return _place(name).oxm_class == NXM_1 and name not in _BEHIND_OTHERS


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
