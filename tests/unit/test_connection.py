"""Connections to bridges."""

from __future__ import annotations

import socket

import os_ken.base.app_manager  # noqa: F401  # the connection's module wants to be imported after it

from sdnapp.openflow.connection import SILENCE, expect_life


def test_the_kernel_ends_a_connection_to_a_host_that_is_gone_and_leaves_others_alone() -> None:
    with socket.socket() as connection, socket.socket(socket.AF_UNIX) as local:
        expect_life(connection)
        expect_life(local)

        assert connection.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) < SILENCE
        assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == SILENCE * 1000
