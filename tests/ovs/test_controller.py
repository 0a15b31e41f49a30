"""``osken-manager sdnapp.overlay``, started as users start it, against real bridges on dummy devices."""

from __future__ import annotations

import json
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from flows.compile import compile_bridge
from sdnapp.config_file import load
from sdnapp.net.events import BridgeFound
from sdnapp.net.model import Host
from sdnapp.net.state import State
from sdnapp.net.step import step
from tests.overlays import LEARNING, numbers, view_of
from tests.ovs.controller import Controller, until
from tests.ovs.switchd import PrivateOvs, private_ovs

GUEST = "02:aa:00:00:00:01"
ADDRESSES = ("10.1.1.77", "fe80::77")


class World:
    """A controller, and the two bridges of the two hosts in one Open vSwitch."""

    def __init__(self, ovs: PrivateOvs, controller: Controller) -> None:
        self.ovs = ovs
        self.controller = controller
        self.hosts = load(controller.file).hosts

    def bridge(self, host: str) -> str:
        return f"br-{host}"

    def add_bridge(self, host: Host) -> None:
        name = self.bridge(host.name)
        command = ["add-br", name, "--", "set", "bridge", name, "fail_mode=secure", "protocols=OpenFlow13"]
        command += [f"other_config:datapath-id={host.datapath_id:016x}", "other_config:disable-in-band=true"]
        command += ["--", "set-controller", name, f"tcp:127.0.0.1:{self.controller.openflow}"]
        command += ["--", "set", "controller", name, "max_backoff=1000"]
        for interface, number in numbers(host).items():
            command += ["--", "add-port", name, interface, "--", "set", "interface", interface]
            command += ["type=dummy", f"ofport_request={number}"]
        self.ovs.vsctl(*command)

    def receive(self, interface: str, source: str) -> None:
        """A broadcast from ``source`` comes in."""
        packet = f"in_port(1),eth(src={source},dst=ff:ff:ff:ff:ff:ff),eth_type(0x88b5)"
        self.ovs.appctl("netdev-dummy/receive", interface, packet)

    def announce(self, interface: str, mac: str, *addresses: str) -> None:
        """A station says what its addresses are, in ARP and in neighbour discovery."""
        for ip in addresses:
            ends = f"eth(src={mac},dst=ff:ff:ff:ff:ff:ff)"
            said = f"eth_type(0x0806),arp(sip={ip},tip={ip},op=1,sha={mac},tha=00:00:00:00:00:00)"
            if ":" in ip:
                packet = f"ipv6(src={ip},dst=ff02::1,label=0,proto=58,tclass=0,hlimit=255,frag=no)"
                said = f"eth_type(0x86dd),{packet},icmpv6(type=136,code=0),nd(target={ip},tll={mac})"
            self.ovs.appctl("netdev-dummy/receive", interface, f"in_port(1),{ends},{said}")

    def flows_about(self, host: str, mac: str) -> list[str]:
        return [flow for flow in self.ovs.flows(self.bridge(host)) if mac in flow]

    def holds_its_program(self, host: str) -> bool:
        """Whether a bridge has all that follows from the file, and nothing that was learned."""
        state = State.of(load(self.controller.file))
        for each in self.hosts.values():
            state = step(state, BridgeFound(each.name, numbers(each)))
        cookies = {f"{cookie:x}" for _, cookie in compile_bridge(view_of(state, host)).flows}
        return (
            set(re.findall(r"cookie=0x([0-9a-f]+)", " ".join(self.ovs.flows(self.bridge(host))))) == cookies
        )

    def durations(self, host: str) -> list[float]:
        dump = self.ovs.ofctl("dump-flows", self.bridge(host))
        return [float(seconds) for seconds in re.findall(r"duration=([\d.]+)s", dump)]


@pytest.fixture(scope="module", params=["eventlet", "native"])
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    directory = tmp_path_factory.mktemp("controller")
    controller = Controller(directory, request.param, LEARNING)
    try:
        controller.start()
        with private_ovs(directory) as ovs:
            world = World(ovs, controller)
            for host in world.hosts.values():
                world.add_bridge(host)
            until(controller.in_sync)
            yield world
    finally:
        if controller.process is not None:
            controller.end(signal.SIGKILL)


def test_each_bridge_holds_exactly_its_program(world: World) -> None:
    for name in world.hosts:
        assert world.holds_its_program(name)
        assert "rate=10000" in world.ovs.ofctl("dump-meters", world.bridge(name))


def test_a_source_is_learned_everywhere_moves_at_once_and_leaves_with_its_port(world: World) -> None:
    world.receive("red1", GUEST)
    until(lambda: len(world.flows_about("host1", GUEST)) == 2 and world.flows_about("host2", GUEST))
    assert "idle_timeout=300, send_flow_rem" in " ".join(world.flows_about("host1", GUEST))

    world.receive("red2", GUEST)
    until(lambda: len(world.flows_about("host2", GUEST)) == 2 and len(world.flows_about("host1", GUEST)) == 1)

    world.ovs.vsctl("del-port", "red2")
    until(lambda: not world.flows_about("host2", GUEST) and not world.flows_about("host1", GUEST))
    port = world.hosts["host2"].ports[-1]
    assert port.interface == "red2"
    command = ["add-port", "br-host2", "red2", "--", "set", "interface", "red2", "type=dummy"]
    world.ovs.vsctl(*command, f"ofport_request={port.ofport}")
    until(world.controller.in_sync)


def test_a_port_keeps_its_flows_while_it_is_away_unless_somebody_else_has_its_number(world: World) -> None:
    until(world.controller.in_sync)
    before, programmed = world.ovs.flows("br-host1"), world.controller.events("bridge.programmed")
    (number,) = [port.ofport for port in world.hosts["host1"].ports if port.interface == "red1"]

    def plug(interface: str, *columns: str) -> None:
        world.ovs.vsctl("add-port", "br-host1", interface, "--", "set", "interface", interface, *columns)
        until(lambda: world.ovs.vsctl("get", "interface", interface, "ofport").strip() not in {"[]", "-1"})

    world.ovs.vsctl("del-port", "red1")
    plug("tap0", "type=dummy")
    until(lambda: world.controller.events("port=tap0"))
    assert (world.ovs.flows("br-host1"), world.controller.events("bridge.programmed")) == (before, programmed)

    world.ovs.vsctl("del-port", "tap0")
    plug("tap0", "type=dummy", f"ofport_request={number}")
    until(lambda: not any(str(number) in flow for flow in world.ovs.flows("br-host1")))

    world.ovs.vsctl("del-port", "tap0")
    plug("red1", "type=dummy", f"ofport_request={number}")
    until(lambda: world.ovs.flows("br-host1") == before)


def test_silence_makes_a_source_forgotten_everywhere(world: World) -> None:
    world.controller.write(LEARNING.replace("gre}", "gre, mac_age: 1}"))
    until(lambda: world.controller.events("config.loaded"))
    world.announce("red1", GUEST, *ADDRESSES)
    until(lambda: all(world.flows_about("host2", ip) for ip in ADDRESSES))

    until(lambda: not world.flows_about("host1", GUEST) and not world.flows_about("host2", GUEST))

    loaded = world.controller.events("config.loaded")
    world.controller.write(LEARNING)
    until(lambda: world.controller.events("config.loaded") > loaded)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_controller_that_comes_back_sends_nothing(world: World, number: signal.Signals) -> None:
    """Not even for what was learned: the bridges remember it."""
    world.announce("red1", GUEST, *ADDRESSES)
    until(lambda: all(world.flows_about(host, ip) for host in world.hosts for ip in ADDRESSES))
    until(world.controller.in_sync)
    before = {host: world.ovs.flows(world.bridge(host)) for host in world.hosts}
    programmed = world.controller.events("bridge.programmed")

    code = world.controller.end(number)
    assert {host: world.ovs.flows(world.bridge(host)) for host in world.hosts} == before
    stopped_at = time.monotonic()
    world.controller.start()
    until(world.controller.in_sync, seconds=20)

    assert code == (0 if number == signal.SIGTERM else -signal.SIGKILL)
    assert {host: world.ovs.flows(world.bridge(host)) for host in world.hosts} == before
    assert world.controller.events("bridge.programmed") == programmed
    assert min(world.durations("host1") + world.durations("host2")) >= time.monotonic() - stopped_at - 0.1


def test_an_unknown_bridge_is_listed_and_left_empty(world: World) -> None:
    target = f"tcp:127.0.0.1:{world.controller.openflow}"
    stranger = ["add-br", "stranger", "--", "set", "bridge", "stranger", "protocols=OpenFlow13"]
    identity = "other_config:datapath-id=000000000000beef"
    world.ovs.vsctl(*stranger, "fail_mode=secure", identity, "--", "set-controller", "stranger", target)

    until(lambda: 0xBEEF in world.controller.get("/stats/switches"))

    assert world.ovs.flows("stranger") == []
    assert world.controller.events("bridge.unknown") >= 1
    world.ovs.vsctl("del-br", "stranger")
    until(lambda: 0xBEEF not in world.controller.get("/stats/switches"))


def test_a_broken_file_is_told_and_changes_nothing(world: World) -> None:
    before = world.ovs.flows("br-host1")

    world.controller.write(LEARNING.replace("vni: 5010", "vni: 50100000000"))
    until(lambda: world.controller.get("/v1/status")["config_error"])

    assert world.ovs.flows("br-host1") == before
    assert "vni" in world.controller.get("/v1/status")["config_error"]
    world.controller.write(LEARNING)
    until(lambda: world.controller.get("/v1/status")["config_error"] is None)


def test_a_setting_that_is_read_at_the_start_alone_is_an_alarm_until_it_is_as_it_was(world: World) -> None:
    text = world.controller.file.read_text(encoding="utf-8")
    new = world.controller.file.with_suffix(".other")
    new.write_text(text.replace(world.controller.rest, "http://127.0.0.1:9"), encoding="utf-8")
    new.rename(world.controller.file)
    until(lambda: world.controller.get("/v1/alarms"))

    (alarm,) = world.controller.get("/v1/alarms")
    assert alarm["kind"] == "restart-required"
    assert alarm["text"] == "the file has another controller.rest: restart the controller for it"
    assert world.controller.events("config.needs_restart") == 1
    world.controller.write(LEARNING)
    until(lambda: not world.controller.get("/v1/alarms"))


def test_hangup_reads_the_file_again(world: World) -> None:
    loaded = world.controller.events("config.loaded")
    assert world.controller.process is not None

    world.controller.process.send_signal(signal.SIGHUP)

    until(lambda: world.controller.events("config.loaded") > loaded)


def test_many_hangups_at_once_are_few_readings(world: World) -> None:
    loaded = world.controller.events("config.loaded")
    assert world.controller.process is not None

    for _ in range(300):
        world.controller.process.send_signal(signal.SIGHUP)

    until(lambda: world.controller.events("config.loaded") > loaded)
    time.sleep(0.5)
    assert world.controller.events("config.loaded") - loaded < 100


def test_a_switch_that_restarts_gets_everything_back(world: World) -> None:
    """But for what was learned: nobody knows that any more, nor has any use for the flows that go with it."""
    before = set(world.ovs.flows("br-host1"))

    world.ovs.kill_vswitchd()
    world.ovs.start_vswitchd()

    socket_file = world.ovs.directory / "br-host1.mgmt"
    until(lambda: socket_file.exists() and world.holds_its_program("host1"), seconds=20)
    assert set(world.ovs.flows("br-host1")) <= before


@pytest.mark.parametrize(
    "deed",
    [
        pytest.param(["del-flows"], id="deletes everything"),
        pytest.param(["del-flows", "table=60"], id="deletes a table"),
        pytest.param(["add-flow", "table=3,priority=7,actions=drop"], id="adds a flow"),
        pytest.param(["add-flow", "table=60,priority=0,actions=drop"], id="replaces a flow"),
        pytest.param(["mod-flows", "table=60,actions=drop"], id="alters actions, cookies stay"),
    ],
)
def test_what_somebody_else_does_is_healed_within_a_second_and_told(world: World, deed: list[str]) -> None:
    before = world.ovs.flows("br-host1")
    told = world.controller.events("bridge.drift")

    world.ovs.ofctl(deed[0], "br-host1", *deed[1:])

    until(lambda: world.controller.events("bridge.drift") > told, seconds=1)
    until(lambda: world.ovs.flows("br-host1") == before, seconds=1)


@pytest.mark.parametrize(
    "deed",
    [
        pytest.param(["add-group", "group_id=7,type=all,bucket=output:1"], id="adds a group"),
        pytest.param(["add-meter", "meter=7,kbps,band=type=drop,rate=1"], id="adds a meter"),
        pytest.param(["mod-meter", "meter=controller,kbps,band=type=drop,rate=1"], id="alters a meter"),
        pytest.param(["del-meters"], id="deletes all meters"),
    ],
)
def test_meters_and_groups_of_somebody_else_are_healed_too(world: World, deed: list[str]) -> None:
    def there() -> list[str]:
        dumps = [world.ovs.ofctl(f"dump-{what}", "br-host1") for what in ("meters", "groups")]
        return [re.sub(r" \(xid=\w+\)", "", dump) for dump in (*dumps, *world.ovs.flows("br-host1"))]

    before, told = there(), world.controller.events("bridge.drift")

    world.ovs.ofctl(deed[0], "br-host1", *deed[1:])

    until(lambda: world.controller.events("bridge.drift") > told, seconds=1)
    until(lambda: there() == before, seconds=1)


def test_a_thousand_changes_by_somebody_else_are_not_as_many_readings(world: World, tmp_path: Path) -> None:
    before, read = world.ovs.flows("br-host1"), world.controller.events("bridge.read")
    others = tmp_path / "others"
    others.write_text("".join(f"table=3,priority=7,metadata={n},actions=drop\n" for n in range(1000)))

    world.ovs.ofctl("add-flows", "br-host1", str(others))

    until(lambda: world.ovs.flows("br-host1") == before, seconds=5)
    assert world.controller.events("bridge.read") - read < 200


def test_its_own_deeds_are_no_drift(world: World) -> None:
    told = world.controller.events("bridge.drift")

    world.receive("red1", "02:aa:00:00:00:77")
    until(lambda: world.flows_about("host2", "02:aa:00:00:00:77"))
    until(world.controller.in_sync)

    assert world.controller.events("bridge.drift") == told


def test_it_rests_when_nothing_happens(world: World) -> None:
    assert world.controller.process is not None
    stat = Path(f"/proc/{world.controller.process.pid}")
    until(world.controller.in_sync, seconds=20)

    def ticks() -> int:
        fields = (stat / "stat").read_text().rpartition(")")[2].split()
        return int(fields[11]) + int(fields[12])

    before = ticks()
    time.sleep(2)
    assert ticks() - before <= 2
    resident = re.search(r"VmRSS:\s+(\d+) kB", (stat / "status").read_text())
    assert resident is not None
    assert int(resident[1]) < 80 * 1024


def test_log_lines_are_json_objects_when_asked_for(world: World, tmp_path: Path) -> None:
    controller = Controller(tmp_path, world.controller.hub, LEARNING)
    controller.start("--log-format", "json", "--pid-file", str(tmp_path / "pid"))
    until(lambda: (tmp_path / "pid").exists() and controller.log.read_text())
    assert controller.process is not None
    assert (tmp_path / "pid").read_text().strip() == str(controller.process.pid)
    assert controller.end(signal.SIGTERM) == 0

    lines = [json.loads(line) for line in controller.log.read_text().splitlines()]

    assert lines[0]["event"] == "config.file"
    assert lines[0]["path"] == str(controller.file)
    assert lines[1]["event"] == "controller.listening"
    assert lines[1]["bridges"] == f"127.0.0.1:{controller.openflow}"
    assert lines[-1]["event"] == "controller.stopped"
    assert not (tmp_path / "pid").exists()


def test_what_keeps_it_from_starting_is_said_in_a_line(world: World, tmp_path: Path) -> None:
    def start(controller: Controller) -> tuple[int, str]:
        controller.start()
        assert controller.process is not None
        code = controller.process.wait(60)
        return code, controller.log.read_text().splitlines()[-1]

    taken = Controller(tmp_path, world.controller.hub, LEARNING)
    taken.openflow = world.controller.openflow
    taken.write(LEARNING)
    where = f"127.0.0.1 port {taken.openflow}"
    assert start(taken) == (
        2,
        f"osken-manager: cannot listen for bridges on {where}: Address already in use. "
        "controller.listen of the file says where",
    )
    taken.write("tenants: []")
    code, line = start(taken)
    assert code == 2
    assert str(taken.file) in line
