"""Two knobs of ethtool(8): who computes checksums of what is sent, and who glues together what arrives."""

from __future__ import annotations

import array
import fcntl
import socket
import struct

_SIOCETHTOOL = 0x8946
_GET_TX_CHECKSUM, _SET_TX_CHECKSUM = 0x16, 0x17
_SET_GRO = 0x2C  # generic receive offload: a stream's segments become one long packet


def tx_checksum(control: socket.socket, device: str) -> bool:
    """Whether ``device``, in the namespace of ``control``, leaves checksums to hardware. Raises OSError."""
    return bool(_ioctl(control, device, _GET_TX_CHECKSUM, 0))


def set_tx_checksum(control: socket.socket, device: str, *, offload: bool) -> None:
    """Let ``device``, in the namespace of ``control``, leave checksums to hardware, or not. Raises OSError."""
    _ioctl(control, device, _SET_TX_CHECKSUM, int(offload))


def set_gro(control: socket.socket, device: str, *, on: bool) -> None:
    """Let ``device``, in the namespace of ``control``, join what it receives, or not. Raises OSError."""
    _ioctl(control, device, _SET_GRO, int(on))


def control_socket() -> socket.socket:
    """Open a socket to reach the devices of this namespace through."""
    return socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)


def _ioctl(control: socket.socket, device: str, command: int, value: int) -> int:
    """Issue a ``struct ethtool_value`` behind a ``struct ifreq``: linux/ethtool.h, netdevice(7)."""
    argument = array.array("I", [command, value])
    address, _ = argument.buffer_info()
    fcntl.ioctl(control, _SIOCETHTOOL, struct.pack("16sP16x", device.encode(), address))
    return argument[1]
