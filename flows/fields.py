"""Fields that flows match and set, by number: OXM, OpenFlow 1.3.5 section 7.2.3, and ovs-fields(7).

Their names are those of ``flows.match``. The numbers are a field's identity, whatever it is called.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from flows.registers import REGISTERS

OPENFLOW, NXM_0, NXM_1, PACKET_REGISTERS, NSH_AND_OVS = 0x8000, 0x0000, 0x0001, 0x8001, 0x1000
"""OXM classes."""
_CLASS_AND_LENGTH = {1: (NXM_1, 4), 2: (PACKET_REGISTERS, 8), 4: (NXM_1, 16)}
_FIRST_XXREG = 111
"""The number of ``xxreg0``; registers and pairs of them are numbered from 0."""


class Field(NamedTuple):
    """OXM class, number within the class, length in bytes."""

    oxm_class: int
    number: int
    length: int

    @property
    def code(self) -> int:
        """Class and number as one number."""
        return self.oxm_class << 7 | self.number


_OPENFLOW: Mapping[str, tuple[int, int]] = {
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
"""Number and length in bytes (section 7.2.3.7, table 12)."""


def _registers() -> dict[str, Field]:
    found = {}
    for name, register in REGISTERS.items():
        oxm_class, length = _CLASS_AND_LENGTH[register.words]
        start = _FIRST_XXREG if register.words == 4 else 0
        found[name] = Field(oxm_class, start + register.first // register.words, length)
    return found


FIELDS: Mapping[str, Field] = {
    **{name: Field(OPENFLOW, *where) for name, where in _OPENFLOW.items()},
    **_registers(),
    "ip_frag": Field(NXM_1, 26, 1),
    "nd_reserved": Field(NSH_AND_OVS, 1, 4),
    "nd_options_type": Field(NSH_AND_OVS, 2, 1),
}

_FIRST, _LATER = 1, 2
FRAGMENT_BITS: Mapping[str, tuple[int, int | None]] = {
    "no": (0, None),
    "yes": (_FIRST, _FIRST),
    "first": (_FIRST, None),
    "later": (_FIRST | _LATER, None),
    "not_later": (0, _LATER),
}
"""Bits of ``ip_frag`` and their mask, by the words of ``flows.match.FRAGMENTS`` (ovs-fields(7))."""


def code(name: str) -> int:
    """Return the number that a field has in the identity of a flow."""
    return FIELDS[name].code
