"""Hosts as values, for tests of what is provisioned: what they have, what they should have, the way there."""

from __future__ import annotations

from dataclasses import replace

from sdnapp.config.devices import PHYSICAL_BRIDGE
from sdnapp.provision.desired import Wanted, desire
from sdnapp.provision.plan import Plan
from sdnapp.provision.world import (
    Bridge,
    Device,
    Namespace,
    Port,
    Route,
    Thing,
    Tls,
    Workload,
    World,
)
from tests.overlays import TWO_HOSTS, overlay

DEFAULT_ROUTE = Route("0.0.0.0/0", "192.168.4.1", None, 254, 0, 0, 3, onlink=False)
ETH0 = Device(
    "eth0", "02:00:00:00:00:99", 1500, True, False, ("192.168.4.201/24",), frozenset({DEFAULT_ROUTE})
)


def world(*things: Thing, devices: tuple[Device, ...] = (ETH0,), kernel_datapath: bool = False) -> World:
    """A host that has these things."""

    def of(kind: type[Thing]) -> dict[str, Thing]:
        return {thing.name: thing for thing in things if isinstance(thing, kind)}

    return World(
        kernel_datapath=kernel_datapath,
        bridges=of(Bridge),  # type: ignore[arg-type]
        ports=of(Port),  # type: ignore[arg-type]
        namespaces=of(Namespace),  # type: ignore[arg-type]
        workloads=of(Workload),  # type: ignore[arg-type]
        devices={device.name: device for device in devices},
        tls=next((thing for thing in things if isinstance(thing, Tls)), None),
    )


def wanted(host: World, *, text: str = TWO_HOSTS, tls_fault: str | None = None) -> Wanted:
    """What ``host1`` of the file should have there."""
    meaning = overlay(text)
    return desire(meaning, meaning.hosts["host1"], meaning.controller.target, host, tls_fault=tls_fault)


def after(host: World, want: Wanted) -> World:
    """The host once it has all that is wanted, its addresses on br-phy."""
    bridge = next((t for t in want.things if isinstance(t, Bridge) and t.uplink), None)
    if bridge is None or bridge.uplink is None:
        return world(*want.things, devices=tuple(host.devices.values()))
    uplink = replace(host.devices[bridge.uplink.device], addresses=(), routes=frozenset(), stack_blocked=True)
    had = bridge.uplink
    moved = Device(PHYSICAL_BRIDGE, uplink.mac, 1500, True, False, had.addresses, had.routes, had.broadcast)
    return world(*want.things, devices=(uplink, moved))


def lines(plan: Plan) -> list[str]:
    """The plan, as it is printed."""
    return [str(step) for step in (*plan.steps, *plan.ends)]


def found(want: Wanted, kind: type[Thing], name: str) -> Thing:
    """A thing that is wanted."""
    (thing,) = (thing for thing in want.things if isinstance(thing, kind) and thing.name == name)
    return thing
