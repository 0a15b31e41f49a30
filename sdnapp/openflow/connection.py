"""A connection that receives at little cost, and ends when its bridge goes, or its host without a word.

os-ken asks the kernel for each header and each body, and parses and hands round whatever comes. Here all that
is there is taken at once, and what only says that a bridge did as it was told ends unparsed.

Each message is checked before os-ken parses it (``shapes``). One that is malformed ends its connection.

A connection has two hub threads: one reads, tells applications and os-ken's handlers, and may wait for them;
one sends. Each ends when the connection does. os-ken kills its sending thread, and threads of the native hub
cannot be killed: it would wait forever, and the end of the connection would not be reported.
"""

from __future__ import annotations

import fcntl
import logging
import socket
import termios
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from struct import Struct
from typing import Any

from os_ken.controller import controller, ofp_event
from os_ken.controller.handler import DEAD_DISPATCHER, MAIN_DISPATCHER
from os_ken.lib import hub
from os_ken.ofproto import ofproto_v1_3 as ofproto
from os_ken.ofproto import ofproto_v1_3_parser as parser

from sdnapp.inbox import Backlog
from sdnapp.log import event as log_event
from sdnapp.openflow import monitor, shapes
from sdnapp.openflow.limits import LIMITS, Limits
from sdnapp.openflow.matchshape import Malformed, Unreadable

LOG = logging.getLogger("sdnapp")

PIECE = 64 * 1024
"""Bytes that are taken at once, if there are as many: no message is longer."""
_WAITED = 0.0005
"""Seconds that no ``recv`` takes but one that waits."""
_REST = 0.01
"""Seconds until a connection that is read more slowly is looked at again."""
_EASE, _ALL_ELSE = 0.5, 4.0
"""Shares of the backlog: at which a connection is read again, and how much there may be where it is late."""
_ESTABLISHED = 1  # TCP_ESTABLISHED of <netinet/tcp.h>
_header = Struct("!BBHI")

malformed: Counter[str] = Counter()
"""Connections that ended with a message that no switch sends, by its type, since the process began."""
unreadable: Counter[str] = Counter()
"""Messages that were dropped because os-ken's parsers do not know what is in them, by their type."""

SILENCE = 30
"""Seconds after which a host that acknowledges nothing is gone; kernels do, however busy the switch."""


def expect_life(connection: Any) -> None:
    """Set TCP keepalive, so that the kernel ends a connection to a host that is gone (tcp(7))."""
    if connection.family in {socket.AF_INET, socket.AF_INET6}:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, SILENCE // 3)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, SILENCE // 6)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, SILENCE * 1000)


class Ended(Exception):
    """The connection ends because of a limit; the text says which."""


class Connection(controller.Datapath):  # type: ignore[misc]  # os-ken has no types
    """os-ken's ``Datapath``, with receiving and sending threads of our own.

    ``names``: those of its verified certificate; None without TLS. ``backlog``: its events that the engine
    has not taken in. ``begin``: when it was accepted, by ``time.monotonic``. ``unread``:
    types of messages that are dropped as they come. ``late``: packet-ins are, as too much waits to be read;
    ``missed``: how many were.
    """

    def __init__(
        self,
        sock: Any,
        address: Any,
        limits: Limits = LIMITS,
        *,
        names: frozenset[str] | None = None,
        begin: float | None = None,
        established: Callable[[], None] = lambda: None,
    ) -> None:
        """``established`` is called once it is admitted: it no longer counts among those that wait."""
        self.limits = limits
        self.names = names
        self.backlog = Backlog()
        self.established = established
        self.heard = 0
        self.turn = 0.0
        self.unread: frozenset[int] = frozenset()
        self.dropped = 0
        self.late, self.missed = False, 0
        self._begin = time.monotonic() if begin is None else begin
        self._since = time.monotonic()  # then all that had come was read
        self._reassured = 0.0
        self._slow = False
        self._outgoing: Any = hub.Queue()
        self._room: Any = hub.Semaphore(limits.room)
        self._offers = Backlog()
        self._over = False
        super().__init__(sock, address)

    @property
    def is_left(self) -> bool:
        """Whether the far end closed it, though what it said before may not be read yet; tcp(7), TCP_INFO."""
        try:
            state: int = self.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]
        except OSError:  # it has ended here, or is no TCP
            return bool(self.state == DEAD_DISPATCHER)
        return state != _ESTABLISHED

    def serve(self) -> None:
        """Converse until the connection ends."""
        sender = hub.spawn(self._send_loop)
        self.send_msg(self.ofproto_parser.OFPHello(self))
        try:
            _receive(self)
        finally:
            hub.joinall([sender])
            with suppress(OSError):
                self.socket.close()

    def close(self) -> None:
        """End the connection, at once and without waiting: its threads find it dead."""
        self.set_state(DEAD_DISPATCHER)
        with suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        self._outgoing.put((b"", True, None))

    def send(self, buf: bytes, close_socket: bool = False) -> bool:
        """Send soon; wait while too much waits already. Not for the event loop, which waits for nothing."""
        self._room.acquire()
        if self._over:
            self._room.release()  # the next one that waits
            return False
        self._outgoing.put((buf, close_socket, self._room.release))
        return True

    def offer(self, message: Any) -> bool:
        """Send one message soon, or drop it where too much waits already; never wait."""
        if self._over or self._offers.events >= self.limits.offers:
            self.dropped += 1
            return False
        if message.xid is None:
            self.set_xid(message)
        message.serialize()
        self._offers.come(0)
        self._outgoing.put((message.buf, False, lambda: self._offers.leave(0)))
        return True

    def _send_loop(self) -> None:
        last = False
        try:
            while self.state != DEAD_DISPATCHER and not last:
                data, last, taken = self._outgoing.get()
                if taken is not None:
                    taken()
                self.socket.sendall(data)
        except OSError as error:
            LOG.debug("%s: sending failed: %s", shown(self.address), error)
        finally:
            self._over = True
            self._room.release()
            if last:
                self._close_write()  # what was sent last may still arrive; the deadline ends the rest
            else:
                self.close()

    def patience(self) -> float:
        """Seconds to wait for the next bytes. ``Ended`` when they come too late, or are too many."""
        if self.state == MAIN_DISPATCHER:
            return float(controller.CONF.socket_timeout)
        left = self._begin + self.limits.handshake - time.monotonic()
        if left <= 0:
            raise Ended(f"no OpenFlow handshake within {self.limits.handshake:g} s")
        if self.heard > self.limits.handshake_bytes:
            raise Ended(f"more than {self.limits.handshake_bytes} bytes before the end of the handshake")
        return left

    def rest(self) -> None:
        """Let others have a turn. While the engine has too much from this connection, read nothing.

        Replies and echoes of its bridge wait behind all that it said before. Where something was waiting for
        so long that the bridge may give the connection up, it is read without packet-ins until nothing is:
        Open vSwitch drops these, too, where they are too many. Of all else there may be four times as much.
        """
        hub.sleep(0)
        self._reassure()
        if self._load() > (_ALL_ELSE if self.late else 1):
            self._slow_down()
        if not self.late and self._is_overdue():
            self.late = True
            self._tell_slow()

    @property
    def is_behind(self) -> bool:
        """Whether something has waited for a second to be read."""
        return time.monotonic() > self._since + 1 and self._waits()

    @property
    def next_turn(self) -> float:
        """Seconds that the next turn takes."""
        return self.limits.late_turn if self.is_behind else self.limits.turn

    def look(self) -> None:
        """Note it where all that came is read."""
        if self._waits():
            return
        self._since = time.monotonic()
        if self.late and self._load() <= 1:
            fields = {**_whose(self), "dropped": self.missed}
            log_event(LOG, "connection.caught_up", level=logging.WARNING, **fields)
            self.late, self.missed = False, 0

    def _slow_down(self) -> None:
        self._tell_slow()
        while self.state != DEAD_DISPATCHER and self._load() > _EASE:
            if self._is_overdue() and self._load() <= _ALL_ELSE:
                return
            self._reassure()
            hub.sleep(_REST)

    def _reassure(self) -> None:
        """Send an echo request each second while something waits: any message resets a bridge's inactivity
        timer.
        """
        now = time.monotonic()
        if now > max(self._since, self._reassured) + 1:
            self._reassured = now
            self.offer(parser.OFPEchoRequest(self, b""))

    def _tell_slow(self) -> None:
        if not self._slow:
            self._slow = True
            log_event(LOG, "connection.slowed", level=logging.WARNING, **_whose(self))

    def _is_overdue(self) -> bool:
        return time.monotonic() > self._since + self.limits.pause

    def _waits(self) -> bool:
        """Whether the kernel has bytes that were not read; ioctl_tty(2), FIONREAD."""
        count = bytearray(4)
        with suppress(OSError, ValueError):  # it was closed meanwhile
            fcntl.ioctl(self.socket.fileno(), termios.FIONREAD, count)
        return any(count)

    def _load(self) -> float:
        """What is on its way to the engine, as a share of what may be."""
        events, size = self.backlog.events, self.backlog.bytes
        return max(events / self.limits.backlog, size / self.limits.backlog_bytes)


def _receive(datapath: Any) -> None:
    """What os-ken's ``Datapath._recv_loop`` does: until the connection ends, events for all that it says."""
    limits = datapath.limits
    try:
        expect_life(datapath.socket)
        for message in messages(datapath):
            if datapath.late and message[1] == ofproto.OFPT_PACKET_IN:
                datapath.missed += 1
            elif message[1] not in datapath.unread and not message.startswith(monitor.DONE):
                _tell(datapath, message)
            full = datapath.backlog.events > limits.backlog and not datapath.late
            if full or time.monotonic() > datapath.turn:
                datapath.rest()
                datapath.turn = time.monotonic() + datapath.next_turn
    except Malformed as error:
        refuse(datapath, error)
    except Ended as error:
        log_event(LOG, "connection.ended", level=logging.WARNING, **_whose(datapath), reason=str(error))
    finally:
        datapath.close()


def refuse(datapath: Any, error: Malformed) -> None:
    """Say why this connection ends."""
    malformed[error.message] += 1
    fields = {**_whose(datapath), "message": error.message, "reason": str(error)}
    log_event(LOG, "connection.malformed", level=logging.WARNING, **fields)


def _whose(datapath: Any) -> dict[str, str]:
    """The fields of a log line that say which connection it is about."""
    dpid = {} if datapath.id is None else {"dpid": f"{datapath.id:016x}"}
    return {"address": shown(datapath.address), **dpid}


def messages(datapath: Any) -> Iterator[bytearray]:
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


def _piece(datapath: Any) -> bytes:
    """What there is, as soon as there is something; nothing when the connection has ended."""
    while datapath.state != DEAD_DISPATCHER:
        datapath.look()
        datapath.socket.settimeout(datapath.patience())
        asked = time.monotonic()
        try:
            received: bytes = datapath.socket.recv(PIECE)
        except TimeoutError:
            continue
        except OSError:
            break
        if (now := time.monotonic()) > asked + _WAITED:  # meanwhile others had their turn
            datapath.turn = now + datapath.limits.turn
        datapath.heard += len(received)
        return received
    return b""


def _tell(datapath: Any, message: bytearray) -> None:
    """Deliver the event of a message to applications, then to os-ken's own handlers.

    os-ken's own handler of errors only formats a debug log, which takes 0.4 ms.
    """
    parsed = parse(datapath, message)
    if parsed is None or datapath.ofp_brick is None:
        return
    event = ofp_event.ofp_msg_to_ev(parsed)
    datapath.ofp_brick.send_event_to_observers(event, datapath.state)
    if not isinstance(parsed, parser.OFPErrorMsg):
        for handler in datapath.ofp_brick.get_handlers(event, datapath.state):
            handler(event)


def parse(datapath: Any, message: bytearray) -> Any:
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
