"""What a network says to a frame that its bridges handed to the controller: nothing, or a frame in return."""

from __future__ import annotations

from dataclasses import dataclass

from sdnapp.frames import packet
from sdnapp.net import dhcp, packet_too_big
from sdnapp.net.model import Attachment, Port
from sdnapp.net.state import State


@dataclass(frozen=True, slots=True)
class Reply:
    """What became of a frame that came in on ``port``; ``frame``: to leave there, tagged as it has to be."""

    network: str
    port: str
    what: str
    frame: bytes | None


def respond(state: State, host: str, vni: int, ofport: int, data: bytes) -> Reply | None:
    """What the network with this VNI says to a frame from this port; None if the port is none of its own."""
    path, interface = state.paths.get(vni), state.ports(host).name.get(ofport)
    here = (port for port in state.members.get(path or "", ()) if port.host == host)
    port = next((port for port in here if port.interface == interface), None)
    if path is None or port is None:
        return None
    attachment = next(each for each in port.attachments if each.network == path)
    if attachment.key is not None:
        return None  # nothing is said into a stranger's tunnel
    served = _served(state, port, attachment, data) or dhcp.DhcpReply("unanswered")
    frame = served.frame
    if frame is not None and attachment.tagged and attachment.vlan is not None:
        frame = packet.with_tag(frame, attachment.vlan)
    return Reply(path, port.name, served.what, frame)


def _served(state: State, port: Port, attachment: Attachment, data: bytes) -> dhcp.DhcpReply | None:
    asked = packet.read(data)
    if asked is None:
        return None
    network = state.overlay.networks[attachment.network]
    if network.dhcp is not None:
        # A device of ours has the right MTU, which follows from the underlay that only its host sees.
        mtu = network.mtu if network.mtu_told or port.namespace is None else None
        client = dhcp.DhcpClient(port.name, port.mac, attachment.addresses, mtu, network.dhcp)
        served = dhcp.dhcp_reply(client, asked)
        if served is not None:
            return served
    return packet_too_big.packet_too_big(asked, network.mtu)
