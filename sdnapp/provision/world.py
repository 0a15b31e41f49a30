"""State of a host as frozen values, of the same types for desired and actual state.

A *thing* is what a plan creates, changes or deletes: a bridge, an OVS port, a namespace, a workload. It has a
kind, a name that is unique within the kind, and an owner: the host of the configuration that made it, None
where others did. This module knows nothing of OVSDB, netlink or the configuration.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import ClassVar

Pairs = tuple[tuple[str, str], ...]
"""A map of OVSDB (options, external_ids, …) that can be compared and hashed: sorted by key."""


def pairs(mapping: Mapping[str, str]) -> Pairs:
    """``mapping`` as ``Pairs``."""
    return tuple(sorted(mapping.items()))


@dataclass(frozen=True, slots=True, order=True)
class Route:
    """A route of the main or another table through one device; numbers as rtnetlink(7) has them."""

    destination: str
    """Such as ``10.0.0.0/8``; the default route is ``0.0.0.0/0`` or ``::/0``."""
    gateway: str | None
    source: str | None
    table: int
    metric: int
    scope: int
    protocol: int
    onlink: bool

    def __str__(self) -> str:
        """Say what ``ip route`` would, less the device."""
        destination = "default" if self.destination.endswith("/0") else self.destination
        return destination + (f" via {self.gateway}" if self.gateway else "")


@dataclass(frozen=True, slots=True)
class Uplink:
    """What a bridge took over from its uplink: the addresses and routes that the host had there.

    It is recorded in OVSDB with the bridge, before anything moves: a run that is killed half-way can be
    finished or undone, and a restarted ovs-vswitchd, which makes the bridge's device anew, loses nothing.
    """

    device: str
    addresses: tuple[str, ...]
    """The first of a subnet is the source address of the host."""
    routes: frozenset[Route]
    broadcast: frozenset[str] = frozenset()
    """Of ``addresses`` those with the broadcast address of their subnet (ip-address(8): ``brd +``)."""

    def to_external_ids(self) -> dict[str, str]:
        """Return the record as stored in OVSDB."""
        broadcast = {"sdnapp-broadcast": " ".join(sorted(self.broadcast))} if self.broadcast else {}
        return broadcast | {
            "sdnapp-uplink": self.device,
            "sdnapp-addresses": " ".join(self.addresses),
            "sdnapp-routes": json.dumps([asdict(route) for route in sorted(self.routes, key=repr)]),
        }

    def to_text(self) -> str:
        """Return the record as one value."""
        return json.dumps(self.to_external_ids())

    @classmethod
    def from_text(cls, text: str) -> Uplink | None:
        """Read such a value; None where it is not ours to read."""
        try:
            return cls.from_external_ids(json.loads(text))
        except ValueError:
            return None

    @classmethod
    def from_external_ids(cls, ids: Mapping[str, str]) -> Uplink | None:
        """Read the record back; None where there is none or it is not ours to read."""
        try:
            routes = frozenset(Route(**route) for route in json.loads(ids["sdnapp-routes"]))
            addresses = tuple(ids["sdnapp-addresses"].split())
            broadcast = frozenset(ids.get("sdnapp-broadcast", "").split())
            return cls(ids["sdnapp-uplink"], addresses, routes, broadcast)
        except (KeyError, TypeError, ValueError):
            return None


@dataclass(frozen=True, slots=True)
class Controller:
    """A row of OVSDB's Controller table. Times in milliseconds."""

    target: str
    connection_mode: str | None = "out-of-band"
    max_backoff: int | None = 1000
    inactivity_probe: int | None = 5000

    def __str__(self) -> str:
        return self.target


@dataclass(frozen=True, slots=True)
class Bridge:
    """A bridge with its own port. ``other_config`` holds the keys that are ours to set, and no other."""

    kind: ClassVar[str] = "bridge"
    name: str
    owner: str | None
    datapath_type: str
    fail_mode: str | None
    protocols: frozenset[str] = frozenset()
    other_config: Pairs = ()
    controllers: tuple[Controller, ...] = ()
    mtu: int | None = None
    """What is requested of the bridge's own device."""
    uplink: Uplink | None = None

    @property
    def place(self) -> str:
        """Where it is, in words that follow its name."""
        return ""

    def __str__(self) -> str:
        targets = [f"controller {controller}" for controller in self.controllers]
        uplink = [f"uplink {self.uplink.device}"] if self.uplink else []
        return ", ".join([f"{self.datapath_type}, {self.fail_mode}", *targets, *uplink])


@dataclass(frozen=True, slots=True)
class Port:
    """An OVS port with its one interface. ``external_ids`` are the interface's, those that are ours."""

    kind: ClassVar[str] = "port"
    name: str
    owner: str | None
    bridge: str
    type: str = ""
    options: Pairs = ()
    tag: int | None = None
    trunks: tuple[int, ...] = ()
    vlan_mode: str | None = None
    ofport: int | None = None
    """The OpenFlow port number that is requested."""
    external_ids: Pairs = ()
    bfd: Pairs = ()
    """Those settings of BFD that are ours."""
    number: int | None = field(default=None, compare=False)
    """The OpenFlow port number that it has."""

    @property
    def place(self) -> str:
        """Where it is, in words that follow its name."""
        return f" on {self.bridge}"

    def __str__(self) -> str:
        remote = dict(self.options).get("remote_ip")
        words = [f"{self.type} to {remote}" if remote else ""]
        words.append("" if self.tag is None else f"tag {self.tag}")
        words.append(f"trunks {', '.join(map(str, self.trunks))}" if self.trunks else "")
        return ", ".join(filter(None, words))


@dataclass(frozen=True, slots=True)
class Namespace:
    """A network namespace. It is not removed while ``unmanaged_devices`` are in it: those made by others."""

    kind: ClassVar[str] = "namespace"
    name: str
    owner: str | None
    complete: bool = True
    """Not just the name of one, left by a run that was killed."""
    unmanaged_devices: frozenset[str] = field(default=frozenset(), compare=False)

    @property
    def place(self) -> str:
        """Where it is, in words that follow its name."""
        return ""

    def __str__(self) -> str:
        return ""


@dataclass(frozen=True, slots=True)
class Workload:
    """A veth: ``name`` is its end on the host, ``device`` the one in ``namespace``, with the addresses."""

    kind: ClassVar[str] = "workload"
    name: str
    owner: str | None
    namespace: str
    """Empty where the other end is in no namespace that has a name: it was moved, or lost the name."""
    device: str
    mac: str
    mtu: int
    addresses: frozenset[str]
    vlans: tuple[tuple[int, frozenset[str]], ...]
    """Tag and addresses of each VLAN device on ``device``, sorted by tag."""
    datapath: str
    """The type of datapath that its ends are prepared for, or ``neither``.

    ``netdev``: what the workload sends has its checksums computed, rather than left to hardware that there is
    not, and what arrives at the host's end is for Open vSwitch alone.
    """
    ready: bool = True
    """Both ends up, ``lo`` up, no less MTU and no IPv6 of the host's own on its end."""

    @property
    def place(self) -> str:
        """Where it is, in words that follow its name."""
        return f" in namespace {self.namespace}" if self.namespace else " in no namespace"

    def __str__(self) -> str:
        addresses = sorted(self.addresses.union(*(of_tag for _, of_tag in self.vlans)))
        return ", ".join([self.device, self.mac, *addresses, f"MTU {self.mtu}"])


@dataclass(frozen=True, slots=True)
class Tls:
    """What Open vSwitch as a whole uses for ``ssl:``: one set of files (ovs-vswitchd.conf.db(5), SSL)."""

    kind: ClassVar[str] = "TLS"
    owner: str | None
    key: str
    certificate: str
    ca: str
    name: str = "files"

    @property
    def place(self) -> str:
        """Where it is, in words that follow its name."""
        return ""

    def __str__(self) -> str:
        return f"{self.key}, {self.certificate}, {self.ca}"


Thing = Bridge | Port | Namespace | Workload | Tls


@dataclass(frozen=True, slots=True)
class Device:
    """A device of the host itself, with its configured addresses and routes, not learned ones."""

    name: str
    mac: str
    mtu: int
    up: bool
    stack_blocked: bool = False
    """Whether received frames are hidden from the host's own stack."""
    addresses: tuple[str, ...] = ()
    routes: frozenset[Route] = frozenset()
    broadcast: frozenset[str] = frozenset()
    """Of ``addresses`` those with a broadcast address."""
    index: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class World:
    """State of a host, of all owners."""

    kernel_datapath: bool
    """Whether this kernel has Open vSwitch's datapath."""
    bridges: Mapping[str, Bridge]
    ports: Mapping[str, Port]
    namespaces: Mapping[str, Namespace]
    workloads: Mapping[str, Workload]
    """Only those that are ours."""
    devices: Mapping[str, Device]
    records: Mapping[str, Uplink] = field(default_factory=dict)
    """Addresses and routes taken over by the bridge of each owner, also if the bridge is gone."""
    stale: frozenset[str] = frozenset()
    """Ports and bridges of which Open vSwitch has a device open that is gone."""
    tls: Tls | None = None

    def taken_over(self, bridge: Bridge) -> Uplink | None:
        """What ``bridge`` has of its uplink's: what was recorded, or what has become of it since.

        The record counts until all has been moved, which the uplink shows by being handed over, and again
        when the bridge's device was made anew or is down, where the kernel keeps no route and no IPv6
        address; in between, a change of the device's addresses or routes is taken as meant.
        """
        record, there = bridge.uplink, self.devices.get(bridge.name)
        uplink = self.devices.get(record.device) if record else None
        if not (record and there and there.up and uplink and uplink.stack_blocked):
            return record
        if set(record.addresses) & set(there.addresses):
            now = there.addresses, there.routes, there.broadcast
            return Uplink(record.device, *now)
        return record

    def things(self) -> Iterable[Thing]:
        """Every thing, of every owner, sorted by kind and name."""
        for of_kind in (self.bridges, self.ports, self.namespaces, self.workloads):
            yield from (of_kind[name] for name in sorted(of_kind))
        if self.tls is not None:
            yield self.tls
