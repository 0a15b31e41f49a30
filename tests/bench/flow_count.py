"""How many flows a bridge has, asked often: over one connection, as ovs-ofctl starts anew each time."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from struct import pack, unpack, unpack_from

from sdnapp.openflow.encode import VERSION

_HELLO, _MULTIPART, _MULTIPART_REPLY, _AGGREGATE = 0, 18, 19, 2
_ALL_TABLES, _ANY = 0xFF, 0xFFFFFFFF

# All flows of all tables (OpenFlow 1.3.5 section 7.3.5.3), with a match of nothing.
_BODY = pack("!HHxxxxBxxxIIxxxxQQHHxxxx", _AGGREGATE, 0, _ALL_TABLES, _ANY, _ANY, 0, 0, 1, 4)
_COUNT = 16 + 16  # behind the multipart header, packets and bytes


@contextmanager
def flow_count(management: Path) -> Iterator[Callable[[], int]]:
    """Give a way to count the flows of the bridge that is managed through this socket."""
    with socket.socket(socket.AF_UNIX) as bridge:
        bridge.connect(str(management))
        bridge.sendall(pack("!BBHI", VERSION, _HELLO, 8, 0))
        reader = bridge.makefile("rb")

        def count() -> int:
            bridge.sendall(pack("!BBHI", VERSION, _MULTIPART, 8 + len(_BODY), 1) + _BODY)
            kind = None
            while kind != _MULTIPART_REPLY:
                head = reader.read(8)
                _, kind, length, _ = unpack("!BBHI", head)
                message = head + reader.read(length - 8)
            return int(unpack_from("!I", message, _COUNT)[0])

        yield count
