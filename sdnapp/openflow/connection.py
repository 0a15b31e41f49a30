"""A connection that ends when its bridge goes, or its host without a word, on both hubs of os-ken.

When the receiving thread of an os-ken connection ends, it kills the sending one and waits for it. Threads
of the native hub cannot be killed: it would wait forever, and nobody would hear that the bridge went.
"""

from __future__ import annotations

import socket
from functools import wraps
from typing import Any

from os_ken.controller import controller

_receive = controller.Datapath._recv_loop

SILENCE = 30
"""Seconds after which a host that acknowledges nothing is gone; kernels do, however busy the switch."""


def expect_life(connection: Any) -> None:
    """Have the kernel end a TCP connection to a host that is gone (tcp(7)); nobody wakes for it."""
    if connection.family in {socket.AF_INET, socket.AF_INET6}:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, SILENCE // 3)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, SILENCE // 6)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, SILENCE * 1000)


@wraps(_receive)
def _receive_and_say_when_over(datapath: controller.Datapath) -> None:
    try:
        expect_life(datapath.socket)
        _receive(datapath)
    finally:
        datapath.close()
        datapath.send(b"", close_socket=True)  # wakes the sending thread, which finds the connection dead


def install() -> None:
    """Mend os-ken's ``Datapath``, process-wide; again is harmless."""
    controller.Datapath._recv_loop = _receive_and_say_when_over
