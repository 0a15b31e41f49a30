"""What goes on in the networks under attack, and must go on: frames between stations, multicast, leases."""

from __future__ import annotations

import os
import signal
import socket
import struct
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.attack import packets
from tests.attack.arena import PATIENCE, Arena
from tests.attack.ground import Sender
from tests.attack.messages import dhcp_message
from tests.attack.oracle import Finding
from tests.netns.listeners import GROUP, PORT, listening, opened

NETWORK = "red/web"
_TRIES = 4


class Services:
    """Streams of one arena: near sends to groups that far listens to, and far to each station."""

    def __init__(self, arena: Arena, stack: ExitStack) -> None:
        running = arena.running
        self._arena = arena
        self._lost: set[int] = set()
        self._listeners = {v: stack.enter_context(listening(running, "far", v)) for v in (4, 6)}
        self._senders = {v: stack.enter_context(opened(running, "near", v)) for v in (4, 6)}
        for version, (out, device) in self._senders.items():
            if version == 6:
                out.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, device)
            else:
                through = struct.pack("=4s4si", bytes(4), bytes(4), device)
                out.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, through)

    def findings(self) -> list[Finding]:
        """What does not work as it did."""
        return [*self._multicast(), *self._unicast()]

    def routers(self) -> frozenset[str]:
        """What the network takes to be a multicast router, and of which family."""
        told = self._arena.running.get(f"/v1/networks/{NETWORK}")["multicast"]
        families = {name for name in ("ipv4", "ipv6") if told[name] != "flooding"}
        return frozenset({*told["routers"], *families})

    def _multicast(self) -> Iterator[Finding]:
        """What is lost stays lost for as long as a querier is taken to be there: it is told once."""
        for version in {4, 6} - self._lost:
            if not self._arrives(version):
                self._lost.add(version)
                yield Finding(f"multicast by IPv{version} does not reach a listener", "far", GROUP[version])

    def _arrives(self, version: int) -> bool:
        out, listener = self._senders[version][0], self._listeners[version]
        said = os.urandom(16)
        for _ in range(_TRIES):
            out.sendto(said, (GROUP[version], PORT))
            with suppress(TimeoutError):
                while listener.recv(2048) != said:
                    pass
                return True
        return False

    def _unicast(self) -> Iterator[Finding]:
        """A frame for each station comes out there alone."""
        stations = self._arena.ground.of(NETWORK)
        others = [each for each in stations if each.port in self._arena.taps and each.port != "far"]
        (far,) = (each for each in stations if each.port == "far")
        said = {os.urandom(16): each for each in others}
        missing = dict(said)
        deadline, again = time.monotonic() + PATIENCE, 0.0
        while missing and time.monotonic() < deadline:
            if time.monotonic() > again:
                again = time.monotonic() + 0.5
                for token, to in missing.items():
                    frame = packets.ethernet(to.mac, far.mac, (), packets.EXPERIMENTAL, token + bytes(40))
                    self._arena.taps["far"].send(frame)
            for port, data in self._arena.drain(0.05):
                found = next((each for token, each in said.items() if token in data), None)
                if found is not None and port == found.port:
                    missing = {token: each for token, each in missing.items() if each is not found}
                elif found is not None and not port.startswith("underlay"):
                    yield Finding("a frame for one station came out at another", port, data.hex())
        for each in missing.values():
            yield Finding("a station is not reached any more", each.port, each.mac)


CLIENTS = ("near", "any")
"""Ports with a DHCP client: a strict one and one that learns."""
Attack = Callable[[str, int, int], None]
"""Sends hostile answers to the client at this port: to the question with this number, of this kind."""
_SCRIPT = "#!/bin/sh\nenv >> {record}\n"
_LEGITIMATE = ("10.1.1.67", "10.1.1.50")
"""The DHCP server of the file, and what it leases."""


@contextmanager
def _client(enter: Sequence[str]) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """A DHCP client that is run once, and the file where what it is told is written down."""
    with TemporaryDirectory() as name:
        record, script, leases, pid = (Path(name) / part for part in ("told", "script", "leases", "pid"))
        record.write_text("")
        script.write_text(_SCRIPT.format(record=record))
        script.chmod(0o755)
        files = ("-sf", str(script), "-lf", str(leases), "-pf", str(pid), "-cf", "/dev/null")
        command = [*enter, "dhclient", "-4", "-d", "-1", *files, "eth0"]
        client = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        try:
            yield client, record
        finally:
            with suppress(ProcessLookupError):  # with its script, which may write into the directory just now
                os.killpg(client.pid, signal.SIGKILL)
            client.wait()


def told_by(record: Path) -> Mapping[str, str]:
    """What the client was told last; empty as long as it has no lease."""
    told = dict(line.split("=", 1) for line in record.read_text().splitlines() if line.startswith("new_"))
    return told if "new_ip_address" in told else {}


def lease(arena: Arena, sender: Sender, port: str, attack: Attack) -> list[Finding]:
    """A client asks while the attacker, who sees what it asks, answers before the legitimate server does.

    Its answers are offers (2) and acknowledgements (5), each hidden in another way.
    """
    mac = arena.ground.stations[port].mac
    server, yours = _LEGITIMATE
    dhcpd = arena.ground.stations["dhcpd"].mac
    answered: set[tuple[int, int]] = set()
    with _client(arena.enter[port]) as (_, record):
        deadline = time.monotonic() + PATIENCE
        while not (told := told_by(record)):
            if time.monotonic() > deadline:
                return [Finding("a DHCP client gets no lease", port, mac)]
            for at, data in list(arena.drain(0.05)):
                asked = question(data) if at == "dhcpd" else None
                if asked is None or asked[1] != mac or (asked[0], asked[2]) in answered:
                    continue
                identity, _, kind = asked
                answered.add((identity, kind))
                attack(port, identity, {1: 2, 3: 5}[kind])
                arena.settle(sender)
                message = dhcp_message(mac, identity, {1: 2, 3: 5}[kind], server, yours)
                segment = packets.udp(server, "255.255.255.255", (67, 68), message)
                whole = packets.ipv4(server, "255.255.255.255", packets.UDP, segment)
                arena.taps["dhcpd"].send(packets.ethernet(mac, dhcpd, (), packets.IPV4, whole))
    wrong = [
        f"{name} {told.get(name)}"
        for name in ("new_dhcp_server_identifier", "new_routers", "new_domain_name_servers")
        if told.get(name) != server
    ]
    if told["new_ip_address"] != yours:
        wrong.append(f"address {told['new_ip_address']}")
    return [Finding("a DHCP client was told by an attacker", port, ", ".join(wrong))] if wrong else []


def question(frame: bytes) -> tuple[int, str, int] | None:
    """The transaction, the client and the kind (1: discover, 3: request) of a DHCP client's question."""
    at = frame.find(b"\0\x44\0\x43")
    bootp = frame[at + 8 :] if at > 0 else b""
    kind = bootp.find(b"\x63\x82\x53\x63\x35\1")
    if len(bootp) < 240 or bootp[0] != 1 or kind < 0 or bootp[kind + 6] not in {1, 3}:
        return None
    return int.from_bytes(bootp[4:8], "big"), bootp[28:34].hex(":"), bootp[kind + 6]
