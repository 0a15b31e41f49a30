"""A TLS server on the hub that OSKEN_HUB_TYPE names: what it found of each connection is a line of JSON.

A client sends how many bytes it wants, in 4 bytes, then whatever it likes until it closes its side. One
thread sends, another receives, at the same time.
"""

from __future__ import annotations

import hashlib
import json
import socket
import sys
from typing import Any

from os_ken.lib import hub

hub.patch(thread=False)

from sdnapp.net.model import TlsFiles
from sdnapp.tls import peer_names, server_context
from sdnapp.tls.stream import Refused, Stream

PIECE = 50_000


def main(arguments: list[str]) -> None:
    """Listen, say where, and serve for ever."""
    context = server_context(TlsFiles(*arguments), client="required")
    listening = socket.create_server(("127.0.0.1", 0))
    say(port=listening.getsockname()[1])
    while True:
        plain, _ = listening.accept()
        hub.spawn(converse, Stream(plain, context))


def converse(stream: Any) -> None:
    """One connection."""
    try:
        stream.handshake(0.5)
    except Refused as refused:
        say(refused=str(refused))
        stream.close()
        return
    names, version = sorted(peer_names(stream)), stream.version()
    wanted = int.from_bytes(receive(stream, 4), "big")
    sender = hub.spawn(send, stream, wanted)
    digest, size = hashlib.sha256(), 0
    try:
        while piece := stream.recv(65536):
            digest.update(piece)
            size += len(piece)
    except OSError as error:
        say(lost=str(error))
    hub.joinall([sender])
    say(names=names, version=version, received=size, digest=digest.hexdigest())
    stream.close()


def receive(stream: Any, size: int) -> bytes:
    """Exactly so many bytes."""
    held = b""
    while len(held) < size:
        held += stream.recv(size - len(held))
    return held


def send(stream: Any, size: int) -> None:
    """So many bytes, in pieces."""
    for start in range(0, size, PIECE):
        stream.sendall(b"s" * min(PIECE, size - start))


def say(**found: Any) -> None:
    """One line."""
    print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
