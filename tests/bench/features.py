"""What each feature costs a packet between the same two ports, and how many flows."""

from __future__ import annotations

import json
import socket
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from pydantic import TypeAdapter

from sdnapp.config_file import load
from sdnapp.lab import lifecycle, services
from sdnapp.lab.machine import entered, inside
from sdnapp.lab.model import Lab
from sdnapp.lab.process import kill
from sdnapp.net.model import Overlay
from tests.bench import by_hand, ground, traffic
from tests.bench.figure import Effort, Figure, beside, by_turns, plain
from tests.bench.flow_count import flow_count
from tests.bench.ground import MTU, Workload

NEAR, FAR, NETWORK = "red1", "red2", "red/web"
GROUP = "239.1.2.3"

QUERY = bytes.fromhex("1101eefe 00000000")
"""Who listens to any group? To be answered within 100 ms (IGMPv2, RFC 2236 §2)."""
_ROUTER_ALERT = bytes.fromhex("94040000")

BURSTS = 10
"""Of pings, before one transfer by TCP, each time that a setting has its turn."""

REST = 0.2
"""Seconds after a change: Open vSwitch looks at all flows of its datapath anew."""

Words = Mapping[str, str]
_OVERLAY = TypeAdapter(Overlay)


@dataclass(frozen=True, slots=True)
class Setting:
    """What a file says of the overlay, of its network and of each of its ports; None: not even that."""

    name: str
    overlay: Words = field(default_factory=dict)
    network: Words = field(default_factory=dict)
    port: Mapping[str, str | None] = field(default_factory=dict)


PLAIN = Setting("nothing", network={"multicast": "flood"}, port={"port_security": "false"})
"""Nothing that can be turned off. Limits of MACs and moves are never off."""

FEATURES = (
    Setting("addresses unknown", port={"address": None}),
    Setting("port_security: true", port={"port_security": "true"}),
    Setting("roles: dhcp-server, router", port={"roles": "[dhcp-server, router]"}),
    Setting("dhcp: true", network={"dhcp": "true"}),
    Setting(
        "multicast: snoop, one group",
        network={"multicast": "snoop"},
        port={"roles": "[dhcp-server, router]"},  # with port security, a querier needs the role router
    ),
    Setting("unknown_unicast: drop", network={"unknown_unicast": "drop"}),
    Setting("storm_control", port={"storm_control": "100"}),
    Setting("rate, each way", port={"rate": "{send: 100G, receive: 100G}"}),
    Setting("attach: external", port={"attach": "external", "interface": "$name"}),
    Setting("bfd: true", overlay={"bfd": "true"}),
)
"""Each alone. All but the first, which tells what it costs to answer for others, are had together, too."""


def together(*settings: Setting, name: str) -> Setting:
    """Return what all of them say; the last one counts."""
    return Setting(
        name,
        {key: value for one in settings for key, value in one.overlay.items()},
        {key: value for one in settings for key, value in one.network.items()},
        {key: value for one in settings for key, value in one.port.items()},
    )


EVERYTHING = together(*FEATURES[1:], name="everything")


def text(setting: Setting) -> str:
    """Write the file of two hosts with a port each, as the setting has it."""
    said = together(PLAIN, setting, name=setting.name)
    overlay = {"encapsulation": "vxlan", "mtu": str(MTU), **said.overlay}
    network = {"vlan": "10", "vni": "5010", "subnet": "10.1.1.0/24", **said.network}
    lines = [
        f"overlay: {_written(overlay)}",
        'controller: {target: "tcp:192.168.4.10:6653"}',
        f"tenants: {{red: {{networks: {{web: {_written(network)}}}}}}}",
        "hosts: {host1: {vtep: 192.168.4.201}, host2: {vtep: 192.168.4.202}}",
        "ports:",
    ]
    for number, name in enumerate((NEAR, FAR), start=1):
        port = {
            **{"host": f"host{number}", "network": NETWORK},
            **{"mac": f'"02:00:00:00:00:0{number}"', "address": f"10.1.1.{number}/24"},
            **{
                key: None if value is None else value.replace("$name", name)
                for key, value in said.port.items()
            },
        }
        lines.append(f"  {name}: {_written(port)}")
    return "\n".join([*lines, ""])


def _written(words: Mapping[str, str | None]) -> str:
    return f"{{{', '.join(f'{key}: {value}' for key, value in words.items() if value is not None)}}}"


@dataclass(frozen=True, slots=True)
class Sample:
    """A turn of one setting: round-trip time in ms, and TCP in Gbit/s."""

    trip: float
    rate: float


def figures(effort: Effort) -> Iterator[Figure]:
    """Edit the file of a running lab, to and fro for each feature; all together, beside hosts by hand."""
    with ExitStack() as ends:
        file = Path(ends.enter_context(tempfile.TemporaryDirectory())) / "overlay.yaml"
        lab = ends.enter_context(ground.laboratory(file, text(Setting("as it comes up"))))
        reference = ends.enter_context(by_hand.like(lab))
        ours = Ground(lab, ends)
        flows = [ours.have(PLAIN)]
        for feature in FEATURES:
            sides = [partial(ours.sample, setting) for setting in (feature, PLAIN)]
            yield from _cost(feature, *by_turns(sides, effort.few))
            flows.append(ours.have(feature))
        flows.append(ours.have(EVERYTHING))
        yield from traffic.compared(ours.pair, reference, effort, f", {EVERYTHING.name} on")
        for setting, count in zip((PLAIN, *FEATURES, EVERYTHING), flows, strict=True):
            yield plain(f"flows on a bridge with one port: {setting.name}", [count], "", [flows[0]])


def _cost(feature: Setting, samples: list[Sample], without: list[Sample]) -> Iterator[Figure]:
    name = f"{feature.name}, beside {PLAIN.name} of the kind"
    trips = [sample.trip for sample in samples], [sample.trip for sample in without]
    yield beside(f"round-trip time, {name}", trips, "ms", less_is_better=True)
    rates = [sample.rate for sample in samples], [sample.rate for sample in without]
    yield beside(f"TCP throughput, {name}", rates, "Gbit/s")


class Ground:
    """A lab, from which the agents are gone: what is attached stays so, whatever the file says of it."""

    def __init__(self, lab: Lab, ends: ExitStack) -> None:
        kill([host.services[services.AGENT] for host in lab.hosts.values()])
        self.lab = lab
        self.pair = ground.red(lab)
        self._watched = False
        self._flows = ends.enter_context(flow_count(lab.home("host1") / "openvswitch/br-int.mgmt"))
        self._listen(ends)

    def sample(self, setting: Setting) -> Sample:
        """Have the setting in force, and measure; the first burst makes the datapath's entries."""
        self.have(setting)
        _, *trips = [traffic.round_trip(self.pair) for _ in range(1 + BURSTS)]
        return Sample(median(trips), traffic.rate(self.pair))

    def have(self, setting: Setting) -> int:
        """Have the setting in force; return how many flows the first bridge has then."""
        said = together(PLAIN, setting, name=setting.name)
        self._watch("bfd" in said.overlay)
        file = Path(self.lab.file)
        draft = file.with_suffix(".new")
        draft.write_text(text(setting))
        draft.replace(file)
        wanted = json.loads(_OVERLAY.dump_json(load(file)))
        ground.until(lambda: self._get("/v1/config") == wanted, f"'{setting.name}' is not in force")
        if said.network["multicast"] == "snoop":
            self._ask()
        ground.until(self._settled, f"'{setting.name}' does not come to rest")
        time.sleep(REST)
        for (
            machine
        ) in self.lab.hosts.values():  # an entry that matches more than it must is good enough to stay
            ground.run(inside(machine, ["ovs-appctl", "revalidator/purge"]))
        return self._flows()

    def _get(self, path: str) -> Any:
        return lifecycle.get(self.lab, path)

    def _settled(self) -> bool:
        return all(host["connected"] and host["in_sync"] for host in self._get("/v1/hosts"))

    def _watch(self, wanted: bool) -> None:
        """Do what an agent does for BFD, and wait until both ends are up."""
        if wanted == self._watched:
            return
        self._watched = wanted
        settings = [f"bfd:{key}={value}" for key, value in _bfd(wanted).items()]
        ends = [(host.name, t.interface) for host in load(self.lab.file).hosts.values() for t in host.tunnels]
        for end in ends:
            self._vsctl("set", *end, *settings)
        if wanted:
            state = partial(self._vsctl, "get")
            ground.until(
                lambda: all("up" in state(*end, "bfd_status:state") for end in ends), "BFD does not come up"
            )

    def _vsctl(self, verb: str, host: str, interface: str, *what: str) -> str:
        command = ["ovs-vsctl", "--if-exists", verb, "interface", interface, *what]
        return ground.run(inside(self.lab.hosts[host], command))

    def _listen(self, ends: ExitStack) -> None:
        """A process at the far port has joined a group."""
        far = self.pair.far
        with entered(far.machine, far.namespace):
            listener = ends.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            joined = socket.inet_aton(GROUP) + socket.inet_aton(far.address)
            listener.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, joined)

    def _ask(self) -> None:
        """Ask at the near port who listens, and wait until that is known."""
        if self._groups():
            return
        near: Workload = self.pair.near
        with entered(near.machine, near.namespace):
            querier = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_IGMP)
        with querier:
            querier.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(near.address))
            querier.setsockopt(socket.IPPROTO_IP, socket.IP_OPTIONS, _ROUTER_ALERT)
            querier.sendto(QUERY, ("224.0.0.1", 0))
        ground.until(self._groups, f"nobody is known to listen to {GROUP}")

    def _groups(self) -> bool:
        multicast = self._get(f"/v1/networks/{NETWORK}")["multicast"]
        return bool(multicast["ipv4"] == "snooping" and multicast["groups"])


def _bfd(wanted: bool) -> Mapping[str, str]:
    return {"enable": "true", "min_tx": "1000", "min_rx": "1000"} if wanted else {"enable": "false"}
