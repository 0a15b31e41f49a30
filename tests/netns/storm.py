"""``python storm.py SOCKET DESTINATION [SOURCE]``: frames as fast as they can be sent, until it is ended.

The socket is inherited. Each frame has another source, made up at random, unless one is given.
"""

from __future__ import annotations

import os
import socket
import sys
from errno import ENOBUFS

BATCH = 1000


def main(inherited: str, destination: str, source: str | None = None) -> None:
    """Send for as long as there is this process."""
    head, tail = bytes.fromhex(destination.replace(":", "")), b"\x88\xb5" + bytes(46)
    fixed = None if source is None else bytes.fromhex(source.replace(":", ""))
    out = socket.socket(fileno=int(inherited))
    while True:
        noise = os.urandom(5 * BATCH)
        for at in range(0, len(noise), 5):
            try:
                out.send(head + (fixed or b"\x02" + noise[at : at + 5]) + tail)
            except OSError as full:
                if full.errno != ENOBUFS:
                    raise


if __name__ == "__main__":
    main(*sys.argv[1:])
