"""A connection that ends when its bridge goes, on both hubs of os-ken.

When the receiving thread of an os-ken connection ends, it kills the sending one and waits for it. Threads
of the native hub cannot be killed: it would wait forever, and nobody would hear that the bridge went.
"""

from __future__ import annotations

from functools import wraps

from os_ken.controller import controller

_receive = controller.Datapath._recv_loop


@wraps(_receive)
def _receive_and_say_when_over(datapath: controller.Datapath) -> None:
    try:
        _receive(datapath)
    finally:
        datapath.close()
        datapath.send(b"", close_socket=True)  # wakes the sending thread, which finds the connection dead


def install() -> None:
    """Mend os-ken's ``Datapath``, process-wide; again is harmless."""
    controller.Datapath._recv_loop = _receive_and_say_when_over
