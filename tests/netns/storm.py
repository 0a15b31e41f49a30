"""``python storm.py SOCKET FRAME [FIRST-END...]``: a frame as fast as it can be sent, until somebody ends it.

The socket is inherited, the frame is in hexadecimal. These parts of it are made up at random each time.
"""

from __future__ import annotations

import os
import socket
import sys
from errno import ENOBUFS


def main(inherited: str, text: str, *forged: str) -> None:
    """Send for as long as there is this process."""
    out, frame = socket.socket(fileno=int(inherited)), bytearray.fromhex(text)
    parts = [slice(*map(int, part.split("-"))) for part in forged]
    while True:
        for part in parts:
            frame[part] = os.urandom(part.stop - part.start)
        try:
            out.send(frame)
        except OSError as full:
            if full.errno != ENOBUFS:
                raise


if __name__ == "__main__":
    main(*sys.argv[1:])
