"""The tables of br-int, each declared once: its purpose, what it may match, where it may go, its miss.

Ids leave gaps for more tables. ``flows.verify`` checks flows against these declarations. A table of a feature
has no flow on a bridge without it, and a miss that leads there skips it.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass
from enum import Enum, IntEnum


class Table(IntEnum):
    """OpenFlow table ids, in the order of the pipeline."""

    CLASSIFY = 0
    VLAN_TO_NETWORK = 10
    TUNNEL_TO_NETWORK = 20
    SPOOF_PREFILTER = 22
    SPOOF_PREFILTER_ARP = 24
    SPOOF_PREFILTER_IPV6 = 26
    SPOOF_PREFILTER_ND = 28
    PORT_SECURITY_L2 = 30
    PORT_SECURITY_IP = 32
    PORT_SECURITY_ND = 34
    MAC_LEARNING = 40
    DHCP_RA_GUARD = 44
    NEIGHBOR_SNOOPING = 48
    ARP_ND_RESPONDER = 50
    ND_RESPONDER = 52
    RESPONDER_OUTPUT = 54
    MTU_CHECK = 56
    LOCAL_SERVICES = 58
    NESTED_TAGS = 59
    FORWARD = 60
    STORM_CONTROL = 62
    MULTICAST = 65
    FLOOD_REMOTE = 70
    FLOOD_LOCAL = 80
    EGRESS_POLICER = 90

    @property
    def label(self) -> str:
        """The name in the documents, in dumps and on the command line, such as ``vlan-to-network``."""
        return self.name.lower().replace("_", "-")


class Feature(Enum):
    """What enables a table on a bridge, as the documents put it."""

    PORT_SECURITY = "a port has port security"
    RESPONDER = "an IP address is known"
    RESPONDER_IPV6 = "an IPv6 address is known"
    MTU_CHECK = "a port's device is not made by sdnapp"
    LOCAL_SERVICES = "a network has DHCP or an MTU check"
    NESTED_TAGS = "a trunk without port security has a network of the bridge"
    STORM_CONTROL = "a port has a `storm_control`"
    EGRESS_RATE = "a port has a rate to receive"


@dataclass(frozen=True, slots=True)
class TableSpec:
    """Purpose and limits of a table; ``miss`` is where a frame goes that no flow matches, None: dropped.

    ``only``: the feature that enables the table; None: it is on every bridge. ``whole``: its flows match
    every frame that gets there, and it needs no miss.
    """

    purpose: str
    matches: frozenset[str]
    goes_to: frozenset[Table]
    miss: Table | None
    only: Feature | None
    whole: bool


def _declare(
    purpose: str,
    matches: str,
    *goes_to: Table,
    miss: Table | None = None,
    only: Feature | None = None,
    whole: bool = False,
) -> TableSpec:
    """``goes_to``: besides where a miss goes."""
    everywhere = frozenset(goes_to if miss is None else (*goes_to, miss))
    return TableSpec(purpose, frozenset(matches.split()), everywhere, miss, only, whole)


TABLES: Mapping[Table, TableSpec] = {
    Table.CLASSIFY: _declare(
        "ingress classification by port: access port, trunk, tunnel of a host, tunnel of an external VTEP",
        "in_port vlan",
        *(Table.VLAN_TO_NETWORK, Table.TUNNEL_TO_NETWORK, Table.SPOOF_PREFILTER, Table.PORT_SECURITY_L2),
    ),
    Table.VLAN_TO_NETWORK: _declare(
        "VLAN tag to network, on trunks; tag and key on tunnels of external VTEPs; other tags are dropped",
        "in_port key vlan",
        *(Table.SPOOF_PREFILTER, Table.PORT_SECURITY_L2),
        whole=True,
    ),
    Table.TUNNEL_TO_NETWORK: _declare(
        "tunnel key (VNI, GRE key) to network, from peers that have the network; frames skip the checks that "
        "the sending bridge made",
        "in_port key",
        *(Table.PORT_SECURITY_L2, Table.NESTED_TAGS, Table.FORWARD),
    ),
    Table.SPOOF_PREFILTER: _declare(
        "a source MAC with a bit that the port's own lacks is marked as spoofed, with one datapath entry a "
        "bit, not one a MAC; a second tag is dropped",
        "vlan eth_src eth_type mac_forbidden_bits",
        *(Table.SPOOF_PREFILTER_ARP, Table.SPOOF_PREFILTER_IPV6),
        miss=Table.PORT_SECURITY_L2,
        only=Feature.PORT_SECURITY,
    ),
    Table.SPOOF_PREFILTER_ARP: _declare(
        "the same for sender addresses in ARP",
        "eth_type arp_spa arp_sha mac_forbidden_bits ip_forbidden_bits",
        miss=Table.PORT_SECURITY_L2,
        only=Feature.PORT_SECURITY,
    ),
    Table.SPOOF_PREFILTER_IPV6: _declare(
        "the same for source addresses in IPv6",
        "eth_type ip_proto ipv6_src icmpv6_type ip6_forbidden_bits",
        Table.SPOOF_PREFILTER_ND,
        miss=Table.PORT_SECURITY_L2,
        only=Feature.PORT_SECURITY,
    ),
    Table.SPOOF_PREFILTER_ND: _declare(
        "the same for target addresses in neighbor advertisements",
        "eth_type ip_proto icmpv6_type nd_target ip6_forbidden_bits",
        miss=Table.PORT_SECURITY_L2,
        only=Feature.PORT_SECURITY,
    ),
    Table.PORT_SECURITY_L2: _declare(
        "drop group addresses as source, and on ports with port security every source MAC but their own",
        "in_port network eth_src eth_dst mac_spoofed",
        Table.PORT_SECURITY_IP,
        miss=Table.MAC_LEARNING,
    ),
    Table.PORT_SECURITY_IP: _declare(
        "on ports with port security, drop IP and ARP from addresses that are not theirs",
        "in_port network eth_type ip_proto ip_frag ipv4_src ipv4_dst ipv6_src udp_src udp_dst icmpv6_type "
        "arp_op arp_spa arp_sha arp_spoofed ip6_spoofed",
        Table.PORT_SECURITY_ND,
        miss=Table.MAC_LEARNING,
        only=Feature.PORT_SECURITY,
    ),
    Table.PORT_SECURITY_ND: _declare(
        "on ports with port security, drop ND messages about addresses that are not theirs",
        "in_port network eth_type ip_proto ip_frag icmpv6_type nd_target nd_sll nd_tll nd_target_spoofed",
        miss=Table.MAC_LEARNING,
        only=Feature.PORT_SECURITY,
    ),
    Table.MAC_LEARNING: _declare(
        "look up the source MAC: a new one, or one at another port, is sent to the controller; one that is "
        "blocked there is dropped",
        "in_port ingress network eth_src",
        miss=Table.DHCP_RA_GUARD,
    ),
    Table.DHCP_RA_GUARD: _declare(
        "drop DHCP server messages and router advertisements from ports without that role; drop IP packets "
        "whose headers cannot be read",
        "in_port ingress network eth_type ip_proto ip_frag udp_dst icmpv6_type",
        miss=Table.NEIGHBOR_SNOOPING,
    ),
    Table.NEIGHBOR_SNOOPING: _declare(
        "ARP and ND snooping: new bindings are sent to the controller; those that conflict with an address "
        "of the file are dropped",
        "in_port ingress network eth_dst eth_type ip_proto ipv6_src icmpv6_type icmpv6_code arp_op arp_spa "
        "arp_tpa arp_sha nd_target nd_sll nd_tll",
        miss=Table.ARP_ND_RESPONDER,
    ),
    Table.ARP_ND_RESPONDER: _declare(
        "ARP requests and neighbor solicitations for known addresses become replies",
        "in_port ingress network eth_dst eth_type ip_proto ipv6_src icmpv6_type icmpv6_code arp_op arp_spa "
        "arp_tpa nd_target nd_sll",
        *(Table.ND_RESPONDER, Table.FORWARD, Table.RESPONDER_OUTPUT),
        miss=Table.MTU_CHECK,
    ),
    Table.ND_RESPONDER: _declare(
        "turn a solicitation's link-layer option into that of an advertisement",
        "eth_type ip_proto icmpv6_type icmpv6_code",
        Table.RESPONDER_OUTPUT,
        only=Feature.RESPONDER_IPV6,
        whole=True,
    ),
    Table.RESPONDER_OUTPUT: _declare(
        "send a reply out of the port that the request came in on, tagged as the port requires",
        "in_port network",
        only=Feature.RESPONDER,
        whole=True,
    ),
    Table.MTU_CHECK: _declare(
        "mark frames that exceed the MTU of their network (check_pkt_larger)",
        "in_port ingress network",
        miss=Table.LOCAL_SERVICES,
        only=Feature.MTU_CHECK,
    ),
    Table.LOCAL_SERVICES: _declare(
        "send to the controller what it answers: DHCP, router solicitations, frames that exceed the MTU",
        "ingress network eth_type ip_proto udp_src udp_dst icmpv6_type",
        miss=Table.NESTED_TAGS,
        only=Feature.LOCAL_SERVICES,
    ),
    Table.NESTED_TAGS: _declare(
        "mark frames with a second tag: they reach trunks without port security alone",
        "vlan eth_type",
        miss=Table.FORWARD,
        only=Feature.NESTED_TAGS,
    ),
    Table.FORWARD: _declare(
        "destination lookup (FDB): a local port, or the tunnel to a peer",
        "ingress network eth_dst nested",
        miss=Table.STORM_CONTROL,
    ),
    Table.STORM_CONTROL: _declare(
        "storm control: meter what a port has flooded",
        "in_port",
        miss=Table.MULTICAST,
        only=Feature.STORM_CONTROL,
    ),
    Table.MULTICAST: _declare(
        "multicast forwarding by IGMP and MLD snooping; queries and reports are sent to the controller",
        "ingress network eth_src eth_dst eth_type ip_proto ipv4_dst ipv6_dst icmpv6_type",
        miss=Table.FLOOD_REMOTE,
    ),
    Table.FLOOD_REMOTE: _declare(
        "head-end replication: broadcast, unknown unicast and multicast, once to each peer with the network",
        "ingress network eth_dst",
        miss=Table.FLOOD_LOCAL,
    ),
    Table.FLOOD_LOCAL: _declare(
        "replicate to the local ports of the network; frames from tunnels go nowhere else (split horizon)",
        "network nested",
        whole=True,
    ),
    Table.EGRESS_POLICER: _declare(
        "meter a copy that leaves by a port with a rate; in_port is that port (resubmit)",
        "in_port",
        only=Feature.EGRESS_RATE,
        whole=True,
    ),
}


def enabled_tables(features: Set[Feature]) -> frozenset[Table]:
    """Return the tables of a bridge with these features."""
    return frozenset(table for table, it in TABLES.items() if it.only is None or it.only in features)


def allowed_next_tables(table: Table) -> frozenset[Table]:
    """Return where flows of a table may go. A miss skips tables that are not enabled, and so may a flow."""
    here = TABLES[table]
    if here.miss is None or TABLES[here.miss].only is None:
        return here.goes_to
    return here.goes_to | allowed_next_tables(here.miss)


def next_enabled_table(table: Table, there: Set[Table]) -> Table | None:
    """Return where a miss leads, of the tables ``there``."""
    after = TABLES[table].miss
    while after is not None and after not in there:
        after = TABLES[after].miss
    return after
