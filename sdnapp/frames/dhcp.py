"""DHCP messages (RFC 2131, options of RFC 2132 and RFC 3397): questions and leases read, answers written."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from ipaddress import IPv4Address
from struct import Struct

from sdnapp.frames.packet import octets

SERVER_PORT, CLIENT_PORT = 67, 68
NOWHERE = IPv4Address(0)

_FIXED = Struct("!BBBBIHH4s4s4s4s16s64s128s4s")
_COOKIE = bytes((99, 130, 83, 99))
_ETHERNET = (1, 6)
_BROADCAST = 0x8000
_LONGEST = 255
"""Bytes of an option. One in pieces (RFC 3396) may have more, but no identifier of a client has."""
_SMALLEST = 300
"""Bytes of a BOOTP message (RFC 951 §3); some clients drop shorter ones."""


class Kind(IntEnum):
    """What a message is (RFC 2132 §9.6)."""

    DISCOVER = 1
    OFFER = 2
    REQUEST = 3
    DECLINE = 4
    ACK = 5
    NAK = 6
    RELEASE = 7
    INFORM = 8


class Option(IntEnum):
    """The options that we read or write, by their numbers."""

    PAD = 0
    MASK = 1
    ROUTER = 3
    DNS = 6
    HOSTNAME = 12
    DOMAIN = 15
    MTU = 26
    BROADCAST = 28
    REQUESTED = 50
    LEASE = 51
    KIND = 53
    SERVER = 54
    RENEWAL = 58
    REBINDING = 59
    CLIENT = 61
    END = 255


@dataclass(frozen=True, slots=True)
class Question:
    """What a client sends. ``address``: the one that it has (ciaddr); ``requested``: that it would have.

    ``server``: the one that it has chosen. ``broadcast``: it cannot receive anything else yet.
    """

    kind: Kind
    transaction: int
    mac: str
    address: IPv4Address
    requested: IPv4Address | None
    server: IPv4Address | None
    client: bytes | None
    broadcast: bool
    relay: IPv4Address


@dataclass(frozen=True, slots=True)
class Lease:
    """A server gave ``address`` to this MAC for so many seconds."""

    address: IPv4Address
    mac: str
    seconds: int


def read(data: bytes) -> Question | None:
    """The question in a UDP payload; None where it is none, or broken."""
    return _message(data, 1)[0]


def read_lease(data: bytes) -> Lease | None:
    """The lease in a UDP payload: an acknowledgement that gives an address, and says for how long."""
    question, yours, options = _message(data, 2)
    seconds = options.get(Option.LEASE, b"")
    if question is None or question.kind is not Kind.ACK or yours == NOWHERE or len(seconds) != 4:
        return None
    return Lease(yours, question.mac, int.from_bytes(seconds, "big"))


def _message(data: bytes, wanted: int) -> tuple[Question | None, IPv4Address, Mapping[int, bytes]]:
    """What a message with this op has in common with a question, its yiaddr, and its options."""
    if len(data) < _FIXED.size:
        return None, NOWHERE, {}
    op, hardware, length, _, transaction, _, flags, address, yours, _, relay, mac, _, _, cookie = (
        _FIXED.unpack_from(data)
    )
    options = _options(data[_FIXED.size :])
    if op != wanted or (hardware, length) != _ETHERNET or cookie != _COOKIE or options is None:
        return None, NOWHERE, {}
    kind = options.get(Option.KIND, b"")
    client = options.get(Option.CLIENT)
    if len(kind) != 1 or kind[0] not in set(Kind) or len(client or b"") > _LONGEST:
        return None, NOWHERE, {}
    question = Question(
        kind=Kind(kind[0]),
        transaction=transaction,
        mac=mac[:6].hex(":"),
        address=IPv4Address(address),
        requested=_address(options.get(Option.REQUESTED)),
        server=_address(options.get(Option.SERVER)),
        client=client,
        broadcast=bool(flags & _BROADCAST),
        relay=IPv4Address(relay),
    )
    return question, IPv4Address(yours), options


def _options(data: bytes) -> Mapping[int, bytes] | None:
    """By number, those that come in pieces put together (RFC 3396); None where one is cut off."""
    found: dict[int, bytes] = {}
    at = 0
    while at < len(data) and data[at] != Option.END:
        if data[at] == Option.PAD:
            at += 1
            continue
        if at + 1 >= len(data) or at + 2 + data[at + 1] > len(data):
            return None
        end = at + 2 + data[at + 1]
        found[data[at]] = found.get(data[at], b"") + data[at + 2 : end]
        at = end
    return found


def _address(data: bytes | None) -> IPv4Address | None:
    return IPv4Address(data) if data is not None and len(data) == 4 else None


def answer(question: Question, kind: Kind, yours: IPv4Address, options: Iterable[tuple[int, bytes]]) -> bytes:
    """The UDP payload that answers; ``yours`` is the address that the client gets."""
    kept = NOWHERE if kind is Kind.NAK else question.address
    flags = _BROADCAST if question.broadcast or kind is Kind.NAK else 0
    head = (2, *_ETHERNET, 0, question.transaction, 0, flags, kept.packed, yours.packed)
    fixed = _FIXED.pack(*head, bytes(4), question.relay.packed, octets(question.mac), b"", b"", _COOKIE)
    echoed = [] if question.client is None else [(Option.CLIENT, question.client)]  # RFC 6842
    said = [(Option.KIND, bytes([kind])), *options, *echoed]
    body = fixed + b"".join(bytes([number, len(value)]) + value for number, value in said)
    return (body + bytes([Option.END])).ljust(_SMALLEST, b"\0")
