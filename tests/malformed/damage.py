"""What is done to a message that was good."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from struct import pack_into, unpack_from

from tests.malformed.built import Built

Damage = Callable[[Random, bytearray, Built], None]


def _length(random: Random, raw: bytearray, good: Built) -> None:
    """One of the lengths is 0, small, near the right one, or large."""
    at = random.choice(good.lengths)
    if at + 2 <= len(raw):
        (right,) = unpack_from("!H", raw, at)
        near = [right + by for by in (-16, -8, -4, -1, 1, 4, 8, 16)]
        wrong = random.choice([0, 1, 2, 3, 4, 7, 8, 12, 16, 0x7FFF, 0xFFF8, 0xFFFF, len(raw) - at, *near])
        pack_into("!H", raw, at, wrong & 0xFFFF)


def _kind(random: Random, raw: bytearray, good: Built) -> None:
    if good.kinds and (at := random.choice(good.kinds)) + 2 <= len(raw):
        pack_into(
            "!H", raw, at, random.choice((0, 1, 2, 4, 8, 25, 0xFFFF, 0xFFFE, random.randrange(0x10000)))
        )


def _flip(random: Random, raw: bytearray, _: Built) -> None:
    for _flipped in range(random.choice((1, 2, 8))):
        raw[random.randrange(len(raw))] = random.choice((0, 1, 8, 0xFF, random.randrange(256)))


def _cut(random: Random, raw: bytearray, _: Built) -> None:
    del raw[max(8, random.randrange(len(raw) + 1)) :]


def _drop(random: Random, raw: bytearray, _: Built) -> None:
    at = random.randrange(8, len(raw) + 1)
    del raw[at : at + random.choice((1, 4, 8, 64))]


def _grow(random: Random, raw: bytearray, _: Built) -> None:
    at = random.randrange(8, len(raw) + 1)
    raw[at:at] = random.choice((random.randbytes(random.choice((1, 4, 8, 64))), bytes(8), bytes(24)))


def _repeat(random: Random, raw: bytearray, _: Built) -> None:
    """A piece comes again, once or until the message is full."""
    at = random.randrange(8, len(raw) + 1)
    piece = bytes(raw[at : at + random.choice((1, 2, 4, 8, 12, 16, 64))])
    if piece:
        raw[at:at] = piece * random.choice((1, 1, 1, 3, (0xFFF0 - len(raw)) // len(piece)))


_DAMAGES: tuple[Damage, ...] = (_length, _length, _length, _kind, _flip, _cut, _drop, _grow, _repeat)


def damaged(random: Random, good: Built) -> bytes:
    """The message, broken in some ways or in none; mostly with a length in its header that is right."""
    raw = bytearray(good.data)
    for _ in range(random.choice((0, 1, 1, 1, 2, 4))):
        random.choice(_DAMAGES)(random, raw, good)
    del raw[0xFFFF:]
    if random.random() < 0.9:
        pack_into("!H", raw, 2, len(raw))
    return bytes(raw)
