"""Two settings of ethtool(8): transmit checksum offload and generic receive offload."""

from __future__ import annotations

import array
import fcntl
import socket
import struct

_SIOCGIFMTU, _SIOCGIFINDEX, _SIOCETHTOOL = 0x8921, 0x8933, 0x8946
TX_CHECKSUM = (0x16, 0x17)
"""Leave checksums of what is sent to hardware: ETHTOOL_GTXCSUM, ETHTOOL_STXCSUM of linux/ethtool.h."""
GRO = (0x2B, 0x2C)
"""Receive a stream's segments as one long packet: ETHTOOL_GGRO, ETHTOOL_SGRO."""


def get(control: socket.socket, device: str, knob: tuple[int, int]) -> bool:
    """Whether ``knob`` of ``device``, in the namespace of ``control``, is on. Raises OSError."""
    return bool(_ioctl(control, device, knob[0], 0))


def turn(control: socket.socket, device: str, knob: tuple[int, int], *, on: bool) -> None:
    """Turn ``knob`` of ``device``, in the namespace of ``control``, on or off. Raises OSError."""
    _ioctl(control, device, knob[1], int(on))


def index(control: socket.socket, device: str) -> int:
    """Return the index of ``device`` in the namespace of ``control``: netdevice(7). Raises OSError."""
    return _number(control, device, _SIOCGIFINDEX)


def mtu(control: socket.socket, device: str) -> int:
    """Return the MTU of ``device`` in the namespace of ``control``. Raises OSError."""
    return _number(control, device, _SIOCGIFMTU)


def control_socket() -> socket.socket:
    """Open a socket to reach the devices of this namespace through."""
    return socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)


def _number(control: socket.socket, device: str, command: int) -> int:
    request = fcntl.ioctl(control, command, struct.pack("16si20x", device.encode(), 0))
    return int(struct.unpack_from("i", request, 16)[0])


def _ioctl(control: socket.socket, device: str, command: int, value: int) -> int:
    """Issue a ``struct ethtool_value`` behind a ``struct ifreq``: netdevice(7)."""
    argument = array.array("I", [command, value])
    address, _ = argument.buffer_info()
    fcntl.ioctl(control, _SIOCETHTOOL, struct.pack("16sP16x", device.encode(), address))
    return argument[1]
