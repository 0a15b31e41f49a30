"""The tables of br-int, each declared once: its purpose, what it may match, where it may go, its miss.

Ids leave gaps for tables to come. ``flows.verify`` holds flows against these declarations. A table that is
there for a feature has no flow on a bridge that has not got it, and a miss that leads there passes it by.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass
from enum import Enum, IntEnum


class Table(IntEnum):
    """OpenFlow table ids, in the order in which a frame meets them."""

    CLASSIFY = 0
    VLAN_TO_KEY = 10
    KEY_TO_NETWORK = 20
    FOREIGN = 22
    FOREIGN_ARP = 24
    FOREIGN_IPV6 = 26
    FOREIGN_TARGET = 28
    SECURITY = 30
    SENDER = 32
    NEIGHBOUR = 34
    LEARN = 40
    ROLE = 44
    ADDRESS = 48
    ANSWER = 50
    ADVERTISE = 52
    REPLY = 54
    SIZE = 56
    SERVICE = 58
    NESTED = 59
    FORWARD = 60
    STORM = 62
    MULTICAST = 65
    FLOOD = 70
    DELIVER = 80
    PACE = 90

    @property
    def label(self) -> str:
        """The name in the documents, in dumps and on the command line, such as ``vlan-to-key``."""
        return self.name.lower().replace("_", "-")


class Feature(Enum):
    """What only some bridges have, in the words of the documents."""

    STRICT = "a port is strict"
    ANSWERS = "an address is known"
    ANSWERS_6 = "an IPv6 address is known"
    SIZE = "somebody else made the device of a port"
    SERVICE = "DHCP is served, or sizes are asked"
    NESTED = "a trunk without port security has a network of the bridge"
    FLOOD_RATE = "a port has a `broadcast_rate`"
    RECEIVE_RATE = "a port has a rate to receive"


@dataclass(frozen=True, slots=True)
class Declaration:
    """What a table decides; ``miss`` is the table a frame goes to when nothing matches, None: dropped.

    ``only``: the table is there for this alone; None: on every bridge. ``whole``: flows of its own match
    whatever comes there, and it needs no miss.
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
) -> Declaration:
    """``goes_to``: besides where a miss goes."""
    everywhere = frozenset(goes_to if miss is None else (*goes_to, miss))
    return Declaration(purpose, frozenset(matches.split()), everywhere, miss, only, whole)


TABLES: Mapping[Table, Declaration] = {
    Table.CLASSIFY: _declare(
        "where a frame came from: an access port, a trunk, a tunnel or a stranger's tunnel",
        "in_port vlan",
        *(Table.VLAN_TO_KEY, Table.KEY_TO_NETWORK, Table.FOREIGN, Table.SECURITY),
    ),
    Table.VLAN_TO_KEY: _declare(
        "the tag, on the port that carries it, becomes the network, and others end here; of a stranger's "
        "tunnel, tag and key",
        "in_port key vlan",
        *(Table.FOREIGN, Table.SECURITY),
        whole=True,
    ),
    Table.KEY_TO_NETWORK: _declare(
        "the tunnel key, from a peer that may send it, becomes the network; what it vouches for is believed",
        "in_port key",
        *(Table.SECURITY, Table.NESTED, Table.FORWARD),
    ),
    Table.FOREIGN: _declare(
        "no second tag from a strict port; has a source a bit that its MAC has not? Then no more of it needs "
        "to be looked at",
        "vlan eth_src eth_type foreign_mac",
        *(Table.FOREIGN_ARP, Table.FOREIGN_IPV6),
        miss=Table.SECURITY,
        only=Feature.STRICT,
    ),
    Table.FOREIGN_ARP: _declare(
        "the same of the sender in ARP",
        "eth_type arp_spa arp_sha foreign_mac foreign_ip",
        miss=Table.SECURITY,
        only=Feature.STRICT,
    ),
    Table.FOREIGN_IPV6: _declare(
        "the same of IPv6 addresses",
        "eth_type ip_proto ipv6_src icmpv6_type foreign_ip6",
        Table.FOREIGN_TARGET,
        miss=Table.SECURITY,
        only=Feature.STRICT,
    ),
    Table.FOREIGN_TARGET: _declare(
        "the same of the address that a neighbour advertisement is about",
        "eth_type ip_proto icmpv6_type nd_target foreign_ip6",
        miss=Table.SECURITY,
        only=Feature.STRICT,
    ),
    Table.SECURITY: _declare(
        "who may speak: no group, and on a strict port nobody but its own MAC",
        "in_port network eth_src eth_dst false_mac",
        Table.SENDER,
        miss=Table.LEARN,
    ),
    Table.SENDER: _declare(
        "from which addresses a strict port may speak, in IP and in ARP",
        "in_port network eth_type ip_proto ip_frag ipv4_src ipv4_dst ipv6_src udp_src udp_dst icmpv6_type "
        "arp_op arp_spa arp_sha false_arp false_ip6",
        Table.NEIGHBOUR,
        miss=Table.LEARN,
        only=Feature.STRICT,
    ),
    Table.NEIGHBOUR: _declare(
        "for whom a strict port may speak in neighbour discovery",
        "in_port network eth_type ip_proto ip_frag icmpv6_type nd_target nd_sll nd_tll false_target",
        miss=Table.LEARN,
        only=Feature.STRICT,
    ),
    Table.LEARN: _declare(
        "is this source where we think it is? A new one is told; one that lives elsewhere ends",
        "in_port source network eth_src",
        miss=Table.ROLE,
    ),
    Table.ROLE: _declare(
        "what only some ports may send: messages of DHCP servers and of routers; IP packets whose headers "
        "cannot be read end here",
        "in_port source network eth_type ip_proto ip_frag udp_dst icmpv6_type",
        miss=Table.ADDRESS,
    ),
    Table.ADDRESS: _declare(
        "what ARP and neighbour discovery say of addresses: is it known? If not, the controller hears of it; "
        "what the file gives somebody else ends here",
        "in_port source network eth_dst eth_type ip_proto ipv6_src icmpv6_type icmpv6_code arp_op arp_spa "
        "arp_tpa arp_sha nd_target nd_sll nd_tll",
        miss=Table.ANSWER,
    ),
    Table.ANSWER: _declare(
        "who has this address? Asked by a local port of somebody known: the question becomes its answer",
        "in_port source network eth_dst eth_type ip_proto ipv6_src icmpv6_type icmpv6_code arp_op arp_spa "
        "arp_tpa nd_target nd_sll",
        *(Table.ADVERTISE, Table.FORWARD, Table.REPLY),
        miss=Table.SIZE,
    ),
    Table.ADVERTISE: _declare(
        "a neighbour solicitation that became an advertisement gets the option of one",
        "eth_type ip_proto icmpv6_type icmpv6_code",
        Table.REPLY,
        only=Feature.ANSWERS_6,
        whole=True,
    ),
    Table.REPLY: _declare(
        "an answer goes back to where the question came from, as its wire wants it",
        "in_port network",
        only=Feature.ANSWERS,
        whole=True,
    ),
    Table.SIZE: _declare(
        "does the frame fit the network? Asked of ports whose device somebody else made",
        "in_port source network",
        miss=Table.SERVICE,
        only=Feature.SIZE,
    ),
    Table.SERVICE: _declare(
        "what the network itself answers: DHCP, router solicitations, frames that are too large",
        "source network eth_type ip_proto udp_src udp_dst icmpv6_type",
        miss=Table.NESTED,
        only=Feature.SERVICE,
    ),
    Table.NESTED: _declare(
        "a second tag is noted: what it hides from guards reaches no port but trunks without port security",
        "vlan eth_type",
        miss=Table.FORWARD,
        only=Feature.NESTED,
    ),
    Table.FORWARD: _declare(
        "known destinations: a local port, or a peer behind its tunnel",
        "source network eth_dst nested",
        miss=Table.STORM,
    ),
    Table.STORM: _declare(
        "how many frames a port may have flooded; the rest of them ends here",
        "in_port",
        miss=Table.MULTICAST,
        only=Feature.FLOOD_RATE,
    ),
    Table.MULTICAST: _declare(
        "a group goes to those that listen and to routers; queries and reports, to the controller",
        "source network eth_src eth_dst eth_type ip_proto ipv4_dst ipv6_dst icmpv6_type",
        miss=Table.FLOOD,
    ),
    Table.FLOOD: _declare(
        "broadcast, multicast, unknown from a local port: to each peer that has the network, once",
        "source network eth_dst",
        miss=Table.DELIVER,
    ),
    Table.DELIVER: _declare(
        "a flooded frame reaches the local ports of its network (all that a tunnel may reach)",
        "network nested",
        whole=True,
    ),
    Table.PACE: _declare(
        "a flooded frame leaves by a port that has a rate; in_port is that port, as ``resubmit`` has it",
        "in_port",
        only=Feature.RECEIVE_RATE,
        whole=True,
    ),
}


def needed(features: Set[Feature]) -> frozenset[Table]:
    """The tables of a bridge that has these."""
    return frozenset(table for table, it in TABLES.items() if it.only is None or it.only in features)


def leads_to(table: Table) -> frozenset[Table]:
    """Where its flows may go. A miss passes by what is there for a feature alone, and so may a flow."""
    here = TABLES[table]
    if here.miss is None or TABLES[here.miss].only is None:
        return here.goes_to
    return here.goes_to | leads_to(here.miss)


def onward(table: Table, there: Set[Table]) -> Table | None:
    """Where a miss leads, of the tables that are there."""
    after = TABLES[table].miss
    while after is not None and after not in there:
        after = TABLES[after].miss
    return after
