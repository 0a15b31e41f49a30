"""The lab of an attack: every sender's socket, and a packet socket at every port and underlay device."""

from __future__ import annotations

import select
import socket
import struct
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from sdnapp.lab.machine import Machine, entered
from tests.attack import hiding, packets
from tests.attack.generate import Frame
from tests.attack.ground import FILE, PEER, PEER_MAC, STRANGER, Ground, Sender, Station, ground
from tests.attack.victims import make_gullible, victims
from tests.netns.conftest import Place, Running, until
from tests.netns.external_vteps import Strangers
from tests.netns.raw import raw, received

_SO_RCVBUFFORCE, _SOL_PACKET, _STATISTICS = 33, 263, 6
_ROOM = 1 << 25
_UDP = {"vxlan": 4789, "geneve": 6081}
PATIENCE = 30.0
"""Seconds for a sentinel to arrive: the machine may be busy."""

Seen = tuple[str, bytes]
"""Where a frame came in, and the frame with its tags."""


@dataclass
class Arena:
    """``taps``: a socket at each port; ``uplinks``: one at the underlay device of each host; ``enter``: the
    command line that runs what follows it at a port.
    """

    running: Running
    ground: Ground
    taps: Mapping[str, socket.socket]
    uplinks: Mapping[str, socket.socket]
    machines: Mapping[str, Machine]
    enter: Mapping[str, Sequence[str]]
    _sentinels: int = 0

    def send(self, sender: Sender, frame: Frame, host: str = "host1") -> bool:
        """Send a frame as its sender does; say whether the sender's kernel took it."""
        try:
            if frame.form is None:
                self.taps[sender.port].send(frame.data)
            else:
                self._encapsulated(self.machines[sender.port], frame, self.ground.vteps[host])
        except OSError:  # too large for the device, or for a datagram
            return False
        return True

    def _encapsulated(self, machine: Machine, frame: Frame, vtep: str) -> None:
        assert frame.form is not None
        kind, protocol = (socket.SOCK_RAW, 47) if frame.form == "gre" else (socket.SOCK_DGRAM, 0)
        with entered(machine), socket.socket(socket.AF_INET, kind, protocol) as out:
            out.sendto(hiding.outer(frame.form, frame.key, frame.data), (vtep, _UDP.get(frame.form, 0)))

    def settle(self, sender: Sender) -> list[Seen]:
        """Wait until all that was sent has been forwarded, and return what has come in anywhere since.

        What was sent before a sentinel is forwarded before it, or in the same batch of the datapath; the
        second sentinel is sent once the first has arrived, so that it is in a later one.
        """
        seen: list[Seen] = []
        for _ in range(2):
            seen += self._sentinel(sender)
        return seen

    def _sentinel(self, sender: Sender) -> Iterator[Seen]:
        waiting: dict[bytes, set[str]] = {}
        resend = []
        for from_, network in self._heralds(sender):
            self._sentinels += 1
            tag = from_.station.tags[network] if from_.station else None
            stack = () if tag is None else ((0x8100, tag),)
            said = struct.pack("!8sQ", b"sentinel", self._sentinels)
            source = from_.station.mac if from_.station else PEER_MAC
            whole = packets.ethernet(packets.EVERYONE, source, stack, packets.EXPERIMENTAL, said + bytes(40))
            key = self.ground.peer_keys[network] if from_.port == "lab7" else 0
            frame = Frame(whole, "vxlan", key) if from_.port == "lab7" else Frame(whole)
            waiting[said] = {
                station.port
                for station in self.ground.of(network)
                if station.port != from_.port and station.port in self.taps
            }
            resend.append((from_, frame))
        deadline, again = time.monotonic() + PATIENCE, 0.0
        while any(waiting.values()):
            now = time.monotonic()
            assert now < deadline, f"no sentinel of {sender.kind}: {sorted(*waiting.values())}"
            if now > again:
                again = now + 0.5
                for from_, frame in resend:
                    self.send(from_, frame)
            for port, data in self.drain(0.05):
                said = next((said for said in waiting if said in data), b"")
                if said:
                    waiting[said].discard(port)
                elif b"sentinel" not in data:
                    yield port, data

    def _heralds(self, sender: Sender) -> list[tuple[Sender, str]]:
        """Who sends sentinels, in which network: the sender itself; others where it reaches nobody.

        What a machine of the underlay has sent before is before them in the queue of each uplink.
        """
        if sender.station is not None:
            return [(sender, network) for network in sender.station.tags]
        others = [self.ground.stations[name] for name in ("near", "far", "any")]
        return [(Sender(sender.kind, each.port, each), "red/web") for each in others]

    def drain(self, patience: float = 0.0) -> Iterator[Seen]:
        """All that has come in at ports and, as ``underlay HOST``, at underlay devices."""
        names = {tap.fileno(): name for name, tap in self.taps.items()}
        names |= {tap.fileno(): f"underlay {host}" for host, tap in self.uplinks.items()}
        everything = {tap.fileno(): tap for tap in (*self.taps.values(), *self.uplinks.values())}
        for ready in select.select(list(everything), [], [], patience)[0]:
            try:
                while True:
                    if data := received(everything[ready]):
                        yield names[ready], data
            except BlockingIOError:
                continue

    def overlooked(self) -> int:
        """How many frames the sockets had no room for since the last call."""
        return sum(
            struct.unpack("II", tap.getsockopt(_SOL_PACKET, _STATISTICS, 8))[1]
            for tap in (*self.taps.values(), *self.uplinks.values())
        )


@contextmanager
def arena(bring_up: Callable[[str], Running]) -> Iterator[Arena]:
    """Bring the lab up, with its external port, its peer and a machine that the file does not know."""
    of = ground()
    with ExitStack() as stack:
        running = bring_up(FILE)
        strangers = Strangers(running, stack)
        machines = {
            "lab7": strangers.machine("lab7", PEER),
            "stranger": strangers.machine("stranger", STRANGER),
        }
        _plug(running, of.stations["vm"])
        until(lambda: all(port["ofport"] for port in running.get("/v1/ports")))
        running.settled()
        places: dict[str, Place] = {
            name: (running.lab.hosts["host1"], "vm") if name == "vm" else running.place(name)
            for name in of.stations
            if name != "lab7"
        }
        taps = {name: _tap(stack, place, "eth0") for name, place in places.items()}
        uplinks = {
            host: _tap(stack, running.place(host), device) for host, device in running.lab.uplinks.items()
        }
        enter = {port: running.command(port) for port in victims(of)}
        make_gullible(enter)
        yield Arena(running, of, taps, uplinks, machines, enter)


def _tap(stack: ExitStack, place: Place, device: str) -> socket.socket:
    tap = stack.enter_context(raw(place, device))
    tap.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _ROOM)
    return tap


def _plug(running: Running, vm: Station) -> None:
    """Make the interface of the external port, as a hypervisor would."""
    for command in (
        f"ip netns add {vm.port}",
        f"ip link add {vm.port} type veth peer name eth0 address {vm.mac} netns {vm.port}",
        f"ip netns exec {vm.port} ethtool -K eth0 tx off",
        f"ip netns exec {vm.port} ip link set eth0 up",
        f"ip link set {vm.port} up",
        f"ovs-vsctl add-port br-int {vm.port} -- set interface {vm.port} external_ids:iface-id={vm.port}",
    ):
        running.run(vm.host, *command.split())
