"""Layer-2 forwarding of br-int: classification, VLAN and tunnel key to network, MAC learning, FDB lookup.

Port security, the ARP and ND responder and flooding are in the files beside this one.

::

    local port ─▶ classify ─▶ vlan-to-network ─▶ port-security-* ─▶ mac-learning ─▶ arp-nd-responder ─┐
                                                      drop          controller       reply to the port │
                  ┌─── local-services ◀────────────────────────────────────────────────────────────────┘
                  │    controller: DHCP, RS, packet too big
                  ▼
    tunnel ─▶ classify ─▶ tunnel-to-network ─▶ forward ─▶ local port or tunnel
                                                  └─▶ storm-control ─▶ multicast ─▶ flood-*

Inside, a frame carries its network in the metadata and no tag of ours; the push and the pop of the edge tag
cancel out in the datapath, so mapping tags to keys costs the fast path nothing. Each function yields flows
of one table: those that every bridge has, those of a network, and those of its locations, which are many and
alike. ``flows.compile`` puts them together.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Set

from flows.actions import (
    Action,
    ApplyMeter,
    Goto,
    Learn,
    NoteNumber,
    Output,
    PopVlan,
    Punt,
    PushVlan,
    SetField,
    SetIngress,
    SetNetwork,
    SetTunnelKey,
)
from flows.features.port_security import load_forbidden_bits
from flows.flow import Flow, Flows, Meter, Origin, flows_per_mac
from flows.match import SERVICE_VLAN, TAGGED, UNTAGGED, VLAN, Header, Ingress, Match
from flows.tables import TABLES, Table, next_enabled_table
from flows.view import BridgeView, Limits, Location, NetworkPort, NetworkView

EXCEPTION = 200
EXACT = 100
GENERAL = 50
MISS = 0

NO_LIMITS = Limits()
NO_NESTED, IS_NESTED = Header(nested=0), Header(nested=1)

PUNT_BYTES = 128
"""Enough for the Ethernet header and an ARP or ND message behind two tags."""
SWITCH_LEARNED_MAX = 1024
"""Stations that a bridge learns by itself, in one network behind one stranger."""

_AFTER_LEARN = (Goto(Table.DHCP_RA_GUARD),)


def table_miss_flows(there: Set[Table]) -> Iterator[Flow]:
    """Yield the miss of each table: it counts, and drops or passes on; that of ``mac-learning`` punts."""
    for table in sorted(there):
        if not TABLES[table].whole:
            after = next_enabled_table(table, there)
            punt = (Punt(PUNT_BYTES),) if table is Table.MAC_LEARNING else ()
            yield Flow(table, MISS, Match(), punt if after is None else (*punt, Goto(after)))


def classify(view: BridgeView, trunks: Iterable[int], strangers: Iterable[int]) -> Iterator[Flow]:
    """Tagged on a trunk: keep the tag. From a tunnel: say so; a stranger's is as good as a local port."""
    for port in sorted(strangers):
        by_tag_and_key = (*_sent(view, port), Goto(Table.VLAN_TO_NETWORK))
        yield Flow(Table.CLASSIFY, EXACT, Match(in_port=port), by_tag_and_key)
    for port in sorted(trunks):
        tagged = (*_sent(view, port), Goto(Table.VLAN_TO_NETWORK))
        yield Flow(Table.CLASSIFY, EXACT, Match(in_port=port, vlan=TAGGED), tagged)
    for port in view.tunnels:
        from_tunnel = (SetIngress(Ingress.TUNNEL), Goto(Table.TUNNEL_TO_NETWORK))
        yield Flow(Table.CLASSIFY, EXACT, Match(in_port=port), from_tunnel)


def classify_untagged(view: BridgeView, network: NetworkView) -> Iterator[Flow]:
    """Untagged on an access port: push the edge tag."""
    for member in network.members:
        if not member.tagged and member.key is None:
            untagged = Match(in_port=member.port, vlan=UNTAGGED)
            enter = (*_sent(view, member.port), *_enter(network, member))
            yield Flow(Table.CLASSIFY, EXACT, untagged, enter)


def _sent(view: BridgeView, port: int) -> Iterator[Action]:
    """All that the workload at this port sends, tagged or not, is one rate's."""
    return meter_actions(view.limits.get(port, NO_LIMITS).send)


def meter_actions(meter: Meter | None) -> Iterator[Action]:
    """Nothing but what is within the rate of this meter goes on."""
    if meter is not None:
        yield ApplyMeter(meter.id)


def _enter(network: NetworkView, member: NetworkPort) -> tuple[Action, ...]:
    """A network without a tag is entered at once; one with a tag by way of vlan-to-network."""
    if member.vlan is None:
        return (*load_forbidden_bits(member.allowed), SetNetwork(network.vni), _checked(member))
    return (PushVlan(member.vlan), Goto(Table.VLAN_TO_NETWORK))


def _checked(member: NetworkPort) -> Goto:
    """Whether a sender may be one is a question to strict ports."""
    return Goto(Table.PORT_SECURITY_L2 if member.allowed is None else Table.SPOOF_PREFILTER)


def vlan_to_key(network: NetworkView) -> Iterator[Flow]:
    """Port by port, so that one tag may mean different networks on different ports."""
    for member in network.members:
        if member.key is not None:
            here = Match(in_port=member.port, key=member.key, vlan=member.vlan if member.tagged else UNTAGGED)
            bare = (PopVlan(),) if member.tagged else ()
            actions = (*bare, *load_forbidden_bits(member.allowed), SetNetwork(network.vni), _checked(member))
            yield Flow(Table.VLAN_TO_NETWORK, EXACT, here, actions)
        elif member.vlan is not None:
            here = Match(in_port=member.port, vlan=member.vlan)
            actions = (
                PopVlan(),
                *load_forbidden_bits(member.allowed),
                SetNetwork(network.vni),
                _checked(member),
            )
            yield Flow(Table.VLAN_TO_NETWORK, EXACT, here, actions)


def drop_unknown_tags(gates: Iterable[int]) -> Iterator[Flow]:
    """What a trunk or a stranger sends with a tag or key that the file does not give it: a drop for each."""
    for port in sorted(gates):
        yield Flow(Table.VLAN_TO_NETWORK, GENERAL, Match(in_port=port))


def key_to_network(view: BridgeView, network: NetworkView) -> Iterator[Flow]:
    """Only keys of networks that are here, only from peers that have them; the rest is one counted drop.

    A peer's bridge has looked at what it sends: it is forwarded, unless nobody else tells us who speaks.

    Of the two ways to say "these peers of all", the shorter one is taken: a flow for each peer that may, or
    one flow for all and a drop for each peer that may not.
    """
    onward = Table.NESTED_TAGS if network.nests else Table.FORWARD
    after = Table.PORT_SECURITY_L2 if view.learn_from_tunnels else onward
    admit = (SetNetwork(network.vni), Goto(after))
    others = sorted(frozenset(view.tunnels).difference(network.allowed_tunnel_ports))
    for key in network.keys:
        if len(network.allowed_tunnel_ports) <= len(others) + 1:
            for port in network.allowed_tunnel_ports:
                yield Flow(Table.TUNNEL_TO_NETWORK, EXACT, Match(in_port=port, key=key), admit)
        else:
            yield Flow(Table.TUNNEL_TO_NETWORK, EXACT, Match(key=key), admit)
            for port in others:
                yield Flow(Table.TUNNEL_TO_NETWORK, EXCEPTION, Match(in_port=port, key=key))


def mac_learning_guards(view: BridgeView) -> Iterator[Flow]:
    """Nobody is believed to be nobody.

    Of a crowded port no source is looked at, so that forged ones cost the datapath no entry each: that needs
    the highest priority of the table, and the first stage of its lookup (ovs-fields(7), staged lookup).
    """
    yield Flow(Table.MAC_LEARNING, EXACT, Match(ingress=Ingress.LOCAL, eth_src="00:00:00:00:00:00"))
    for port in view.mac_limit_exceeded:
        yield Flow(Table.MAC_LEARNING, EXCEPTION, Match(in_port=port), _AFTER_LEARN, kind=Origin.CROWDED)


def switch_learning(view: BridgeView, network: NetworkView) -> Iterator[Flow]:
    """Sources behind a stranger's tunnel, from there alone: the bridge sends to them at once.

    The controller hears of them too and knows better, as its flows have a higher priority; but what comes
    while there is no controller is found all the same.
    """
    for member in network.members:
        if member.key is not None:
            vlan = member.vlan if member.tagged else None
            taught = Learn(
                network.vni, member.port, member.key, vlan, GENERAL, view.mac_age, SWITCH_LEARNED_MAX
            )
            unknown = Match(in_port=member.port, network=network.vni)
            yield Flow(Table.MAC_LEARNING, GENERAL, unknown, (taught, Punt(PUNT_BYTES), *_AFTER_LEARN))


def nested() -> Iterator[Flow]:
    """Note a tag behind that of the network: guards read nothing behind it, and hosts do.

    How many tags Open vSwitch itself takes off is a matter of its ``vlan-limit``.
    """
    tagged = (Match(header=Header(VLAN)), Match(header=Header(SERVICE_VLAN)), Match(vlan=TAGGED))
    for match in tagged:
        yield Flow(Table.NESTED_TAGS, EXACT, match, (SetField("nested", 1), Goto(Table.FORWARD)))


def fdb_source_flows(view: BridgeView, vni: int, locations: Iterable[Location]) -> Iterator[Flows]:
    """A source where we know it goes on.

    The flow of a learned location is also its age: silence lets it expire, and the bridge says so. It keeps
    the number of the station's last move, for a controller that comes back. Where it is denied, it ends.
    """
    for port, remote, learned, macs, moves, denied, _ in locations:
        if not remote or view.learn_from_tunnels:
            known, age = Match(in_port=port, network=vni), view.mac_age if learned else 0
            onward = () if denied else (*((NoteNumber(moves),) if moves else ()), *_AFTER_LEARN)
            yield flows_per_mac(
                macs, "eth_src", Table.MAC_LEARNING, EXACT, known, onward, age, _kind(learned)
            )


def fdb_destination_flows(
    view: BridgeView, network: NetworkView, locations: Collection[Location]
) -> Iterator[Flows]:
    """A local destination from anywhere; a remote one from local ports only (split horizon)."""
    here = {location.port for location in locations if not location.remote}
    members = {member.port: member for member in network.members if member.port in here} if here else {}
    for port, remote, learned, macs, _, denied, key in locations:
        if denied:
            continue
        match = Match(ingress=Ingress.LOCAL if remote else None, network=network.vni)
        paced = meter_actions(view.limits.get(port, NO_LIMITS).receive)
        there = (SetTunnelKey(key), Output(port)) if remote else (*paced, *_out(members[port]))
        if network.nests and not remote and not members[port].nests:
            match = match._replace(header=NO_NESTED)
        yield flows_per_mac(macs, "eth_dst", Table.FORWARD, EXACT, match, there, kind=_kind(learned))


def _out(member: NetworkPort) -> tuple[Action, ...]:
    """Out of a local port as its wire wants it, and nothing after that."""
    if not member.tagged or member.vlan is None:
        return (*tunnel_key_actions(member), Output(member.port))
    return (*tunnel_key_actions(member), PushVlan(member.vlan), Output(member.port))


def tunnel_key_actions(member: NetworkPort) -> Iterator[Action]:
    """A stranger's tunnel sends the key that the stranger understands."""
    if member.key is not None:
        yield SetTunnelKey(member.key)


def _kind(learned: bool) -> Origin:
    return Origin.LEARNED if learned else Origin.FIXED
