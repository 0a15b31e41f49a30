"""Overlays for tests, written as a person writes them."""

from __future__ import annotations

import re
from collections.abc import Mapping

from flows.view import BridgeView
from sdnapp.config import names, parse
from sdnapp.net.build import build
from sdnapp.net.encap_migration import desired_encap
from sdnapp.net.model import Host, Overlay
from sdnapp.net.project import project
from sdnapp.net.state import State

TWO_HOSTS = """
overlay: {encapsulation: gre}
controller: {target: "tcp:192.168.4.10:6653"}
tenants:
  red:  {networks: {web: {vlan: 10, vni: 5010, subnet: 10.1.1.0/24}}}
  blue: {networks: {web: {vlan: 10, vni: 5020, subnet: 10.1.1.0/24}}}
hosts:
  host1: {vtep: 192.168.4.201}
  host2: {vtep: 192.168.4.202}
ports:
  red1:  {host: host1, network: red/web,  address: 10.1.1.1/24}
  red2:  {host: host2, network: red/web,  address: 10.1.1.2/24}
  blue1: {host: host1, network: blue/web, address: 10.1.1.1/24}
  blue2: {host: host2, network: blue/web, address: 10.1.1.2/24}
"""

THREE_HOSTS = """
tenants:
  red: {networks: {web: {vlan: 10, vni: 5010, subnet: [10.1.1.0/24, "fd00:1::/64"]}}}
hosts:
  host1: {vtep: 192.168.4.201}
  host2: {vtep: 192.168.4.202}
  host3: {vtep: 192.168.4.203}
ports:
  router: {host: host1, network: red/web}
"""
"""Of one network, with a router that the file says nothing of; more ports may follow."""

LEARNING = re.sub(r"(address: .*)}", r"\1, port_security: false}", TWO_HOSTS)
"""The same, with ports that may speak for others."""


def overlay(text: str = TWO_HOSTS) -> Overlay:
    """What the text means."""
    return build(parse(text.encode(), "test.yaml"))


def numbers(host: Host) -> Mapping[str, int]:
    """Every interface of the host's bridge with the port number that it asks for."""
    ports = {port.interface: port.ofport for port in host.ports}
    return ports | {tunnel.interface: tunnel.ofport for tunnel in host.tunnels}


def plugged(interface: str, ofport: int, iface_id: str) -> Mapping[str, int]:
    """What a bridge shows of an interface with an iface-id: itself, and the note that the agent made."""
    note, counterpart = names.iface_id_port_names(ofport, interface, iface_id)
    return {interface: ofport, note: 60000 + 2 * ofport, counterpart: 60001 + 2 * ofport}


def view_of(state: State, host: str) -> BridgeView:
    """What the host's bridge sees of the state."""
    return project(state, host, desired_encap(state, host))
