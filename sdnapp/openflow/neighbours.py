"""What flows say about addresses: those that know a claim, and those that answer for a station elsewhere."""

from __future__ import annotations

from typing import Any

from os_ken.ofproto import ofproto_v1_3_parser as parser

from flows.tables import Table
from sdnapp.net.addresses import AddressMemory, Claim

_CLAIMS = (("arp_spa", "arp_sha"), ("ipv6_src", "ipv6_nd_sll"), ("ipv6_nd_target", "ipv6_nd_tll"))
_QUESTIONS = ("arp_tpa", "ipv6_nd_target")


def remembered(entry: Any) -> AddressMemory | None:
    """The address that a flow of the tables address and answer stands for; also of one that is gone.

    One that says nothing of a MAC stands for a lie.
    """
    match = entry.match
    if entry.table_id == Table.ADDRESS:
        for ip, mac in _CLAIMS:
            if ip in match:
                claim, lease = Claim(match[ip], match.get(mac, "")), entry.hard_timeout
                return AddressMemory(match["metadata"], claim, match["in_port"], lease)
    if entry.table_id == Table.ANSWER:
        actions = (action for i in entry.instructions for action in getattr(i, "actions", ()))
        for action in actions:
            if isinstance(action, parser.OFPActionSetField) and action.key == "eth_src":
                for ip in (match[name] for name in _QUESTIONS if name in match):
                    return AddressMemory(match["metadata"], Claim(ip, action.value), None)
    return None
