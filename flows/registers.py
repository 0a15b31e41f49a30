"""Registers: each bit that travels with a frame through the tables is declared here, once.

Open vSwitch has 16 of 32 bits, ``reg0`` to ``reg15``; a wider value lies in two or four of them that are
aligned, ``xreg0`` to ``xreg7`` and ``xxreg0`` to ``xxreg3``, the first holding its highest bits
(ovs-fields(7), "Register Fields"). ``reg13`` to ``reg15`` are free.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

BITS = 32
"""Of one register."""
_NUMBER = 16
_PREFIXES = {1: "reg", 2: "xreg", 4: "xxreg"}
"""Of the names under which Open vSwitch has one, two or four registers, by their number."""


@dataclass(frozen=True, slots=True)
class Register:
    """A value of ``width`` bits, at the low end of ``words`` registers, of which ``first`` is the first."""

    name: str
    first: int
    width: int
    words: int = 1

    @property
    def ovs_name(self) -> str:
        """``reg4``, ``xreg1``, ``xxreg2``."""
        return f"{_PREFIXES[self.words]}{self.first // self.words}"


def declare(registers: Iterable[Register]) -> Mapping[str, Register]:
    """Return registers by name. Raises ValueError where one does not fit, or two overlap."""
    by_name: dict[str, Register] = {}
    taken: dict[int, str] = {}
    for one in registers:
        fits = one.width <= one.words * BITS and one.first + one.words <= _NUMBER
        if one.words not in _PREFIXES or one.first % one.words or not fits:
            raise ValueError(
                f"{one.name}: {one.words} registers from reg{one.first} hold no {one.width} bits"
            )
        for number in range(one.first, one.first + one.words):
            if number in taken:
                raise ValueError(f"{one.name} and {taken[number]} overlap: both have reg{number}")
            taken[number] = one.name
        by_name[one.name] = one
    return by_name


REGISTERS = declare(
    (
        Register("ingress", 0, 2),
        Register("ip_forbidden_bits", 1, 32),
        Register("mac_forbidden_bits", 2, 48, words=2),
        Register("mac_spoofed", 4, 1),
        Register("arp_spoofed", 5, 1),
        Register("ip6_spoofed", 6, 1),
        Register("nd_target_spoofed", 7, 1),
        Register("ip6_forbidden_bits", 8, 128, words=4),
        Register("nested", 12, 1),
    )
)
"""``flows.match`` says what each means. One bit takes a register: OXM matches and sets whole ones."""
