"""Local services of a network, by way of the controller: DHCP, router solicitations, packet too big."""

from __future__ import annotations

from collections.abc import Iterator

from flows.actions import Action, ApplyMeter, CheckPacketLarger, Goto, Punt
from flows.flow import Flow, Meter
from flows.match import (
    DHCP6_CLIENT,
    DHCP6_SERVER,
    DHCP_CLIENT,
    DHCP_SERVER,
    ICMPV6,
    IPV4,
    IPV6,
    UDP,
    Header,
    Ingress,
    Match,
)
from flows.tables import Table
from flows.view import NetworkView

RATE, BURST = 200, 1000
"""Questions per second and at once that the controller hears in a network of a bridge."""

_METERS = range(128, 256)
"""Networks share them by VNI: more than a few seldom ask at the same time."""
NO_TRUNCATION = 0xFFFF
"""All of a frame: OFPCML_NO_BUFFER (OpenFlow 1.3 §7.4.1)."""
_QUOTED = 640
"""Enough of a frame that is too large to quote it (RFC 1812 §4.3.2.3)."""
_EXACT, _GENERAL = 100, 50

_ONWARD = (Goto(Table.FORWARD),)
_SERVED: tuple[tuple[Header, tuple[Action, ...]], ...] = (
    (Header(IPV4, UDP, udp_src=DHCP_CLIENT, udp_dst=DHCP_SERVER), ()),
    (Header(IPV6, UDP, udp_src=DHCP6_CLIENT, udp_dst=DHCP6_SERVER), ()),
    (Header(IPV6, ICMPV6, icmpv6_type=133), _ONWARD),  # RFC 4861 §4.1
)


def meter(network: NetworkView) -> Meter | None:
    """Return the meter of a network's packet-ins, so that one tenant cannot use up the controller's rate."""
    if not network.dhcp_enabled and not _unbounded(network):
        return None
    return Meter(_METERS[network.vni % len(_METERS)], RATE, BURST)


def _unbounded(network: NetworkView) -> bool:
    return any(member.max_frame_size is not None for member in network.members)


def mtu_check_flows(network: NetworkView) -> Iterator[Flow]:
    """Mark frames that exceed the MTU: tunnels do not fragment, and such a frame would be lost without a
    message.
    """
    for member in network.members:
        if member.max_frame_size is not None:
            here = Match(in_port=member.port, ingress=Ingress.LOCAL, network=network.vni)
            yield Flow(
                Table.MTU_CHECK,
                _EXACT,
                here,
                (CheckPacketLarger(member.max_frame_size), Goto(Table.LOCAL_SERVICES)),
            )


def service(network: NetworkView) -> Iterator[Flow]:
    """Punt DHCP and frames that exceed the MTU, and drop them; router solicitations also go on to routers."""
    limit = [ApplyMeter(each.id) for each in [meter(network)] if each is not None]
    if _unbounded(network):
        too_large = Match(ingress=Ingress.TOO_LARGE, network=network.vni)
        yield Flow(Table.LOCAL_SERVICES, _GENERAL, too_large)
        for ethertype in (IPV4, IPV6):
            packet = too_large._replace(header=Header(eth_type=ethertype))
            yield Flow(Table.LOCAL_SERVICES, _EXACT, packet, (*limit, Punt(_QUOTED)))
    if network.dhcp_enabled:
        for header, onward in _SERVED:
            asked = Match(ingress=Ingress.LOCAL, network=network.vni, header=header)
            yield Flow(Table.LOCAL_SERVICES, _EXACT, asked, (*limit, Punt(NO_TRUNCATION), *onward))
