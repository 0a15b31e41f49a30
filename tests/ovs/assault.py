"""What burdens a controller, each in a process of its own: ``python -m tests.ovs.assault KIND PORT HOST``.

It says ``ready`` once it is under way, and ends with its standard input.
"""

from __future__ import annotations

import os
import selectors
import socket
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from itertools import count
from struct import pack

from flows.tables import Table
from tests.ovs.rogue import FLOWS, MULTIPART_REPLY, MULTIPART_REQUEST, Rogue, message, packet_in

CONNECTIONS, GARBAGE, RATE = 1000, 300, 50_000
VNI = 5010
_BURST = 500
"""Packet-ins that are sent at once."""
_MORE = 1


def _ready() -> None:
    print("ready", flush=True)


def _source(number: int) -> str:
    """One of many addresses of loopback."""
    return f"127.0.1.{number % 50 + 1}"


def silent(port: int, _: int, __: int) -> None:
    """Connections that say nothing, and come again when they are closed."""
    with selectors.DefaultSelector() as selector:
        for number in range(CONNECTIONS):
            _open(selector, port, number)
        _ready()
        while True:
            for key, _events in selector.select():
                selector.unregister(key.fileobj)
                os.close(key.fd)
                _open(selector, port, key.data)
                time.sleep(0.002)


def _open(selector: selectors.BaseSelector, port: int, number: int) -> None:
    one = socket.create_connection(("127.0.0.1", port), timeout=20, source_address=(_source(number), 0))
    selector.register(one.detach(), selectors.EVENT_READ, number)


def unknown(port: int, _: int, __: int) -> None:
    """Bridges that the file does not have, each with an id of its own, through with their handshake."""
    there = []
    for number in range(CONNECTIONS):
        one = Rogue(("127.0.0.1", port), 0xBAD0000 + number, source=_source(number))
        with suppress(OSError):
            one.handshake()
        there.append(one)
    _ready()
    _forever(there)


def packet_ins(port: int, dpid: int, ofport: int) -> None:
    """A bridge of the file that hands over frames of sources that were never there."""
    one = Rogue(("127.0.0.1", port), dpid, {"c": ofport})
    answers = threading.Thread(target=one.play, daemon=True)
    answers.start()
    time.sleep(1)
    macs = count()
    _ready()
    begin, sent = time.monotonic(), 0
    while answers.is_alive():
        sources = (pack("!I", next(macs)) for _ in range(_BURST))
        frames = (b"\xff" * 6 + b"\x02\xcc" + each + b"\x88\xb5" + bytes(46) for each in sources)
        one.say(b"".join(packet_in(VNI, ofport, frame, Table.MAC_LEARNING) for frame in frames))
        sent += _BURST
        if sent % 50_000 == 0:
            print(sent / (time.monotonic() - begin), flush=True)
        time.sleep(max(0.0, begin + sent / RATE - time.monotonic()))


def endless(port: int, dpid: int, ofport: int) -> None:
    """A bridge of the file with a reply to the question for its flows that does not end, again and again."""
    _ready()
    cookies = count(1)
    while True:
        one = Rogue(("127.0.0.1", port), dpid, {"c": ofport})
        with suppress(OSError):
            one.handshake()
            for kind, xid, body in one.hear():
                if kind == MULTIPART_REQUEST and body[:2] == pack("!H", FLOWS):
                    while True:
                        flows = b"".join(_flow(next(cookies)) for _ in range(1000))
                        one.say(message(MULTIPART_REPLY, pack("!HH4x", FLOWS, _MORE) + flows, xid))
                one.answer(kind, xid, body)
        one.close()


def _flow(cookie: int) -> bytes:
    """``struct ofp_flow_stats`` with an empty match."""
    return pack("!HBxIIHHHH4xQQQ", 56, Table.FORWARD, 0, 0, 1, 0, 0, 0, cookie, 0, 0) + pack("!HH4x", 1, 4)


def garbage(port: int, _: int, __: int) -> None:
    """Connections with bytes that are no message, opened again as soon as they are closed."""
    rubbish = os.urandom(64)
    with selectors.DefaultSelector() as selector:
        for number in range(GARBAGE):
            _open(selector, port, number)
        _ready()
        while True:
            for key, _events in selector.select(0.001):
                selector.unregister(key.fileobj)
                os.close(key.fd)
                _open(selector, port, key.data)
            for key in list(selector.get_map().values()):
                with suppress(OSError):
                    os.write(key.fd, rubbish)


def _forever(_: object) -> None:
    threading.Event().wait()


ASSAULTS: Mapping[str, Callable[[int, int, int], None]] = {
    "silent": silent,
    "unknown": unknown,
    "packet_ins": packet_ins,
    "endless": endless,
    "garbage": garbage,
}


def _end_with_stdin() -> None:
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    kind, *numbers = sys.argv[1:]
    threading.Thread(target=_end_with_stdin, daemon=True).start()
    ASSAULTS[kind](*map(int, numbers))
