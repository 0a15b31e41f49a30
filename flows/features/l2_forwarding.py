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
    """Classify frames with a tag on trunks, and frames from tunnels; a tunnel of an external VTEP counts as
    local.
    """
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
    """Push the tag of the network onto untagged frames of access ports."""
    for member in network.members:
        if not member.tagged and member.key is None:
            untagged = Match(in_port=member.port, vlan=UNTAGGED)
            enter = (*_sent(view, member.port), *_enter(network, member))
            yield Flow(Table.CLASSIFY, EXACT, untagged, enter)


def _sent(view: BridgeView, port: int) -> Iterator[Action]:
    """Meter all that is received from this port, with a tag or without, by one rate."""
    return meter_actions(view.limits.get(port, NO_LIMITS).send)


def meter_actions(meter: Meter | None) -> Iterator[Action]:
    """Return the actions of a meter: frames beyond its rate are dropped."""
    if meter is not None:
        yield ApplyMeter(meter.id)


def _enter(network: NetworkView, member: NetworkPort) -> tuple[Action, ...]:
    """Return how a frame enters its network: at once without a tag, by way of vlan-to-network with one."""
    if member.vlan is None:
        return (*load_forbidden_bits(member.allowed), SetNetwork(network.vni), _checked(member))
    return (PushVlan(member.vlan), Goto(Table.VLAN_TO_NETWORK))


def _checked(member: NetworkPort) -> Goto:
    """Return the next table: with port security the spoof prefilter, without it the table after."""
    return Goto(Table.PORT_SECURITY_L2 if member.allowed is None else Table.SPOOF_PREFILTER)


def vlan_to_key(network: NetworkView) -> Iterator[Flow]:
    """Map tag to network, port by port: one tag may mean different networks on different ports."""
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
    """Drop frames of a trunk or an external VTEP with a tag or key that the file does not give it; one flow
    each.
    """
    for port in sorted(gates):
        yield Flow(Table.VLAN_TO_NETWORK, GENERAL, Match(in_port=port))


def key_to_network(view: BridgeView, network: NetworkView) -> Iterator[Flow]:
    """Map tunnel key to network, for networks of the bridge and from peers that have them; the miss drops the
    rest.

    A peer's bridge has checked what it sends, so frames go to forwarding; with a controller on every host
    they pass MAC learning first.

    "These peers of all" has two forms, and the shorter is taken: a flow for each permitted peer, or one flow
    for all and a drop for each other peer.
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
    """Drop frames whose source MAC is all zeros. Skip source lookup on ports that exceeded their MAC limit.

    Matching ``eth_src`` there would make the datapath create an entry for each forged MAC. These flows need
    the table's highest priority and match ``in_port`` alone, the first stage of its lookup (ovs-fields(7),
    staged lookup).
    """
    yield Flow(Table.MAC_LEARNING, EXACT, Match(ingress=Ingress.LOCAL, eth_src="00:00:00:00:00:00"))
    for port in view.mac_limit_exceeded:
        yield Flow(Table.MAC_LEARNING, EXCEPTION, Match(in_port=port), _AFTER_LEARN, kind=Origin.MAC_LIMIT)


def switch_learning(view: BridgeView, network: NetworkView) -> Iterator[Flow]:
    """Have the bridge itself learn sources behind the tunnel of an external VTEP, by the learn action.

    The controller learns them too, and its flows have a higher priority; these keep working without a
    controller.
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
    """Mark frames with a tag behind that of the network: guards match nothing behind it, and hosts do read
    there.

    How many tags Open vSwitch itself parses is its ``vlan-limit``.
    """
    tagged = (Match(header=Header(VLAN)), Match(header=Header(SERVICE_VLAN)), Match(vlan=TAGGED))
    for match in tagged:
        yield Flow(Table.NESTED_TAGS, EXACT, match, (SetField("nested", 1), Goto(Table.FORWARD)))


def fdb_source_flows(view: BridgeView, vni: int, locations: Iterable[Location]) -> Iterator[Flows]:
    """Accept sources at the place that the FDB has for them; drop those that are blocked there.

    The idle timeout of a learned location's flow is its age: the bridge reports its expiry. A note in the
    flow keeps the number of the MAC's last move, for a controller that starts again.
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
    """Send to a local destination from anywhere, to a remote one from local ports only (split horizon)."""
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
    """Return actions that send the frame out of a local port, tagged as the port requires. Nothing follows
    them.
    """
    if not member.tagged or member.vlan is None:
        return (*tunnel_key_actions(member), Output(member.port))
    return (*tunnel_key_actions(member), PushVlan(member.vlan), Output(member.port))


def tunnel_key_actions(member: NetworkPort) -> Iterator[Action]:
    """Return the action that sets the tunnel key of an external VTEP."""
    if member.key is not None:
        yield SetTunnelKey(member.key)


def _kind(learned: bool) -> Origin:
    return Origin.LEARNED if learned else Origin.STATIC
