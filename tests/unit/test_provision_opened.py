"""Which ports the userspace datapath reads from a device that is gone."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from sdnapp.provision import opened
from sdnapp.provision.opened import Opened, of, stale

DEVICES = {"red1": 9, "blue1": 3, "br-int": 7}
PORTS = ("red1", "blue1", "absent")


def test_a_port_is_stale_whose_device_has_another_index_than_is_open() -> None:
    """``red1`` was 4, is gone, and came back as 9; a port whose device is absent waits for it."""
    assert of(DEVICES, PORTS, (), Opened(frozenset({-1, 3}), frozenset({"br-int"}))) == {"red1"}


def test_where_nothing_open_is_gone_open_vswitch_is_still_about_to_open_it() -> None:
    assert of(DEVICES, PORTS, ("br-phy",), Opened(frozenset({3}), frozenset({"br-int"}))) == frozenset()


def test_a_bridge_is_stale_whose_tap_device_is_gone() -> None:
    assert of(DEVICES, (), ("br-phy",), Opened(frozenset(), frozenset({"br-int", ""}))) == {"br-phy"}
    assert of(DEVICES, (), ("br-phy",), Opened(frozenset(), frozenset({"br-phy", ""}))) == frozenset()


def test_a_socket_of_another_program_does_not_hide_a_stale_port(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A capture on the new device has a socket there; ovs-vswitchd still has that of the old one."""
    line = "0000 3 3 0003 {} 1 0 0 {}"
    with socket.socket() as theirs:
        inode = os.readlink(f"/proc/self/fd/{theirs.fileno()}")[len("socket:[") : -1]
        table = tmp_path / "packet"
        table.write_text("\n".join(["sk RefCnt Type Proto Iface", line.format(-1, inode), line.format(9, 1)]))
        monkeypatch.setattr(opened, "_PACKET_SOCKETS", table)
        name = Path(f"/proc/{os.getpid()}/comm").read_text().strip()

        monkeypatch.setattr(opened, "_DAEMON", name)
        assert stale(DEVICES, ("red1",), (), os.getpid()) == {"red1"}
        monkeypatch.setattr(opened, "_DAEMON", "not-this-one")
        assert stale(DEVICES, ("red1",), (), os.getpid()) == frozenset()
        assert stale(DEVICES, ("blue1",), (), None) == {"blue1"}
