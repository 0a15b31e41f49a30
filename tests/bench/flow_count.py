"""How many flows a bridge has, asked often: over one connection, as ovs-ofctl starts anew each time.

A bridge knows how many flows each of its tables has; to sum up those of all tables (OFPMP_AGGREGATE) it looks
at each flow, which at 100 times a second took more of its time than the flows themselves.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from struct import Struct, pack, unpack

from sdnapp.openflow.encode import VERSION

_HELLO, _MULTIPART, _MULTIPART_REPLY, _TABLE = 0, 18, 19, 3
_BODY = pack("!HHxxxx", _TABLE, 0)
_OF_TABLE = Struct("!xxxxIxxxxxxxxxxxxxxxx")  # OpenFlow 1.3.5 section 7.3.5.4


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
                _, kind, length, _ = unpack("!BBHI", reader.read(8))
                message = reader.read(length - 8)
            return sum(active for (active,) in _OF_TABLE.iter_unpack(message[len(_BODY) :]))

        yield count
