"""``python storm.py DEVICE DESTINATION SECONDS [SOURCE]``: frames as fast as they can be sent.

Each has another source, made up at random, unless one is given. It prints how many it sent.
"""

from __future__ import annotations

import os
import socket
import sys
import time
from errno import ENOBUFS

BATCH = 1000


def main(device: str, destination: str, seconds: str, source: str | None = None) -> int:
    """Send until the time is over; return how many frames."""
    head, tail = bytes.fromhex(destination.replace(":", "")), b"\x88\xb5" + bytes(46)
    fixed = None if source is None else bytes.fromhex(source.replace(":", ""))
    sent, end = 0, time.monotonic() + float(seconds)
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as out:
        out.bind((device, 0))
        while time.monotonic() < end:
            noise = os.urandom(5 * BATCH)
            for at in range(0, len(noise), 5):
                try:
                    out.send(head + (fixed or b"\x02" + noise[at : at + 5]) + tail)
                    sent += 1
                except OSError as full:
                    if full.errno != ENOBUFS:
                        raise
    return sent


if __name__ == "__main__":
    print(main(*sys.argv[1:]))
