"""Changing keys and encapsulation under traffic: whatever is sent, at every moment somebody takes it."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdnapp.net.encap import NO_ENCAP, Encap, EncapState, TxPath
from sdnapp.net.encap_migration import desired_encap
from sdnapp.net.events import (
    BridgeFound,
    Configured,
    EncapProgrammed,
    Event,
    GracePeriodExpired,
    KeysReleased,
    PortsFound,
    PortsLost,
    TxDrained,
)
from sdnapp.net.model import Encapsulation, Overlay
from sdnapp.net.state import State
from sdnapp.net.step import step
from tests.overlays import TWO_HOSTS, numbers, overlay

OVERLAY = overlay()
HOSTS = ("host1", "host2")


@dataclass
class World:
    """Two hosts, whose bridges and agents do what they should when they are told to, and not before."""

    state: State
    faded: list[frozenset[TxPath]] = field(default_factory=list)

    @classmethod
    def running(cls, overlay: Overlay = OVERLAY) -> World:
        world = cls(State.of(overlay))
        for host in overlay.hosts.values():
            world.tell(BridgeFound(host.name, numbers(host)))
        for name in HOSTS * 2:
            world.program(name)
        world.tell(GracePeriodExpired(overlay))
        return world

    def tell(self, event: Event) -> None:
        self.state = step(self.state, event)

    def program(self, host: str) -> None:
        """The bridge takes its program."""
        before = self.in_force(host)
        spoken = desired_encap(self.state, host)
        self.tell(EncapProgrammed(host, spoken))
        self.faded.append(before.stopped_tx(host, spoken))

    def in_force(self, host: str) -> EncapState:
        return self.state.confirmed.get(host, NO_ENCAP)

    def fade(self) -> None:
        for speeches in self.faded:
            self.tell(TxDrained(speeches))
        self.faded.clear()

    def make_tunnels(self, host: str) -> None:
        """The agent makes what the file wants."""
        for tunnel in self.state.overlay.hosts[host].tunnels:
            self.tell(PortsFound(host, [(tunnel.interface, tunnel.ofport)]))

    def remove_tunnels(self, host: str) -> None:
        """The agent removes what the file does not want and no flow mentions."""
        ports, spoken = self.state.ports(host), self.in_force(host)
        wanted = {tunnel.interface for tunnel in self.state.overlay.hosts[host].tunnels}
        mentioned = spoken.hears | {(to, way.encapsulation) for (_, to), way in spoken.speaks.items()}
        for peer, kinds in ports.tunnels.items():
            for kind, number in kinds.items():
                if ports.name[number] not in wanted and (peer, kind) not in mentioned:
                    self.tell(PortsLost(host, {ports.name[number]}))

    def assert_nothing_is_lost(self, network: str = "red/web") -> None:
        """Whoever sends in its way is heard, and the tunnel is there at both ends."""
        for host, peer in (HOSTS, HOSTS[::-1]):
            way = self.in_force(host).speaks[network, peer]
            assert self.in_force(peer).accepts(host, network, way)
            assert way.encapsulation in self.state.ports(host).tunnels[peer]
            assert way.encapsulation in self.state.ports(peer).tunnels[host]

    def finish(self) -> None:
        """Everybody does all that there is to be done."""
        for _ in range(4):
            for host in HOSTS:
                self.make_tunnels(host)
            for host in HOSTS * 2:
                self.program(host)
            self.fade()
            for host in HOSTS:
                self.program(host)
                self.remove_tunnels(host)


def changed(vni: int = 5010, kind: Encapsulation = "gre", blue: int = 5020, pair: str = "") -> Overlay:
    text = TWO_HOSTS.replace("5010", "RED").replace("5020", str(blue)).replace("RED", str(vni))
    if pair:
        text = text.replace("vtep: 192.168.4.202", f"vtep: 192.168.4.202, encapsulation: {pair}")
    return overlay(text.replace("encapsulation: gre", f"encapsulation: {kind}"))


TARGETS = [
    changed(5011),
    changed(kind="vxlan"),
    changed(5011, "geneve"),
    changed(5020, blue=5010),
    changed(pair="{host1: vxlan}"),
    OVERLAY,
]

deeds = st.lists(
    st.tuples(st.sampled_from(["program", "make_tunnels", "remove_tunnels", "fade"]), st.sampled_from(HOSTS)),
    max_size=40,
)


@given(st.lists(st.tuples(st.integers(0, len(TARGETS) - 1), deeds), min_size=1, max_size=3))
@settings(max_examples=300)
def test_whatever_comes_when_nothing_is_lost(story: list[tuple[int, list[tuple[str, str]]]]) -> None:
    """Files change at any time, bridges and agents act in any order, some not at all."""
    world = World.running()
    for target, acts in story:
        world.tell(Configured(TARGETS[target]))
        for deed, host in acts:
            world.fade() if deed == "fade" else getattr(world, deed)(host)
            world.assert_nothing_is_lost()
            world.assert_nothing_is_lost("blue/web")
            assert_no_key_means_two_networks(world)
    world.finish()

    last = TARGETS[story[-1][0]]
    for host in HOSTS:
        (tunnel,) = last.hosts[host].tunnels
        assert {way.encapsulation for way in world.in_force(host).speaks.values()} == {tunnel.encapsulation}
        assert world.in_force(host).understands == {(p, n.vni) for p, n in last.networks.items()}
        assert set(world.state.ports(host).number) == set(numbers(last.hosts[host]))


def assert_no_key_means_two_networks(world: World) -> None:
    """Neither on one bridge, nor for a frame that may still be on its way to it."""
    for host in HOSTS:
        meaning = {key: network for network, key in world.in_force(host).understands}
        assert len(meaning) == len(world.in_force(host).understands)
        for network, key in on_the_way(world, host):
            assert meaning.get(key, network) == network


def on_the_way(world: World, host: str) -> set[tuple[str, int]]:
    """The networks and keys of the frames that a peer sends, or sent just now."""
    sent = {(s.network, s.way.key) for s in world.state.fading if s.listener == host}
    said = (world.in_force(peer).speaks.items() for peer in HOSTS)
    return sent | {(path, way.key) for ways in said for (path, to), way in ways if to == host}


@pytest.mark.parametrize("target", TARGETS[:5])
def test_a_host_that_is_away_holds_up_nobody_and_is_spoken_to_as_it_understands(target: Overlay) -> None:
    world = World.running()
    world.tell(Configured(target))
    world.make_tunnels("host1")
    for _ in range(3):
        world.program("host1")
        world.fade()

    world.assert_nothing_is_lost()
    assert world.in_force("host1").speaks["red/web", "host2"] == Encap("gre", 5010)


def test_in_steady_state_nothing_depends_on_what_others_confirmed() -> None:
    world = World.running()
    alone = World(State.of(OVERLAY))
    alone.tell(BridgeFound("host1", numbers(OVERLAY.hosts["host1"])))

    assert desired_encap(world.state, "host1") == desired_encap(alone.state, "host1")


def test_a_new_name_alone_changes_nothing_on_the_wire() -> None:
    """There and back, at once: whatever a bridge says goes on, and nothing waits."""
    world = World.running()

    for text in (TWO_HOSTS.replace("  red: ", "  crimson: ").replace("red/web", "crimson/web"), TWO_HOSTS):
        before = {host: ways(world.in_force(host)) for host in HOSTS}
        world.tell(Configured(overlay(text)))
        assert world.state.claims is world.state.paths
        for host in HOSTS:
            assert ways(desired_encap(world.state, host)) == before[host]
            world.program(host)
        assert not world.state.fading


def ways(said: EncapState) -> tuple[set[int], set[tuple[str, Encap]]]:
    """What a dialect is on the wire, where networks have no names."""
    return {key for _, key in said.understands}, {(peer, way) for (_, peer), way in said.speaks.items()}


@pytest.mark.parametrize(
    "change",
    [("red1:  {host: host1", "red9:  {host: host1"), ("red2:  {host: host2", "red2:  {host: host1")],
    ids=["of another port", "of a port elsewhere"],
)
def test_a_network_of_another_name_and_other_ports_is_another_network(change: tuple[str, str]) -> None:
    world = World.running()
    renamed = TWO_HOSTS.replace("  red: ", "  crimson: ").replace("red/web", "crimson/web")

    world.tell(Configured(overlay(renamed.replace(*change))))
    world.program("host1")

    assert ("crimson/web", 5010) not in world.in_force("host1").understands


def test_a_key_of_a_removed_network_stays_closed_until_nobody_sends_it() -> None:
    """Or a frame of the old network, still on its way, would come out in the new one."""
    without_blue = "\n".join(line for line in TWO_HOSTS.splitlines() if "blue" not in line)
    world = World.running()

    world.tell(Configured(overlay(without_blue.replace("5010", "5020"))))
    world.program("host1")
    assert ("red/web", 5020) not in world.in_force("host1").understands

    world.finish()
    assert world.in_force("host1").understands == {("red/web", 5020)}


def alone(story: list[Event], host: str) -> EncapState:
    """The dialect of a host whose controller has heard of its own bridge only, after all this."""
    before = overlay(PER_HOST)
    state = step(State.of(before), BridgeFound(host, numbers(before.hosts[host])))
    state = step(state, GracePeriodExpired(before))
    for event in story:
        state = step(state, EncapProgrammed(host, desired_encap(state, host)))
        state = step(state, event)
    return desired_encap(step(state, EncapProgrammed(host, desired_encap(state, host))), host)


PER_HOST = TWO_HOSTS.replace('controller: {target: "tcp:192.168.4.10:6653"}', "")
EXCHANGED = overlay(PER_HOST.replace("5010", "RED").replace("5020", "5010").replace("RED", "5020"))
TAKEN = overlay(PER_HOST.replace("5010", "7000").replace("5020", "5010"))


@pytest.mark.parametrize("wanted", [EXCHANGED, TAKEN], ids=["exchanged", "taken"])
def test_with_a_controller_on_every_host_no_key_means_two_networks_at_once(wanted: Overlay) -> None:
    """Though one host is a whole step behind the other."""
    story: list[Event] = [Configured(wanted), GracePeriodExpired(wanted), KeysReleased(wanted)]
    for behind, ahead in [(0, 1), (1, 1), (1, 2), (2, 2), (2, 3), (3, 3)]:
        for host, peer in (HOSTS, HOSTS[::-1]):
            for first, second in ((behind, ahead), (ahead, behind)):
                says, hears = alone(story[:first], host), alone(story[:second], peer)
                meant = {key: path for path, key in hears.understands}
                sent = {(path, way.key) for (path, to), way in says.speaks.items() if to == peer}
                assert all(meant.get(key, path) == path for path, key in sent)
    for host in HOSTS:
        done = alone(story, host)
        assert done.understands == {(path, network.vni) for path, network in wanted.networks.items()}
        assert {(path, way.key) for (path, _), way in done.speaks.items()} == done.understands
