"""What is asked and changed for every workload, in as few bytes of rtnetlink(7) as do it.

A pass reads every namespace, and makes some. pyroute2, which does all else, takes ten times as long for it,
as it runs an event loop for each message and decodes attributes that are not used.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
import sys
from collections.abc import Iterator
from typing import NamedTuple

_HEADER = struct.Struct("=IHHII")  # struct nlmsghdr
_ATTRIBUTE = struct.Struct("=HH")  # struct rtattr
_TYPE_MASK = 0x3FFF  # without NLA_F_NESTED and NLA_F_NET_BYTEORDER

_REQUEST, _ACKNOWLEDGE, _DUMP = 0x1, 0x4, 0x300
CREATE = 0x400 | 0x200
"""Flags of a change that is to make something new: NLM_F_CREATE, NLM_F_EXCL."""
_INTERRUPTED = 0x10
_ERROR, _DONE = 2, 3

LINK, ADDRESS, ROUTE, QDISC, FILTER = 18, 22, 26, 38, 46
"""What to ask for: RTM_GETLINK, RTM_GETADDR, RTM_GETROUTE, RTM_GETQDISC, RTM_GETTFILTER."""

NEW, DELETE = -2, -1
"""Added to one of these, what to change: RTM_NEWLINK, RTM_DELLINK and so on."""

_ATTEMPTS = 10
_RECEIVE = 1 << 18
"""Bytes; the kernel fills at most 32 KiB in one go."""

_WITHOUT_STATISTICS = struct.pack("=HHI", 8, 29, 1 << 3)  # IFLA_EXT_MASK: RTEXT_FILTER_SKIP_STATS


# What messages begin with: struct ifinfomsg, ifaddrmsg, rtmsg and tcmsg.
IFINFOMSG = struct.Struct("=BxHiII")
IFADDRMSG = struct.Struct("=BBBBI")
RTMSG = struct.Struct("=BBBBBBBBI")
TCMSG = struct.Struct("=B3xiIII")

IFF_UP, IFF_PROMISC = 0x1, 0x100


class Answer(NamedTuple):
    """One message: what comes before the attributes, and these by number; nested ones are bytes still."""

    fixed: bytes
    attributes: dict[int, bytes]


def dump(rtnetlink: socket.socket, kind: int, fixed: bytes) -> list[Answer]:
    """Ask for all there is of a kind, anew if that changes meanwhile. Raises OSError."""
    message = fixed + (_WITHOUT_STATISTICS if kind == LINK else b"")
    for number in range(1, _ATTEMPTS + 1):
        header = _HEADER.pack(_HEADER.size + len(message), kind, _REQUEST | _DUMP, number, 0)
        rtnetlink.send(header + message)
        answers = list(_answers(rtnetlink, number, len(fixed)))
        if None not in answers:
            return [answer for answer in answers if answer]
    raise InterruptedError(errno.EINTR, "the devices of this host do not stop to change")


def _answers(rtnetlink: socket.socket, number: int, fixed: int) -> Iterator[Answer | None]:
    """Read the messages of one dump; None where the kernel says that it was interrupted."""
    while True:
        data = rtnetlink.recv(_RECEIVE)
        position = 0
        while position < len(data):
            length, kind, flags, to, _ = _HEADER.unpack_from(data, position)
            start, end = position + _HEADER.size, position + length
            position += _aligned(length)
            if flags & _INTERRUPTED:
                yield None
            if to != number:
                continue
            if kind == _DONE:
                return
            if kind == _ERROR:
                code = -struct.unpack_from("=i", data, start)[0]
                raise OSError(code, os.strerror(code))
            yield Answer(data[start : start + fixed], attributes(data, start + fixed, end))


def change(rtnetlink: socket.socket, kind: int, fixed: bytes, *of: bytes, flags: int = 0) -> None:
    """Make one change, with these attributes, and wait for the kernel's word. Raises OSError."""
    message = fixed + b"".join(of)
    flags |= _REQUEST | _ACKNOWLEDGE
    rtnetlink.send(_HEADER.pack(_HEADER.size + len(message), kind, flags, 0, 0) + message)
    if code := -struct.unpack_from("=i", rtnetlink.recv(_RECEIVE), _HEADER.size)[0]:
        raise OSError(code, os.strerror(code))


def attribute(kind: int, value: bytes | int | str, *more: bytes) -> bytes:
    """Write one attribute: a number of 32 bits, a string, bytes, or bytes with attributes behind them."""
    if isinstance(value, int):
        value = value.to_bytes(4, sys.byteorder)
    elif isinstance(value, str):
        value = value.encode() + b"\0"
    value += b"".join(more)
    length = _ATTRIBUTE.size + len(value)
    return _ATTRIBUTE.pack(length, kind) + value + bytes(_aligned(length) - length)


def set_link(rtnetlink: socket.socket, index: int, *of: bytes, up: bool = True, flags: int = 0) -> None:
    """Give a device these attributes and flags, and take it up, or down. Raises OSError."""
    change(rtnetlink, LINK + NEW, IFINFOMSG.pack(0, 0, index, up * IFF_UP | flags, IFF_UP | flags), *of)


def attributes(data: bytes, start: int = 0, end: int | None = None) -> dict[int, bytes]:
    """Read the attributes that lie between two positions."""
    end = len(data) if end is None else end
    found = {}
    while start + _ATTRIBUTE.size <= end:
        length, kind = _ATTRIBUTE.unpack_from(data, start)
        found[kind & _TYPE_MASK] = data[start + _ATTRIBUTE.size : start + length]
        start += max(_aligned(length), _ATTRIBUTE.size)
    return found


def number(value: bytes | None) -> int | None:
    """Read an attribute that is a number of this machine's byte order."""
    return None if value is None else int.from_bytes(value, sys.byteorder)


def text(value: bytes) -> str:
    """Read an attribute that is a string."""
    return value.rstrip(b"\0").decode(errors="replace")


def rtnetlink() -> socket.socket:
    """Open a socket that asks this namespace, wherever its thread goes later."""
    opened = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE)
    opened.bind((0, 0))
    return opened


def _aligned(length: int) -> int:
    return length + 3 & ~3
