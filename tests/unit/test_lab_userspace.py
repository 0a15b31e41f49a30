"""Labs use the userspace datapath unless the file asks for another, whatever the kernel has."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from sdnapp.config_file import load
from sdnapp.net.model import DatapathKind
from sdnapp.provision.converge import Goal
from sdnapp.provision.world import Bridge, Device, World

OVERLAY = load(Path(__file__).parents[2] / "configs" / "two-hosts.yaml")


@pytest.mark.parametrize(
    ("asked", "userspace", "kind"),
    [
        ("auto", True, "netdev"),
        ("auto", False, "system"),
        ("system", True, "system"),
        ("netdev", False, "netdev"),
    ],
)
def test_the_lab_decides_only_what_the_file_leaves_open(
    asked: DatapathKind, userspace: bool, kind: str
) -> None:
    goal = Goal("host1", replace(OVERLAY, datapath=asked), userspace=userspace)
    uplink = Device("eth0", "02:00:00:00:00:01", 1500, up=True, addresses=("192.168.4.201/24",))
    world = World(True, {}, {}, {}, {}, {"eth0": uplink})

    bridges = {thing.name: thing for thing in goal.wanted(world).things if isinstance(thing, Bridge)}

    assert bridges["br-int"].datapath_type == kind
