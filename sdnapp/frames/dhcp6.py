"""DHCPv6 messages (RFC 8415, DNS options of RFC 3646): questions read, answers written."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum
from ipaddress import IPv6Address
from struct import Struct

SERVER_PORT, CLIENT_PORT = 547, 546

_OPTION = Struct("!HH")
_IA_NA = Struct("!III")
_ADDRESS = Struct("!16sII")
_HEAD = 4


class Kind(IntEnum):
    """What a message is (§7.3)."""

    SOLICIT = 1
    ADVERTISE = 2
    REQUEST = 3
    CONFIRM = 4
    RENEW = 5
    REBIND = 6
    REPLY = 7
    RELEASE = 8
    DECLINE = 9
    INFORMATION = 11


class Option(IntEnum):
    """The options that we read or write, by their numbers (§21)."""

    CLIENT = 1
    SERVER = 2
    IA_NA = 3
    ADDRESS = 5
    PREFERENCE = 7
    STATUS = 13
    RAPID_COMMIT = 14
    DNS = 23
    DOMAINS = 24


class Status(IntEnum):
    """How a question fared (§21.13)."""

    SUCCESS = 0
    NO_ADDRESS = 2
    NOT_ON_LINK = 4


@dataclass(frozen=True, slots=True)
class Association:
    """What a client calls one of its interfaces, and the addresses that it has there or would have, each with
    the seconds for which it is valid.
    """

    number: int
    valid: Mapping[IPv6Address, int]

    @property
    def addresses(self) -> tuple[IPv6Address, ...]:
        """The addresses alone."""
        return tuple(self.valid)


@dataclass(frozen=True, slots=True)
class Question:
    """What a client sends, or a server in reply; ``client`` and ``server`` are their DUIDs (§11)."""

    kind: Kind
    transaction: bytes
    client: bytes | None
    server: bytes | None
    associations: tuple[Association, ...]
    rapid: bool


def read(data: bytes) -> Question | None:
    """The message in a UDP payload; None where it is none that we know, or broken."""
    options = list(_options(data[_HEAD:]))
    if len(data) < _HEAD or data[0] not in set(Kind) or None in options:
        return None
    given = [option for option in options if option is not None]
    first = dict(reversed(given))
    associations = [_association(value) for number, value in given if number == Option.IA_NA]
    if None in associations:
        return None
    return Question(
        kind=Kind(data[0]),
        transaction=data[1:_HEAD],
        client=first.get(Option.CLIENT),
        server=first.get(Option.SERVER),
        associations=tuple(each for each in associations if each is not None),
        rapid=Option.RAPID_COMMIT in first,
    )


def _options(data: bytes) -> Iterator[tuple[int, bytes] | None]:
    """Number and value of each; a last None where one is cut off."""
    at = 0
    while at < len(data):
        if at + _OPTION.size > len(data):
            yield None
            return
        number, length = _OPTION.unpack_from(data, at)
        end = at + _OPTION.size + length
        yield (number, data[at + _OPTION.size : end]) if end <= len(data) else None
        at = end


def _association(data: bytes) -> Association | None:
    if len(data) < _IA_NA.size:
        return None
    number, _, _ = _IA_NA.unpack_from(data)
    valid = {}
    for option in _options(data[_IA_NA.size :]):
        if option is None:
            return None
        kind, value = option
        if kind == Option.ADDRESS:
            if len(value) < _ADDRESS.size:
                return None
            address, _, seconds = _ADDRESS.unpack_from(value)
            valid[IPv6Address(address)] = seconds
    return Association(number, valid)


def answer(question: Question, kind: Kind, server: bytes, options: Iterable[tuple[int, bytes]]) -> bytes:
    """The UDP payload that answers."""
    known = [] if question.client is None else [(Option.CLIENT, question.client)]
    said = [*known, (Option.SERVER, server), *options]
    return bytes([kind]) + question.transaction + b"".join(_written(*option) for option in said)


def association(number: int, lease: int, addresses: Iterable[tuple[IPv6Address, int]]) -> bytes:
    """The value of an IA_NA option: each address with the seconds for which it is valid."""
    inner = (_written(Option.ADDRESS, _ADDRESS.pack(a.packed, valid, valid)) for a, valid in addresses)
    return _IA_NA.pack(number, lease // 2, lease * 4 // 5) + b"".join(inner)


def refused(number: int, status: Status) -> bytes:
    """The value of an IA_NA option that gives no address, and why."""
    return _IA_NA.pack(number, 0, 0) + _written(Option.STATUS, stated(status))


def stated(status: Status) -> bytes:
    """The value of a status option."""
    return status.to_bytes(2, "big")


def name(domain: str) -> bytes:
    """A domain name as DNS writes it (RFC 1035 §3.1)."""
    return b"".join(bytes([len(label)]) + label.encode() for label in domain.split(".")) + b"\0"


def _written(number: int, value: bytes) -> bytes:
    return _OPTION.pack(number, len(value)) + value
