"""Real OVS takes every program, ends up with exactly it, and sends frames where our own walk says."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flows.compile import compile_bridge
from flows.diff import diff
from flows.flow import EMPTY, Program
from flows.match import VLAN, Header
from flows.trace import Frame, trace
from flows.view import BridgeView
from tests.ovs.client import Client
from tests.ovs.switchd import PrivateOvs, private_ovs
from tests.views import (
    ABOUT,
    BROADCAST,
    GROUP,
    GROUP_6,
    LEAVE_6,
    LINK,
    LINK_6,
    MACS,
    PING,
    PORTS,
    QUERY,
    QUERY_6,
    RED_FAR,
    RED_MAC,
    RED_PORT,
    REPORT,
    REPORT_6,
    ROUTER,
    SIZES,
    SOLICITED,
    STREAM,
    STREAM_6,
    TUNNELS,
    VNIS,
    headers,
    two_tenants,
    views,
)

BRIDGE = "br-int"
ACTION = re.compile(r"push_vlan\(vid=\d+|set\(vlan\(vid=\d+|pop_vlan|\b\d+\b(?![^()]*\))")
OVS_NAMES = {
    "eth_type": "dl_type",
    "ip_proto": "nw_proto",
    "ipv4_src": "nw_src",
    "ipv4_dst": "nw_dst",
}
OTHERS = 0x88B5
"""An ethertype for experiments (IEEE 802)."""
GROUPS = {
    GROUP: (STREAM, LINK, QUERY, REPORT, ABOUT, PING),
    GROUP_6: (STREAM_6, LINK_6, QUERY_6, REPORT_6, LEAVE_6),
}

frames = st.builds(
    Frame,
    in_port=st.sampled_from(PORTS + TUNNELS),
    eth_src=st.sampled_from(MACS),
    eth_dst=st.sampled_from([*MACS, BROADCAST, SOLICITED, "02:99:00:00:00:01"]),
    vlans=st.lists(st.integers(1, 9), max_size=2).map(tuple),
    key=st.sampled_from([0, *VNIS]),
    header=headers,
    size=st.sampled_from([64, *SIZES, 1465]),
)
to_groups = st.sampled_from([(mac, header) for mac, headers in GROUPS.items() for header in headers]).flatmap(
    lambda to: st.builds(
        Frame,
        in_port=st.sampled_from(PORTS + TUNNELS),
        eth_src=st.sampled_from([*MACS, ROUTER]),
        eth_dst=st.just(to[0]),
        vlans=st.lists(st.integers(1, 9), max_size=1).map(tuple),
        key=st.sampled_from([0, *VNIS]),
        header=st.just(to[1]),
    )
)


class Bench:
    """A bridge with a dummy device for every port number, and the program that it holds."""

    def __init__(self, ovs: PrivateOvs) -> None:
        self.ovs = ovs
        ports = [f"p{number}" for number in PORTS + TUNNELS]
        command = ["add-br", BRIDGE, "--", "set", "bridge", BRIDGE, "fail_mode=secure"]
        for number, name in zip(PORTS + TUNNELS, ports, strict=True):
            command += ["--", "add-port", BRIDGE, name, "--", "set", "interface", name]
            command += ["type=dummy", f"ofport_request={number}"]
        ovs.vsctl(*command, "--", "set", "bridge", BRIDGE, "protocols=OpenFlow13")
        self.client = Client(ovs.directory / f"{BRIDGE}.mgmt")
        self.program = EMPTY
        shown = re.findall(r"p\d+ (\d+)/(\d+):", ovs.appctl("dpif/show"))
        self.numbers = {int(datapath): int(openflow) for openflow, datapath in shown}

    def load(self, program: Program) -> None:
        plan = diff(self.program.flows.keys(), self.program.meters.values(), program)
        assert self.client.apply(plan, self.program.meters) == []
        held = {**self.program.meters, **program.meters}
        assert self.client.apply(diff(program.flows.keys(), held.values(), program), held) == []
        self.program = program

    def installed(self) -> set[tuple[int, int]]:
        found = set()
        for line in self.ovs.flows(BRIDGE):
            cookie, table = re.search(r"cookie=(0x[0-9a-f]+)", line), re.search(r"table=(\d+)", line)
            assert cookie is not None
            found.add((int(table[1]) if table else 0, int(cookie[1], 16)))
        return found

    def copies(self, frame: Frame) -> set[tuple[int, tuple[int, ...]]]:
        """(port, tags) of every copy, read out of the datapath actions that OVS arrives at."""
        text = f"in_port={frame.in_port},dl_src={frame.eth_src},dl_dst={frame.eth_dst}"
        header = frame.header if frame.header.eth_type else Header(OTHERS)
        header = header if len(frame.vlans) < 2 else Header(VLAN)
        text += "".join(f",{OVS_NAMES.get(name, name)}={value}" for name, value in header.said())
        text += f",dl_vlan={frame.vlans[0]},dl_vlan_pcp=0" if frame.vlans else ""
        text += f",tun_id={frame.key}" if frame.key else ""
        traced = self.ovs.appctl("ofproto/trace", BRIDGE, text)
        actions = re.search(r"Datapath actions: (.*)", traced)
        assert actions is not None, traced
        return set(self._copies(chosen(actions[1], frame.size), list(frame.vlans)))

    def _copies(self, actions: str, vlans: list[int]) -> Iterator[tuple[int, tuple[int, ...]]]:
        actions = re.sub(r"sample\(sample=100.0%,actions\(meter.*?\)\)\)", "punt", actions)
        actions = re.sub(r"clone\(meter\(\d+\),(\d+)\)", r"\1", actions)
        for action in re.findall(
            r"push_vlan\(vid=\d+|set\(vlan\(vid=\d+|pop_vlan|\b\d+\b(?![^()]*\))", actions
        ):
            if action == "pop_vlan":
                del vlans[0]
            elif action.isdigit():
                yield self.numbers[int(action)], tuple(vlans)
            else:
                vlans[: action.startswith("set")] = [int(action.rpartition("=")[2])]


def chosen(actions: str, size: int) -> str:
    """What is done with a frame of so many bytes: each check of the size leaves one of its branches."""
    while found := re.search(r"check_pkt_len\(size=(\d+),", actions):
        larger, at = _bracketed(actions, found.end() + len("gt"))
        fits, end = _bracketed(actions, at + len(",le"))
        branch = larger if size > int(found[1]) else fits
        actions = actions[: found.start()] + branch + actions[end + 1 :]
    return actions


def _bracketed(text: str, start: int) -> tuple[str, int]:
    """What is between the bracket at ``start`` and its fellow, and the place behind that."""
    depth = 0
    for at in range(start, len(text)):
        depth += {"(": 1, ")": -1}.get(text[at], 0)
        if not depth:
            return text[start + 1 : at], at + 1
    raise ValueError(text)


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with private_ovs(Path(tmp_path_factory.mktemp("ovs"))) as ovs:
        bench = Bench(ovs)
        yield bench
        bench.client.close()


@given(views(), st.lists(frames | to_groups, min_size=6, max_size=6))
@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
def test_ovs_takes_any_program_and_agrees_where_frames_go(
    bench: Bench, view: BridgeView, sent: list[Frame]
) -> None:
    program = compile_bridge(view)

    bench.load(program)

    assert bench.installed() == set(program.flows)
    for frame in sent:
        walked = {(copy.port, copy.vlans) for copy in trace(program, frame).copies}
        assert bench.copies(frame) == walked, frame


def test_the_mapping_of_tags_costs_the_fast_path_nothing(bench: Bench) -> None:
    """Push and pop cancel out: what the datapath does with a frame between access ports is one output."""
    bench.load(compile_bridge(two_tenants()))

    frame = f"in_port={RED_PORT},dl_src={RED_MAC},dl_dst={RED_FAR},dl_type=0x0800,nw_proto=6"
    traced = bench.ovs.appctl("ofproto/trace", BRIDGE, frame)

    assert "push_vlan" in traced
    assert re.search(r"Datapath actions: \d+$", traced.strip())
