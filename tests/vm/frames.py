"""Frames sent and counted at devices of a machine, by the Python that the package needs anyway."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tests.vm.machine import Machine, until

_GUEST = """
import errno, fcntl, os, select, socket, struct, sys
tap, device = sys.argv[1:]
guest = os.open("/dev/net/tun", os.O_RDWR)
fcntl.ioctl(guest, 0x400454CA, struct.pack("16sH22x", tap.encode(), 0x1002))  # TUNSETIFF: IFF_TAP, IFF_NO_PI
wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
wire.bind((device, 0))
while True:
    ready = select.select([guest, wire], [], [])[0]
    if guest in ready:
        wire.send(os.read(guest, 65536))
    if wire in ready:
        frame, (_, _, kind, *_) = wire.recvfrom(65536)
        if kind != socket.PACKET_OUTGOING:
            try:
                os.write(guest, frame)
            except OSError as error:
                if error.errno != errno.EIO:  # EIO: the tap is not up yet, as a cable that is not plugged in
                    raise
"""

_SEND = """
import socket, sys
wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
wire.bind(("eth0", 0))
for frame in sys.stdin:
    wire.send(bytes.fromhex(frame))
"""


@contextmanager
def guest(machine: Machine, name: str, mac: str) -> Iterator[str]:
    """A virtual machine's device: a tap, and behind it a Linux of its own in a namespace; yield the tap."""
    tap, inner = f"tap-{name}", f"in-{name}"
    machine.run(
        f"ip netns add {name} && ip link add {inner} type veth peer name eth0 netns {name}"
        f" && ip -n {name} link set eth0 address {mac} up && ip link set {inner} up promisc on"
        f" && ip netns exec {name} ethtool -K eth0 tx off tso off"  # checksums as a card would send them
    )
    machine.write("/run/guest.py", _GUEST)
    pid = machine.run(f"python3 /run/guest.py {tap} {inner} > /run/{tap} 2>&1 < /dev/null & echo $!").strip()
    try:
        until(lambda: machine.attempt(f"ip link set {tap} up").returncode == 0, f"{tap} is there")
        yield tap
    finally:
        machine.attempt(f"kill {pid}; ip netns del {name}; ovs-vsctl --if-exists del-port br-int {tap}")


def send(machine: Machine, namespace: str, *frames: bytes) -> None:
    """Send frames from eth0 of a namespace, as they are."""
    lines = "".join(f"{frame.hex()}\\n" for frame in frames)
    machine.write("/run/send.py", _SEND)
    machine.run(f"printf '{lines}' | ip netns exec {namespace} python3 /run/send.py")


@contextmanager
def heard(machine: Machine, namespace: str, filters: str) -> Iterator[str]:
    """Capture what comes in at eth0 of a namespace; yield the path of the words of tcpdump on the machine."""
    path = f"/run/heard-{namespace}"
    capture = f"ip netns exec {namespace} tcpdump -i eth0 -Q in -n -l -e {filters}"
    pid = machine.run(f"{capture} > {path} 2>&1 < /dev/null & echo $!").strip()
    try:
        until(lambda: "listening on" in machine.run(f"cat {path}"), "tcpdump listens")
        yield path
    finally:
        machine.attempt(f"kill {pid}")


def arp(source: str, sender: str, target: str, destination: str = "ff:ff:ff:ff:ff:ff") -> bytes:
    """Return an ARP request (RFC 826): from a MAC, for the address ``sender``, asking for ``target``."""
    own, ours = bytes.fromhex(source.replace(":", "")), bytes(map(int, sender.split(".")))
    asked = bytes(map(int, target.split(".")))
    head = bytes.fromhex(destination.replace(":", "")) + own + bytes.fromhex("0806")
    return head + bytes.fromhex("0001080006040001") + own + ours + bytes(6) + asked
