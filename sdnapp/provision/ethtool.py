"""One knob of ethtool(8): who computes the checksum of what a device sends."""

from __future__ import annotations

import array
import fcntl
import socket
import struct

_SIOCETHTOOL = 0x8946
_GET_TX_CHECKSUM = 0x16
_SET_TX_CHECKSUM = 0x17


def tx_checksum(control: socket.socket, device: str) -> bool:
    """Whether ``device``, in the namespace of ``control``, leaves them to hardware. Raises OSError."""
    return bool(_ioctl(control, device, _GET_TX_CHECKSUM, 0))


def set_tx_checksum(control: socket.socket, device: str, offload: bool) -> None:
    """Let ``device`` leave checksums to the hardware, or not. Raises OSError."""
    _ioctl(control, device, _SET_TX_CHECKSUM, int(offload))


def _ioctl(control: socket.socket, device: str, command: int, value: int) -> int:
    """Issue a ``struct ethtool_value`` behind a ``struct ifreq``: linux/ethtool.h, netdevice(7)."""
    argument = array.array("I", [command, value])
    address, _ = argument.buffer_info()
    fcntl.ioctl(control, _SIOCETHTOOL, struct.pack("16sP16x", device.encode(), address))
    return argument[1]
