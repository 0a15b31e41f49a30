"""Bytes that know where in them lengths are, so that those can be made wrong."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from struct import pack


@dataclass(frozen=True, slots=True)
class Built:
    """Bytes; ``lengths``: where 16-bit lengths lie in them; ``kinds``: where 16-bit types do."""

    data: bytes = b""
    lengths: tuple[int, ...] = ()
    kinds: tuple[int, ...] = ()

    def __add__(self, other: Built | bytes) -> Built:
        if isinstance(other, bytes):
            return Built(self.data + other, self.lengths, self.kinds)
        shift = len(self.data)
        lengths = (*self.lengths, *(at + shift for at in other.lengths))
        return Built(self.data + other.data, lengths, (*self.kinds, *(at + shift for at in other.kinds)))

    def padded(self, to: int = 8) -> Built:
        return self + bytes(-len(self.data) % to)


def joined(pieces: Iterable[Built]) -> Built:
    whole = Built()
    for piece in pieces:
        whole += piece
    return whole


def tlv(
    kind: int, body: Built | bytes, *, head: bytes = b"", pad: bool = False, counted: bool = True
) -> Built:
    """Type, length, ``head`` and body; padded to 8 bytes, which count or not."""
    behind = Built(head) + body
    size = 4 + len(behind.data)
    after = -size % 8 if pad else 0
    start = Built(pack("!HH", kind, min(size + after * counted, 0xFFFF)), (2,), (0,))
    return start + behind + bytes(after)


def sized(form: str, *values: int, body: Built | bytes = b"", at: int = 0) -> Built:
    """A structure with its own length at ``at``, whose fixed part is packed from ``values`` with 0 for it."""
    fixed = bytearray(pack(form, *values))
    behind = Built() + body if isinstance(body, bytes) else body
    fixed[at : at + 2] = pack("!H", min(len(fixed) + len(behind.data), 0xFFFF))
    return Built(bytes(fixed), (at,)) + behind


def message(kind: int, body: Built | bytes, *, version: int = 4, xid: int = 1) -> Built:
    """An OpenFlow message; one that would be too long is cut."""
    behind = Built() + body if isinstance(body, bytes) else body
    size = min(8 + len(behind.data), 0xFFFF)
    whole = Built(pack("!BBHI", version, kind, size, xid), (2,)) + behind
    return Built(whole.data[:size], whole.lengths, whole.kinds)
