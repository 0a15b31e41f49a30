"""Victims: network stacks in the namespaces of ports, set to be gullible, and what they take to be true."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from typing import Any

from tests.attack.ground import ATTACKERS, Ground
from tests.attack.oracle import Belief
from tests.netns.conftest import run

_GULLIBLE = (
    "net.ipv4.conf.eth0.arp_accept=1",
    "net.ipv4.neigh.eth0.locktime=0",
    "net.ipv6.conf.eth0.accept_ra=2",
    "net.ipv6.conf.eth0.accept_ra_rt_info_max_plen=64",
    "net.ipv6.conf.eth0.suppress_frag_ndisc=0",
    "net.ipv6.conf.eth0.accept_untracked_na=1",
)
"""Unsolicited ARP and advertisements make entries and change them at once; router advertisements count, and
so do fragments of neighbour discovery (Documentation/networking/ip-sysctl.rst of Linux).
"""
_LOOK = """
ip -j neigh show dev eth0; echo ,
ip -j address show dev eth0; echo ,
ip -j -4 route; echo ,
ip -j -6 route; echo ,
ip -j -6 route show cache; echo
"""
_NO_ENTRY = {"FAILED", "INCOMPLETE", "NOARP"}


def victims(ground: Ground) -> tuple[str, ...]:
    """The ports whose kernels are looked at: those that send no hostile frames."""
    return tuple(name for name in ground.stations if name not in ATTACKERS)


Enter = Mapping[str, Sequence[str]]
"""By port, the command line that runs what follows it there."""


def make_gullible(ports: Enter) -> None:
    """Let these kernels take for true what they can."""
    for enter in ports.values():
        run([*enter, "sysctl", "-qw", *_GULLIBLE])


def acquaint(ground: Ground, ports: Enter) -> None:
    """Give each kernel the right entry for every neighbour, unconfirmed, and no other."""
    for port, enter in ports.items():
        (network,) = ground.stations[port].tags
        lines = ["neigh flush dev eth0 nud all"]
        lines += [
            f"neigh replace {address} lladdr {station.mac} dev eth0 nud stale"
            for station in ground.of(network)
            for address in sorted(station.addresses[network])
            if station.port != port
        ]
        subprocess.run(
            [*enter, "ip", "-batch", "-"], input="\n".join(lines), text=True, check=True, capture_output=True
        )


def beliefs(ports: Enter) -> Mapping[str, Belief]:
    """What the kernels at these ports hold now; they are asked all at once."""
    asked = {
        port: subprocess.Popen([*enter, "sh", "-c", _LOOK], stdout=subprocess.PIPE, text=True)
        for port, enter in ports.items()
    }
    return {port: _belief(process.communicate()[0]) for port, process in asked.items()}


def _belief(said: str) -> Belief:
    parts = [json.loads(part.strip() or "[]") for part in said.split("\n,\n")]
    entries, (device,), *routes = parts
    return Belief(
        {
            entry["dst"]: entry["lladdr"]
            for entry in entries
            if "lladdr" in entry and not _NO_ENTRY & set(entry["state"])
        },
        frozenset(f"{each['local']}/{each['prefixlen']}" for each in device["addr_info"]),
        frozenset(_route(route) for of in routes[:2] for route in of)
        | frozenset(_route(route) for route in routes[2] if "gateway" in route),
    )


def _route(route: Mapping[str, Any]) -> str:
    return " ".join([route["dst"], *(f"{key} {route[key]}" for key in ("gateway", "dev") if key in route)])


def forget_routers(ports: Enter) -> None:
    """Undo what a router advertisement or a redirect left behind."""
    for enter in ports.values():
        for command in ("route flush proto ra", "route flush cache", "address flush dev eth0 dynamic"):
            run([*enter, "ip", "-6", *command.split()], check=False)
