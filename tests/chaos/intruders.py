"""Faults from outside: who connects to the controller's ports, and what workloads send."""

from __future__ import annotations

import os
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from random import Random

from sdnapp.frames.packet import octets
from sdnapp.lab.machine import entered
from tests.chaos.fault import fault
from tests.chaos.scope import Scope
from tests.chaos.subject import Subject
from tests.fuzz import frames
from tests.netns.raw import device

_HELLO, _ECHO, _FEATURES, _MULTIPART, _BARRIER, _ROLE = 0, 2, 5, 18, 20, 24
_HEADER = struct.Struct("!BBHI")  # version, type, length, xid: OpenFlow 1.3.5 section 7.1.1
_PATIENCE = 2.0
_LOOPS = (
    "0400000c0000000100000000",
    "041700200000000100000000" + 40 * "0",
    "040e00380000000100000000" + 88 * "0",
)
"""A HELLO, a reply and a FLOW_MOD with an element of length 0."""


def _dial(subject: Subject, controller: str) -> socket.socket:
    machine, address = subject.openflow_address(controller)
    with entered(machine):
        return socket.create_connection(address, timeout=_PATIENCE)


@fault("intruder", loses="nothing")
def garbage_connections(subject: Subject, random: Random) -> Iterator[Scope]:
    """Bytes of no protocol, of TLS, of HTTP, and messages that are none."""
    where, number = random.choice(subject.controllers), random.choice([5, 50, 200])
    sent = 0
    for _ in range(number):
        said = random.choice(
            [
                random.randbytes(random.choice([1, 7, 8, 64, 4096])),
                b"GET / HTTP/1.1\r\n\r\n",
                bytes.fromhex("1603010200010001fc0303") + random.randbytes(64),
                _HEADER.pack(4, _HELLO, 8, 1) + _HEADER.pack(4, random.randrange(30, 256), 8, 2),
                _HEADER.pack(4, _HELLO, 8, 1) + _HEADER.pack(4, _HELLO, random.randrange(8), 2),
                bytes.fromhex(random.choice(_LOOPS)),
            ]
        )
        with suppress(OSError), _dial(subject, where) as link:
            link.sendall(said)
            sent += 1
    yield Scope(f"{sent} connections of garbage ({where})")


@fault("intruder", loses="nothing")
def silent_connections(subject: Subject, random: Random) -> Iterator[Scope]:
    where, number = random.choice(subject.controllers), random.choice([10, 100, 200])
    with ExitStack() as stack:
        for _ in range(number):
            with suppress(OSError):
                stack.enter_context(_dial(subject, where))
        yield Scope(f"{number} silent connections ({where})")


@fault("intruder", loses="nothing")
def unknown_bridges(subject: Subject, random: Random) -> Iterator[Scope]:
    """Bridges with datapath ids that the file does not have; they go through the handshake, then talk."""
    where, number = random.choice(subject.controllers), random.choice([1, 5, 20])
    with ExitStack() as stack:
        for _ in range(number):
            with suppress(OSError):  # the controller may be away
                link = stack.enter_context(_dial(subject, where))
                stack.enter_context(_answering(link, random.getrandbits(64)))
        yield Scope(f"{number} unknown bridges ({where})")


@fault("intruder", loses="nothing")
def impostor(subject: Subject, random: Random) -> Iterator[Scope]:
    """A second bridge with the datapath id of one of ours, which says that it holds nothing."""
    where, times = random.choice(subject.controllers), random.choice([1, 5])
    host = random.choice(subject.hosts) if subject.central else where
    with ExitStack() as stack:
        for _ in range(times):
            with suppress(OSError):
                link = stack.enter_context(_dial(subject, where))
                stack.enter_context(_answering(link, subject.overlay.hosts[host].datapath_id))
                time.sleep(0.2)
        yield Scope(
            f"{times} impostors of {host} ({where})",
            alarms=frozenset(["unauthorized-bridge", "duplicate-datapath-id"]),
        )


@contextmanager
def _answering(link: socket.socket, dpid: int) -> Iterator[None]:
    """Answer what a controller asks in its handshake, in a thread of its own, until the block ends."""

    def work() -> None:
        with suppress(OSError, struct.error):
            link.sendall(_HEADER.pack(4, _HELLO, 8, 1))
            while True:
                version, kind, length, xid = _HEADER.unpack(_whole(link, _HEADER.size))
                body = _whole(link, length - _HEADER.size)
                if kind == _FEATURES:
                    answer, kind = struct.pack("!QIBB2xII", dpid, 0, 254, 0, 0x4F, 0), kind + 1
                elif kind in (_MULTIPART, _ROLE):
                    answer, kind = body[:8] if kind == _MULTIPART else body, kind + 1
                elif kind in (_ECHO, _BARRIER):
                    answer, kind = body, kind + 1
                else:
                    continue
                link.sendall(_HEADER.pack(version, kind, _HEADER.size + len(answer), xid) + answer)

    link.settimeout(None)
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        yield
    finally:
        with suppress(OSError):
            link.shutdown(socket.SHUT_RDWR)
        thread.join()


def _whole(link: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        if not (more := link.recv(size - len(data))):
            raise OSError("closed")
        data += more
    return data


@fault("intruder", loses="nothing")
def slow_rest_clients(subject: Subject, random: Random) -> Iterator[Scope]:
    """Clients that ask half a question, or do not take the answer."""
    where, number = random.choice(subject.controllers), random.choice([8, 48])
    machine, port = subject.rest_address(where)
    with ExitStack() as stack:
        for _ in range(number):
            with suppress(OSError):
                with ExitStack() as place:
                    if machine is not None:
                        place.enter_context(entered(machine))
                    link = socket.create_connection(("127.0.0.1", port), timeout=_PATIENCE)
                stack.enter_context(link)
                asked = random.choice([b"GET /v1/hosts HT", b"GET /v1/config HTTP/1.1\r\nHost: x\r\n\r\n"])
                link.sendall(asked)
        yield Scope(f"{number} slow clients of REST ({where})")


@fault("workload", loses="nothing")
def mac_flaps(subject: Subject, random: Random) -> Iterator[Scope]:
    """One source address from two ports in turn, as with a loop or two machines of one address."""
    source = octets("02:cc:00:00:00:01")
    times = random.choice([4, 40])
    frame = b"\xff" * 6 + source + b"\x88\xb5" + bytes(46)
    with ExitStack() as stack:
        with suppress(OSError):  # its namespace may just have been deleted
            ports = [stack.enter_context(device(subject.running, port)) for port in ("red2", "red4")]
            for number in range(times):
                ports[number % 2].send(frame)
                time.sleep(0.05)
        yield Scope(f"a MAC flaps {times} times", alarms=frozenset(["duplicate-mac", "mac-blocked"]))


@fault("workload", loses="nothing")
def storm(subject: Subject, random: Random) -> Iterator[Scope]:
    """Broken and strange frames, with sources of their own, or broadcasts, as fast as they go for a while.

    What a learning port shows more of than it may is an alarm until these have aged.
    """
    port, seconds = random.choice(["red1", "red2", "red4", "db2"]), random.uniform(0.3, 1.5)
    kind = random.choice(["broken frames", "sources", "broadcasts"])
    sent = 0
    with ExitStack() as stack:
        with suppress(OSError):
            out = stack.enter_context(device(subject.running, port))
            ends = time.monotonic() + seconds
            for frame in _frames(kind, random):
                out.send(frame)
                sent += 1
                if sent % 32 == 0:
                    time.sleep(0.005)  # some 6,000 a second: what the bridge cannot take is not its fault
                if time.monotonic() > ends:
                    break
        yield Scope(
            f"{sent} {kind} from {port}",
            alarms=frozenset(["mac-limit-exceeded", "mac-blocked", "duplicate-mac"]),
        )


def _frames(kind: str, random: Random) -> Iterator[bytes]:
    if kind == "broken frames":
        stations = tuple(f"02:dd:00:00:00:{n:02x}" for n in range(9))
        for frame in frames(random.getrandbits(32), 100_000, stations, ("10.1.9.1", "10.1.9.2")):
            yield frame[:1400]
    tail = b"\x88\xb5" + bytes(46)
    own = b"\x02\xdd" + bytes(4)
    source = partial(os.urandom, 4) if kind == "sources" else None
    while True:
        yield b"\xff" * 6 + (own if source is None else b"\x02\xee" + source()) + tail
