"""A difference in any field of the overlay's model appears in ``sdnapp diff``."""

from __future__ import annotations

import typing
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from ipaddress import ip_address, ip_interface, ip_network
from types import UnionType
from typing import Any

import pytest

from sdnapp.net.mesh import with_tunnels
from sdnapp.net.model import Dhcp, Overlay, Rate, Tunnel
from sdnapp.net.overlay_diff import differences
from tests.overlays import overlay

RICH = """
controller: {target: "ssl:192.168.4.10:6653", listen: ["ssl:0.0.0.0:6653", "tcp:0.0.0.0:6654"]}
tenants:
  red:
    networks:
      web:
        {vlan: 10, vni: 5010, subnet: 10.1.1.0/24, dhcp: {router: 10.1.1.254, dns: 10.1.1.9, domain: a.test}}
hosts:
  host1: {vtep: 192.168.4.201, underlay_mtu: 1600}
  host2: {vtep: 192.168.4.202, underlay_mtu: 1600}
peers:
  rack: {host: host1, vtep: 192.168.4.9, encapsulation: vxlan, keys: {red/web: 7010}}
ports:
  red1: {host: host1, network: red/web, address: 10.1.1.1/24, rate: {send: 1M}, storm_control: 10}
  red2: {host: host2, network: red/web, addressing: dhcp}
  guest: {attach: external, iface_id: guest, network: red/web, port_security: false}
"""

DERIVED = {
    "Host.ports",
    "Host.vlans",
    "Host.name",
    "Network.tenant",
    "Network.name",
    "Network.mtu",
    "Network.mtu_told",
    "Tunnel.interface",
    "Tunnel.peer",
    "Tunnel.local_ip",
    "Tunnel.remote_ip",
    "Tunnel.ofport",
    "Tunnel.keyed",
    "Port.name",
    "Port.ofport",
    "Port.tunnel.interface",
    "Port.tunnel.peer",
    "Port.tunnel.local_ip",
    "Port.tunnel.ofport",
    "Bound.name",
    "Overlay.controller.per_host",
    "Port.limits.broadcast.burst",
    "Port.security.allowed_mac",
    "Bound.security.allowed_mac",
}
"""Follow from other fields that are compared, such as names, addresses of hosts, the target and MTUs."""


def others(value: Any, hint: Any, place: str) -> Iterator[tuple[str, Any]]:
    """``(field, value that differs in it)``, for each field that there is in a value of this type."""
    if is_dataclass(value) and not isinstance(value, type):
        hints = typing.get_type_hints(type(value))
        for field in fields(value):
            inside = f"{place}.{field.name}" if place else f"{type(value).__name__}.{field.name}"
            if inside in DERIVED:
                continue
            for where, other in others(getattr(value, field.name), hints[field.name], inside):
                yield where, replace(value, **{field.name: other})
    elif isinstance(value, Mapping):
        for name, each in value.items():
            for where, other in others(each, None, ""):
                yield where, {**value, name: other}
    elif isinstance(value, Sequence) and not isinstance(value, str) and value and is_dataclass(value[0]):
        for where, other in others(value[0], None, "" if type(value[0]).__name__ == "Tunnel" else place):
            yield where, (other, *value[1:])
    else:
        yield place, scalar(value, hint)


SAMPLES: Mapping[Any, Any] = {
    "int": 7,
    "str": "other",
    "Rate": Rate(7, 7),
    "Dhcp": Dhcp(None, (), None, 600),
    "Tunnel": Tunnel(
        "t", "p", "gre", ip_address("192.0.2.1"), ip_address("192.0.2.2"), None, csum=False, ofport=9
    ),
    "IPv4Address": ip_address("10.9.9.9"),
    "IPv4Interface": ip_interface("10.9.9.9/24"),
    "IPv4Network": ip_network("10.9.9.0/24"),
}


def scalar(value: Any, hint: Any) -> Any:
    """Another value of this type."""
    choices = typing.get_args(hint)
    if typing.get_origin(hint) is typing.Literal:
        return next(choice for choice in choices if choice != value)
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1
    if isinstance(value, str):
        return f"{value}x"
    if isinstance(value, frozenset):
        return value ^ {"router"}
    if isinstance(value, tuple):
        return (*value, scalar(None, choices[0]))
    if value is None:
        named = choices if typing.get_origin(hint) in {typing.Union, UnionType} else (hint,)
        return next(SAMPLES[kind.__name__] for kind in named if kind is not type(None))
    return value + 1


def everything() -> Iterator[tuple[str, Overlay]]:
    yield from others(with_tunnels(overlay(RICH)), None, "")


@pytest.mark.parametrize(
    ("place", "other"), [pytest.param(*each, id=f"{n}-{each[0]}") for n, each in enumerate(everything())]
)
def test_another_value_of_a_field_is_a_difference(place: str, other: Overlay) -> None:
    assert differences(overlay(RICH), other) != (), place


def test_an_address_by_dhcp_and_the_udp_port_of_a_peer_are_differences() -> None:
    by_dhcp = RICH.replace("address: 10.1.1.1/24", "addressing: dhcp")
    other_port = RICH.replace("encapsulation: vxlan,", "encapsulation: vxlan, dst_port: 8472,")

    assert any("by DHCP" in str(each) for each in differences(overlay(RICH), overlay(by_dhcp)))
    assert any("UDP port 8472" in str(each) for each in differences(overlay(RICH), overlay(other_port)))
