"""A connection that receives at little cost, and ends when its bridge goes, or its host without a word.

os-ken asks the kernel for each header and each body, and parses and hands round whatever comes. Here all that
is there is taken at once, and what only says that a bridge did as it was told ends unparsed.

Each message is checked before os-ken parses it (``shapes``). One that is malformed ends its connection.

When the receiving thread of an os-ken connection ends, it kills the sending one and waits for it. Threads
of the native hub cannot be killed: it would wait forever, and nobody would hear that the bridge went.
"""

from __future__ import annotations

import logging
import socket
import ssl
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from struct import Struct
from typing import Any

from os_ken.controller import controller, ofp_event
from os_ken.controller.handler import DEAD_DISPATCHER
from os_ken.lib import hub
from os_ken.ofproto import ofproto_v1_3_parser as parser

from sdnapp.log import event as log_event
from sdnapp.openflow import monitor, shapes
from sdnapp.openflow.matchshape import Malformed, Unreadable

LOG = logging.getLogger("sdnapp")

PIECE = 64 * 1024
"""Bytes that are taken at once, if there are as many: no message is longer."""
TURN = 2048
"""Messages after which others have a turn, as in os-ken."""
_header = Struct("!BBHI")

malformed: Counter[str] = Counter()
"""Connections that ended with a message that no switch sends, by its type, since the process began."""
unreadable: Counter[str] = Counter()
"""Messages that were dropped because os-ken's parsers do not know what is in them, by their type."""

SILENCE = 30
"""Seconds after which a host that acknowledges nothing is gone; kernels do, however busy the switch."""


def expect_life(connection: Any) -> None:
    """Have the kernel end a TCP connection to a host that is gone (tcp(7)); nobody wakes for it."""
    if connection.family in {socket.AF_INET, socket.AF_INET6}:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, SILENCE // 3)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, SILENCE // 6)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, SILENCE * 1000)


def _receive(datapath: controller.Datapath) -> None:
    """What os-ken's ``Datapath._recv_loop`` does: until the connection ends, events for all that it says."""
    try:
        expect_life(datapath.socket)
        for number, message in enumerate(messages(datapath), 1):
            if not message.startswith(monitor.DONE):
                _tell(datapath, message)
            if number % TURN == 0:
                hub.sleep(0)
    except Malformed as error:
        refuse(datapath, error)
    finally:
        with suppress(OSError):
            datapath.socket.close()
        datapath.close()
        datapath.send(b"", close_socket=True)  # wakes the sending thread, which finds the connection dead


def refuse(datapath: controller.Datapath, error: Malformed) -> None:
    """Say why this connection ends."""
    malformed[error.message] += 1
    dpid = {} if datapath.id is None else {"dpid": f"{datapath.id:016x}"}
    fields = {"address": shown(datapath.address), **dpid, "message": error.message, "reason": str(error)}
    log_event(LOG, "connection.malformed", level=logging.WARNING, **fields)


def messages(datapath: controller.Datapath) -> Iterator[bytearray]:
    """Each message as it comes. ``Malformed`` at a header that no message of a switch has."""
    held = bytearray()
    while piece := _piece(datapath):
        held += piece
        start = 0
        while len(held) - start >= shapes.HEADER and datapath.state != DEAD_DISPATCHER:
            _, length = shapes.begins(held, start)
            end = start + length
            if end > len(held):
                break
            yield held[start:end]
            start = end
        del held[:start]


def _piece(datapath: controller.Datapath) -> bytes:
    """What there is, as soon as there is something; nothing when the connection has ended."""
    while datapath.state != DEAD_DISPATCHER:
        try:
            received: bytes = datapath.socket.recv(PIECE)
        except (TimeoutError, ssl.SSLError):  # eventlet says SSLError when a TLS connection is silent
            continue
        except OSError:
            break
        return received
    return b""


def _tell(datapath: controller.Datapath, message: bytearray) -> None:
    """The event of a message, to whoever is to hear of it now: applications, then os-ken's own handlers.

    Of an error, os-ken's own handler does nothing but spell it out for a debug log, which takes 0.4 ms.
    """
    parsed = parse(datapath, message)
    if parsed is None or datapath.ofp_brick is None:
        return
    event = ofp_event.ofp_msg_to_ev(parsed)
    datapath.ofp_brick.send_event_to_observers(event, datapath.state)
    if not isinstance(parsed, parser.OFPErrorMsg):
        for handler in datapath.ofp_brick.get_handlers(event, datapath.state):
            handler(event)


def parse(datapath: controller.Datapath, message: bytearray) -> Any:
    """os-ken's message of these bytes; None for what it cannot read. ``Malformed`` for what no switch sends.

    HELLO and errors, which may be of any version, are parsed as those of OpenFlow 1.3: they are the same.
    """
    try:
        shapes.check(message)
    except Unreadable as error:
        unreadable[error.message] += 1
        return None
    version, kind, length, xid = _header.unpack_from(message)
    return parser.msg_parser(datapath, version, kind, length, xid, message)


def shown(address: str | tuple[Any, ...]) -> str:
    """A socket's address as text: a path, or host and port."""
    if isinstance(address, str):
        return address
    host, port = address[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def install() -> None:
    """Mend os-ken's ``Datapath``, process-wide; again is harmless."""
    controller.Datapath._recv_loop = _receive
