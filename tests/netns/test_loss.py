"""Nothing is lost: numbered packets run, 1,000 a second each way, while the overlay changes and things end.

Kernels and Open vSwitch may lose what they like for lack of CPU: what they say they did does not count.
"""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import pairwise
from pathlib import Path

import pytest

from flows.tables import Table
from sdnapp.lab import services
from sdnapp.lab.packet_loss import Count
from sdnapp.lab.stream import streaming
from sdnapp.provision.execute import PAUSE
from tests.netns.conftest import Running, sdnapp, until

pytestmark = pytest.mark.alone

RED = (("red1", "red2"), ("red2", "red1"))
BLUE = (("blue1", "blue2"), ("blue2", "blue1"))

QUIET, FADING = 0.7, 1.6
"""Seconds without a word from the controller after which a change is over; and one in which old ways fade."""

TEXT = """
overlay: {encapsulation: gre, mtu: 1400, mac_age: 300}
controller: {target: "tcp:192.168.4.10:6653"}
tenants:
  red:   {networks: {web: {vlan: 10, vni: 5010, subnet: 10.1.1.0/24}}}
  blue:  {networks: {web: {vlan: 10, vni: 5020, subnet: 10.1.1.0/24}}}
  green: {networks: {web: {vlan: 30, vni: 5030, subnet: 10.3.0.0/24}}}
hosts:
  host1: {vtep: 192.168.4.201}
  host2: {vtep: 192.168.4.202}
  host3: {vtep: 192.168.4.203}
ports:
  red1:   {host: host1, network: red/web,   address: 10.1.1.1/24}
  red2:   {host: host2, network: red/web,   address: 10.1.1.2/24}
  blue1:  {host: host1, network: blue/web,  address: 10.1.1.1/24}
  blue2:  {host: host2, network: blue/web,  address: 10.1.1.2/24}
  green3: {host: host3, network: green/web, address: 10.3.0.3/24}
"""


PORT_ON_HOST3 = ("ports:\n", "ports:\n  green4: {host: host3, network: green/web, address: 10.3.0.4/24}\n")

_SECTIONS = re.split(r"(?m)^(?=\w)", TEXT)
REORDERED = (TEXT, "".join(reversed(_SECTIONS)))


@pytest.fixture(scope="module")
def three(bring_up: Callable[..., Running]) -> Running:
    return bring_up(TEXT)


class Witness:
    """What a stream lost, and what the controller did meanwhile."""

    def __init__(self, running: Running) -> None:
        self.running = running
        self.log = running.lab.log(services.CONTROLLER, services.CONTROLLER)
        self._begin = self.log.stat().st_size
        self._starved = starved(running)
        self.counts: tuple[Count, ...] = ()

    @property
    def said(self) -> list[str]:
        """What the controller logged since."""
        return self.log.read_text()[self._begin :].splitlines()

    @property
    def sent(self) -> dict[str, int]:
        """By host, how many changes of flows the controller sent."""
        found: Counter[str] = Counter()
        for line in self.said:
            if match := re.search(r"bridge\.programmed host=(\w+) added=(\d+) deleted=(\d+)", line):
                found[match[1]] += int(match[2]) + int(match[3])
        return dict(found)

    def heard(self, event: str) -> int:
        """How often the controller logged this event, or one that begins so."""
        return sum(f" {event}" in line for line in self.said)

    def lost(self, *pairs: tuple[str, str]) -> int:
        """What was lost of these streams, beyond what Open vSwitch had no time to read."""
        lost = sum(c.lost for c in self.counts if (c.source, c.destination) in pairs)
        return max(0, lost - (starved(self.running) - self._starved))

    def gap(self, *pairs: tuple[str, str]) -> float:
        """The longest gap in these streams, in milliseconds; 0 if nothing was lost that counts."""
        gaps = (c.gap_ms for c in self.counts if (c.source, c.destination) in pairs)
        return max(gaps) if self.lost(*pairs) else 0.0

    def until_over(self, quiet: float = QUIET) -> None:
        """Wait until the controller has nothing more to say, and every bridge is in sync."""
        size, since = self.log.stat().st_size, time.monotonic()
        while time.monotonic() < since + quiet:
            if self.log.stat().st_size != size:
                size, since = self.log.stat().st_size, time.monotonic()
            time.sleep(0.05)
        until(self._in_sync)

    def _in_sync(self) -> bool:
        there = self.running.lab.hosts
        return all(host["in_sync"] for host in self.running.get("/v1/hosts") if host["name"] in there)


@contextmanager
def witness(running: Running, *pairs: tuple[str, str], quiet: float = QUIET) -> Iterator[Witness]:
    """Have packets run between these ports until what happens meanwhile is over."""
    running.settled()
    witness = Witness(running)
    with streaming(running.lab, pairs) as stream:
        time.sleep(0.2)
        yield witness
        witness.until_over(quiet)
    witness.counts = stream.counts()
    for line in (*witness.counts, *witness.said):
        print(line)


def starved(running: Running) -> int:
    """How many packets the kernels dropped because Open vSwitch was too slow to read them."""
    shown = (running.run(host, "ss", "-0", "-m", "-n") for host in running.lab.hosts)
    return sum(int(drops) for text in shown for drops in re.findall(r",d(\d+)\)", text))


@contextmanager
def edited(seen: Witness, *changes: tuple[str, str]) -> Iterator[None]:
    """Change the file, and in the end put back what it said; wait until the controller has read it."""
    file = Path(seen.running.lab.file)
    before = text = file.read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    read = seen.heard("config.")
    file.write_text(text)
    try:
        until(lambda: seen.heard("config.") == read + 1)
        yield
    finally:
        file.write_text(before)
    until(lambda: seen.heard("config.") == read + 2)


def ages(running: Running) -> dict[str, float]:
    """How long each flow has been there, in seconds."""
    found = {}
    for host in running.lab.hosts:
        shown = running.run(host, "ovs-ofctl", "-O", "OpenFlow14", "dump-flows", "br-int")
        for line in shown.splitlines():
            if match := re.search(r"cookie=(\w+), duration=([\d.]+)s, table=(\d+)", line):
                found[f"{host} {match[3]} {match[1]}"] = float(match[2])
    assert found
    return found


@pytest.mark.parametrize(("end", "seconds"), [("stop", 30), ("kill", 1)])
def test_a_controller_that_goes_and_comes_back(three: Running, end: str, seconds: float) -> None:
    before = ages(three)
    with witness(three, *RED, *BLUE) as seen:
        lab(three, "controller", end)
        time.sleep(seconds)
        lab(three, "controller", "start")

    assert seen.lost(*RED, *BLUE) == 0
    assert seen.sent == {}
    after = ages(three)
    assert after.keys() == before.keys()
    assert all(after[flow] >= before[flow] + seconds for flow in before)


def test_a_controller_that_finds_another_file_when_it_is_back(three: Running) -> None:
    with witness(three, *RED, *BLUE) as seen:
        lab(three, "controller", "kill")
        file = Path(three.lab.file)
        file.write_text(TEXT.replace(*PORT_ON_HOST3))
        lab(three, "controller", "start")
        seen.until_over()
        file.write_text(TEXT)
        until(lambda: seen.heard("config.loaded") == 2)

    assert seen.lost(*RED, *BLUE) == 0
    assert seen.sent.keys() == {"host3"}


def test_a_controller_that_finds_another_key_when_it_is_back(three: Running) -> None:
    """It knows what was in force, so it changes keys step by step, as if it had never been away."""
    with witness(three, *RED, *BLUE, quiet=FADING) as seen:
        lab(three, "controller", "kill")
        file = Path(three.lab.file)
        file.write_text(TEXT.replace("vni: 5010", "vni: 6010"))
        lab(three, "controller", "start")
        until(lambda: seen.heard("config.loaded") == 1)
        seen.until_over(FADING)
        file.write_text(TEXT)
        until(lambda: seen.heard("config.loaded") == 2)

    assert seen.lost(*RED, *BLUE) == 0
    assert seen.sent.keys() == {"host1", "host2"}


def test_a_controller_that_finds_a_broken_file_when_it_is_back_goes_by_the_last_good_one(
    three: Running,
) -> None:
    before = ages(three)
    with witness(three, *RED, *BLUE) as seen:
        lab(three, "controller", "kill")
        file = Path(three.lab.file)
        file.write_text(TEXT.replace("red/web,", "red/wob,", 1))
        lab(three, "controller", "start")
        seen.until_over()
        assert "red/wob" in three.get("/v1/status")["config_error"]
        file.write_text(TEXT)
        until(lambda: seen.heard("config.loaded") == 1)

    assert seen.lost(*RED, *BLUE) == 0
    assert seen.sent == {}
    assert ages(three).keys() == before.keys()


@pytest.mark.parametrize(
    ("change", "concerned"),
    [
        ([("tenants:\n", "tenants:\n  gold: {networks: {web: {vlan: 40, vni: 5040}}}\n")], set()),
        ([("tenants:\n", "tenants:\n  iron: {networks: {web: {vni: 77}, db: {vni: 78}}}\n")], set()),
        ([("  host3:", "  host4: {vtep: 192.168.4.204}\n  host3:")], set()),
        ([PORT_ON_HOST3], {"host3"}),
        ([("green:", "moss:"), ("green/web", "moss/web")], set()),
        ([("  red:", "  crimson:"), ("red/web", "crimson/web")], set()),
        ([("red:   {networks: {web:", "red:   {networks: {www:"), ("red/web", "red/www")], set()),
        ([("vni: 5030", "vni: 5031")], {"host3"}),
        ([("mac_age: 300", "mac_age: 200")], {"host1", "host2", "host3"}),
        ([REORDERED], set()),
    ],
    ids=[
        "network",
        "tenant",
        "host",
        "port",
        "tenant renamed",
        "its own tenant renamed",
        "its own network renamed",
        "vni elsewhere",
        "setting",
        "order",
    ],
)
def test_a_change_costs_nothing_where_it_changes_nothing(
    three: Running, change: list[tuple[str, str]], concerned: set[str]
) -> None:
    """It comes, and goes again."""
    with witness(three, *RED, *BLUE) as seen, edited(seen, *change):
        seen.until_over()

    assert seen.lost(*RED, *BLUE) == 0
    assert seen.sent.keys() <= concerned


@pytest.mark.parametrize(
    "change",
    [
        [("vni: 5010", "vni: 6010")],
        [("web: {vlan: 10, vni: 5010", "web: {vlan: 11, vni: 5010")],
        [("vni: 5010", "vni: 0x0"), ("vni: 5020", "vni: 5010"), ("vni: 0x0", "vni: 5020")],
        [("vni: 5010, subnet: 10.1.1.0/24", "vni: 5010, subnet: [10.1.1.0/24, 10.9.0.0/24]")],
        [("vni: 5010,", "vni: 5010, dhcp: true,"), ("  red1:   {", "  red1:   {storm_control: 100, ")],
    ],
    ids=["vni", "vlan", "two networks exchange their vnis", "subnet", "tables"],
)
def test_a_network_changes_under_its_own_traffic(three: Running, change: list[tuple[str, str]]) -> None:
    with witness(three, *RED, *BLUE, quiet=FADING) as seen, edited(seen, *change):
        seen.until_over(FADING)

    assert seen.lost(*RED, *BLUE) == 0


@pytest.mark.parametrize("pause", [0.05, 0.6])
def test_a_change_comes_while_the_one_before_is_under_way(three: Running, pause: float) -> None:
    with witness(three, *RED, *BLUE, quiet=FADING) as seen:
        for vni in (6010, 6011, 5010):
            Path(three.lab.file).write_text(TEXT.replace("vni: 5010", f"vni: {vni}"))
            time.sleep(pause)

    assert seen.lost(*RED, *BLUE) == 0


def test_a_host_that_cannot_hear_the_controller_holds_up_nobody_and_catches_up(three: Running) -> None:
    barred = three.overlay.controller.target.split(":")[1]
    with witness(three, *RED, *BLUE, quiet=FADING) as seen:
        three.run("host2", "ip", "route", "add", "prohibit", barred)
        time.sleep(PAUSE)
        Path(three.lab.file).write_text(TEXT.replace("vni: 5010", "vni: 6010"))
        until(lambda: "host1" in seen.sent)
        time.sleep(FADING)
        assert "host2" not in seen.sent
        three.run("host2", "ip", "route", "del", "prohibit", barred)
        until(lambda: "host2" in seen.sent)
        seen.until_over(FADING)
        Path(three.lab.file).write_text(TEXT)

    assert seen.lost(*RED, *BLUE) == 0


def test_the_encapsulation_changes_under_traffic(three: Running) -> None:
    for before, after in pairwise(["gre", "vxlan", "geneve", "gre"]):
        with witness(three, *RED, *BLUE, quiet=FADING) as seen:
            file = Path(three.lab.file)
            file.write_text(file.read_text().replace(f"encapsulation: {before}", f"encapsulation: {after}"))
            until(partial(only_tunnels, three, after))
        assert seen.lost(*RED, *BLUE) == 0, f"from {before} to {after}"


@pytest.mark.parametrize(
    ("change", "times"),
    [
        ([("ports:\n", "ports:\n  red3: {host: host1, network: red/web, address: 10.1.1.3/24}\n")], 4),
        ([("ports:\n", "ports:\n  green1: {host: host1, network: green/web, address: 10.3.0.1/24}\n")], 2),
        ([("mtu: 1400", "mtu: 1380")], 1),
    ],
    ids=["port", "network and tunnels", "mtu"],
)
def test_neighbours_of_a_change_notice_nothing(
    three: Running, change: list[tuple[str, str]], times: int
) -> None:
    """Devices of a host change while a controller programs its bridge: see ``execute.PAUSE``."""
    with witness(three, *RED, *BLUE) as seen:
        for _ in range(times):
            with edited(seen, *change):
                seen.until_over()
            seen.until_over()

    assert seen.lost(*RED, *BLUE) == 0


def test_dozens_of_ports_come_and_go_and_others_notice_nothing(three: Running) -> None:
    names = [f"many{number}" for number in range(10, 34)]
    lines = (
        f"  {name}: {{host: host1, network: red/web, address: 10.1.1.{name[4:]}/24}}\n" for name in names
    )
    with witness(three, *RED, *BLUE) as seen:
        with edited(seen, ("ports:\n", "".join(["ports:\n", *lines]))):
            until(lambda: seen.heard("port.added") == len(names))
            seen.until_over()
        until(lambda: seen.heard("port.removed") == len(names))
        until(lambda: "many" not in three.run("host1", "ip", "-brief", "link"))

    assert seen.lost(*RED, *BLUE) == 0


def test_a_port_moves_to_another_host_and_back(three: Running) -> None:
    for host in ("host3", "host2"):
        with witness(three, *RED, *BLUE) as seen:
            lab(three, "move", "red2", host)
        assert seen.gap(*RED) < 100
        assert seen.lost(*BLUE) == 0
        assert three.broken() == {}


def test_a_broken_file_changes_nothing_and_is_told_everywhere(three: Running) -> None:
    with witness(three, *RED, *BLUE) as seen, edited(seen, ("network: red/web,", "network: red/wob,")):
        assert "red/wob" in three.get("/v1/status")["config_error"]
        assert "red/wob" in sdnapp("show", "--name", three.lab.name).stdout
        assert seen.heard("config.invalid") == 1

    assert seen.lost(*RED, *BLUE) == 0
    assert seen.sent == {}


@pytest.mark.parametrize(
    "hand",
    [
        "del-flows br-int table={forward}",
        "del-flows br-int",
        "add-flow br-int table={forward},priority=999,actions=drop",
        "mod-flows br-int table={forward},actions=drop",
    ],
    ids=["deletes some", "deletes all", "adds", "alters"],
)
def test_the_hand_of_somebody_else_is_undone_within_a_second(three: Running, hand: str) -> None:
    before = ages(three).keys()
    with witness(three, *RED) as seen:
        command = ["ovs-ofctl", "-O", "OpenFlow14", *hand.format(forward=int(Table.FORWARD)).split()]
        three.run("host1", *command)

    assert seen.gap(*RED) < 1000
    assert ages(three).keys() == before
    assert seen.heard("bridge.drift") >= 1
    assert next(h for h in three.get("/v1/hosts") if h["name"] == "host1")["drift"] > 0


def lab(running: Running, *command: str) -> None:
    """Run a command of ``sdnapp lab`` as a user does."""
    done = sdnapp("lab", *command, "--name", running.lab.name)
    assert done.returncode == 0, done.stderr


def only_tunnels(running: Running, kind: str) -> bool:
    """Whether all tunnels that there are have this encapsulation."""
    show = ("ovs-vsctl", "--bare", "--columns=type", "list", "interface")
    found = {word for host in running.lab.hosts for word in running.run(host, *show).split()}
    return found & {"gre", "vxlan", "geneve"} == {kind}
