"""The configuration file of a run as plain data, and seeded changes of it. Pure."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from random import Random
from typing import Any

import yaml

Document = dict[str, Any]
"""What YAML holds: mappings, lists, text and numbers."""

HOSTS = ("host1", "host2", "host3")
GUEST = "vm"
GUEST_MAC, GUEST_ADDRESS, GUEST_INTERFACE, GUEST_HOST = "02:aa:00:00:00:09", "10.1.1.9", "vnet0", "host2"

STREAMS = (("red1", "red2"), ("red2", "red3"), ("red3", "red1"), ("db2", "db3"), ("blue1", "blue3"))
"""Ports between which packets run both ways."""

_ENCAPSULATIONS = ("vxlan", "gre", "geneve")
_SPARE = ("extra1", "extra2", "extra3")
GHOST = "host9"


@dataclass(frozen=True, slots=True)
class Change:
    """One edit: what it is called, the document after it, and the ports that it is about.

    ``wire``: what goes over the underlay changes, so that controllers that know nothing of each other (one on
    every host) lose packets until the last of them has followed.
    """

    name: str
    after: Document
    ports: frozenset[str] = frozenset()
    wire: bool = False


def base(*, central: bool, random: Random) -> Document:
    """Return the document that a run begins with."""
    hosts: dict[str, Any] = {name: {"vtep": f"192.168.4.{201 + n}"} for n, name in enumerate(HOSTS)}
    first, second = random.sample(HOSTS, 2)
    hosts[first]["encapsulation"] = {second: random.choice(_ENCAPSULATIONS)}
    web4, web6 = "10.1.1.0/24", "fd00:1::/64"
    return {
        "overlay": {
            "encapsulation": random.choice(_ENCAPSULATIONS),
            "mtu": 1400,
            "mac_age": 60,
            "duplicate_mac_detection": {"max_moves": 5, "period": 10, "freeze": 5},
        },
        "controller": {"target": "tcp:192.168.4.10:6653" if central else "tcp:127.0.0.1:6653"},
        "tenants": {
            "red": {
                "networks": {
                    "web": {"vlan": 10, "vni": 5010, "subnet": [web4, web6], "dhcp": True},
                    "db": {"vlan": 20, "vni": 5011, "subnet": "10.1.2.0/24"},
                }
            },
            "blue": {"networks": {"web": {"vlan": 10, "vni": 5020, "subnet": [web4, web6]}}},
        },
        "hosts": hosts,
        "ports": {
            "red1": {"host": "host1", "network": "red/web", "address": ["10.1.1.1", "fd00:1::1"]},
            "red2": {"host": "host2", "network": "red/web", "address": "10.1.1.2", "port_security": False},
            "red3": {"host": "host3", "network": "red/web", "address": ["10.1.1.3", "fd00:1::3"]},
            "red4": {"host": "host3", "network": "red/web", "address": "10.1.1.4", "port_security": False},
            "both1": {
                "host": "host1",
                "trunk": {"red/web": 30, "red/db": 40},
                "address": ["10.1.1.5", "10.1.2.5"],
            },
            "db2": {"host": "host2", "network": "red/db", "address": "10.1.2.2", "port_security": False},
            "db3": {"host": "host3", "network": "red/db", "address": "10.1.2.3"},
            "blue1": {"host": "host1", "network": "blue/web", "address": ["10.1.1.1", "fd00:1::1"]},
            "blue3": {"host": "host3", "network": "blue/web", "address": ["10.1.1.3", "fd00:1::3"]},
            GUEST: {
                "host": GUEST_HOST,
                "attach": "external",
                "interface": GUEST_INTERFACE,
                "network": "red/web",
                "address": GUEST_ADDRESS,
                "mac": GUEST_MAC,
                "port_security": False,
            },
        },
    }


def text(document: Document) -> str:
    """Return the file."""
    return yaml.safe_dump(document, sort_keys=False, width=100)


def without_ghost(document: Document) -> Document:
    """Return it without the host that is not there, for a lab to come up."""
    hosts = {name: host for name, host in document["hosts"].items() if name != GHOST}
    return {**document, "hosts": hosts}


def change(document: Document, random: Random) -> Change:
    """Return one of the changes that this document can undergo."""
    while True:
        after = deepcopy(document)
        if (made := random.choice(_CHANGES)(after, random)) is not None:
            return made


def _networks(document: Document) -> dict[str, dict[str, Any]]:
    return {
        f"{tenant}/{name}": network
        for tenant, owned in document["tenants"].items()
        for name, network in owned["networks"].items()
    }


def _vni(after: Document, random: Random) -> Change:
    path, network = random.choice(list(_networks(after).items()))
    taken = {other["vni"] for other in _networks(after).values()}
    network["vni"] = random.choice([vni for vni in range(5000, 5100) if vni not in taken])
    return Change(f"{path} has VNI {network['vni']}", after, wire=True)


def _swapped_vnis(after: Document, random: Random) -> Change:
    (one, first), (other, second) = random.sample(list(_networks(after).items()), 2)
    first["vni"], second["vni"] = second["vni"], first["vni"]
    return Change(f"{one} and {other} exchange their VNIs", after, wire=True)


def _vlan(after: Document, random: Random) -> Change:
    path, network = random.choice(list(_networks(after).items()))
    network["vlan"] = random.randrange(100, 200)
    return Change(f"{path} has VLAN {network['vlan']}", after)


def _encapsulation(after: Document, random: Random) -> Change:
    others = [kind for kind in _ENCAPSULATIONS if kind != after["overlay"]["encapsulation"]]
    after["overlay"]["encapsulation"] = random.choice(others)
    return Change(f"encapsulation {after['overlay']['encapsulation']}", after, wire=True)


def _encapsulation_of_pair(after: Document, random: Random) -> Change:
    one, other = random.sample(HOSTS, 2)
    for name in HOSTS:
        after["hosts"][name].pop("encapsulation", None)
    kind = random.choice(_ENCAPSULATIONS)
    after["hosts"][one]["encapsulation"] = {other: kind}
    return Change(f"encapsulation {kind} between {one} and {other}", after, wire=True)


def _mtu(after: Document, random: Random) -> Change:
    after["overlay"]["mtu"] = random.choice([m for m in (1360, 1380, 1400) if m != after["overlay"]["mtu"]])
    return Change(f"MTU {after['overlay']['mtu']}", after)


def _mac_age(after: Document, random: Random) -> Change:
    after["overlay"]["mac_age"] = random.randrange(30, 90)
    return Change(f"mac_age {after['overlay']['mac_age']}", after)


def _dhcp(after: Document, _random: Random) -> Change:
    web = after["tenants"]["red"]["networks"]["web"]
    web["dhcp"] = not web["dhcp"]
    return Change(f"DHCP {'on' if web['dhcp'] else 'off'}", after)


def _bfd(after: Document, _random: Random) -> Change:
    after["overlay"]["bfd"] = not after["overlay"].get("bfd", False)
    return Change(f"BFD {'on' if after['overlay']['bfd'] else 'off'}", after)


def _dscp(after: Document, random: Random) -> Change:
    after["overlay"]["dscp"] = random.choice([0, 10, 46, "inherit"])
    return Change(f"DSCP {after['overlay']['dscp']}", after)


def _port_added(after: Document, random: Random) -> Change | None:
    free = [name for name in _SPARE if name not in after["ports"]]
    if not free:
        return None
    name, host = random.choice(free), random.choice(HOSTS)
    network = random.choice([path for path, n in _networks(after).items() if "subnet" in n])
    number = 100 + int(name[-1])
    prefix = "10.1.2" if network.startswith("red/d") else "10.1.1"
    port: dict[str, Any] = {"host": host, "network": network, "address": f"{prefix}.{number}"}
    if random.random() < 0.5:
        port["port_security"] = False
    after["ports"][name] = port
    return Change(f"port {name} on {host} in {network}", after, frozenset([name]))


def _port_removed(after: Document, random: Random) -> Change | None:
    there = [name for name in _SPARE if name in after["ports"]]
    if not there:
        return None
    name = random.choice(there)
    del after["ports"][name]
    return Change(f"no port {name}", after, frozenset([name]))


def _port_moved(after: Document, random: Random) -> Change:
    name = random.choice([n for n in ("red4", "blue3", "db3", *_SPARE) if n in after["ports"]])
    port = after["ports"][name]
    port["host"] = random.choice([host for host in HOSTS if host != port["host"]])
    return Change(f"{name} moves to {port['host']}", after, frozenset([name]))


def _security(after: Document, random: Random) -> Change:
    name = random.choice([n for n in ("red2", "red4", "db2", *_SPARE) if n in after["ports"]])
    port = after["ports"][name]
    port["port_security"] = port.get("port_security") is False
    return Change(f"{name} has port_security {port['port_security']}", after)


def _limit(after: Document, random: Random) -> Change:
    name = random.choice(["red1", "red4", "db3"])
    port = after["ports"][name]
    if port.pop("storm_control", None) is None:
        port["storm_control"] = random.choice([100, 1000])
    return Change(f"{name} has storm_control {port.get('storm_control', 'none')}", after)


def _rate(after: Document, random: Random) -> Change:
    name = random.choice(["red1", "red4", "db3"])
    port = after["ports"][name]
    if port.pop("rate", None) is None:
        port["rate"] = {"send": "200M", "receive": "200M"}
    return Change(f"{name} has {'a' if 'rate' in port else 'no'} rate", after, frozenset([name]))


def _network_added(after: Document, random: Random) -> Change | None:
    owned = after["tenants"]["blue"]["networks"]
    if "spare" in owned:
        del owned["spare"]
        return Change("no network blue/spare", after)
    taken = {network["vni"] for network in _networks(after).values()}
    owned["spare"] = {"vni": random.choice([v for v in range(6000, 6100) if v not in taken])}
    return Change("network blue/spare", after)


def _renamed(after: Document, random: Random) -> Change:
    """A network has another name, and so it is called wherever it is named."""
    networks = after["tenants"]["red"]["networks"]
    old = next(name for name in networks if name.startswith("d"))
    new = random.choice([name for name in ("db", "data", "dbs") if name != old])
    after["tenants"]["red"]["networks"] = {new if n == old else n: value for n, value in networks.items()}
    for port in after["ports"].values():
        if port.get("network") == f"red/{old}":
            port["network"] = f"red/{new}"
        if f"red/{old}" in port.get("trunk", ()):
            port["trunk"][f"red/{new}"] = port["trunk"].pop(f"red/{old}")
    return Change(f"red/{old} is called red/{new}", after)


def _ghost(after: Document, _random: Random) -> Change:
    """A host that never connects."""
    if after["hosts"].pop(GHOST, None) is None:
        after["hosts"][GHOST] = {"vtep": "192.168.4.209"}
        return Change(f"a host {GHOST} that is not there", after)
    return Change(f"no {GHOST}", after)


def _reordered(after: Document, random: Random) -> Change:
    for key in ("tenants", "hosts", "ports"):
        items = list(after[key].items())
        random.shuffle(items)
        after[key] = dict(items)
    sections = list(after.items())
    random.shuffle(sections)
    return Change("the file in another order", dict(sections))


_CHANGES: tuple[Callable[[Document, Random], Change | None], ...] = (
    _vni,
    _vni,
    _swapped_vnis,
    _vlan,
    _encapsulation,
    _encapsulation,
    _encapsulation_of_pair,
    _mtu,
    _mac_age,
    _dhcp,
    _bfd,
    _dscp,
    _port_added,
    _port_added,
    _port_removed,
    _port_moved,
    _security,
    _limit,
    _rate,
    _network_added,
    _renamed,
    _ghost,
    _reordered,
)
