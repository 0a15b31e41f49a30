"""Decode IP-MAC bindings from flows: known local bindings, and responder flows for stations elsewhere."""

from __future__ import annotations

from typing import Any

from os_ken.ofproto import ofproto_v1_3_parser as parser

from flows.tables import Table
from sdnapp.net.neighbors import IpMacPair, RecoveredNeighbor
from sdnapp.openflow.oxm import exact

_CLAIMS = (("arp_spa", "arp_sha"), ("ipv6_src", "ipv6_nd_sll"), ("ipv6_nd_target", "ipv6_nd_tll"))
_QUESTIONS = ("arp_tpa", "ipv6_nd_target")


def remembered(entry: Any) -> RecoveredNeighbor | None:
    """The address that a flow of the tables address and answer stands for; also of one that is gone.

    One that says nothing of a MAC stands for a lie.
    """
    match = entry.match
    vni, ofport = exact(match, "metadata"), exact(match, "in_port")
    if vni is None:
        return None
    if entry.table_id == Table.NEIGHBOR_SNOOPING and ofport is not None:
        for ip, mac in _CLAIMS:
            if exact(match, ip) is not None:
                claim = IpMacPair(match[ip], exact(match, mac) or "")
                return RecoveredNeighbor(vni, claim, ofport, entry.hard_timeout)
    if entry.table_id == Table.ARP_ND_RESPONDER:
        actions = (action for i in entry.instructions for action in getattr(i, "actions", ()))
        for action in actions:
            if isinstance(action, parser.OFPActionSetField) and action.key == "eth_src":
                for ip in (match[name] for name in _QUESTIONS if exact(match, name) is not None):
                    return RecoveredNeighbor(vni, IpMacPair(ip, action.value), None)
    return None
