"""DHCP, DHCPv6 and router advertisements for ports of the file: replies follow from the file alone.

There are no leases to keep: an address belongs to its port, so any controller gives the same reply at any
time. Replies come from an address that no station has. A client that renews gets no reply from it, and
broadcasts a little later; then it gets one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface, IPv6Address, IPv6Interface

from sdnapp.frames import dhcp, dhcp6, neighbour, packet
from sdnapp.frames.packet import Ends, Packet
from sdnapp.net.model import Dhcp, Interface

SERVER_MAC = "02:73:64:6e:61:70"
SERVER = IPv4Address("169.254.0.67")
"""Link-local (RFC 3927), outside of what hosts choose from (§2.1)."""
SERVER6 = packet.link_local(SERVER_MAC)
DUID = b"\0\x03\0\x01" + packet.octets(SERVER_MAC)
"""DUID-LL (RFC 8415 §11.4)."""

_EVERYONE, _EVERYONE_MAC = IPv4Address("255.255.255.255"), "ff:ff:ff:ff:ff:ff"


@dataclass(frozen=True, slots=True)
class DhcpClient:
    """A port in a network with DHCP. ``mac``: None where any client may ask. ``mtu``: None where it is not
    known.
    """

    name: str
    mac: str | None
    addresses: tuple[Interface, ...]
    mtu: int | None
    settings: Dhcp


@dataclass(frozen=True, slots=True)
class DhcpReply:
    """Result of a request: a counter name, and the frame that replies, if one does."""

    what: str
    frame: bytes | None = None


def dhcp_reply(client: DhcpClient, asked: Packet) -> DhcpReply | None:
    """What the network says to this frame; None if that is none of its business."""
    if client.mac is not None and asked.eth_src != client.mac:
        return DhcpReply("source not allowed")
    if neighbour.solicits(asked):
        return _advertise(client, asked)
    datagram = packet.datagram(asked)
    if datagram is None:
        return None
    if datagram.dst_port == dhcp.SERVER_PORT and asked.src.version == 4:
        question = dhcp.read(datagram.payload)
        return None if question is None else _answer4(client, asked, question)
    if datagram.dst_port == dhcp6.SERVER_PORT and isinstance(asked.src, IPv6Address):
        question6 = dhcp6.read(datagram.payload)
        return None if question6 is None else _answer6(client, asked, question6)
    return None


def _answer4(client: DhcpClient, asked: Packet, question: dhcp.Question) -> DhcpReply:
    """RFC 2131 §4.3."""
    lease = next((a for a in client.addresses if isinstance(a, IPv4Interface)), None)
    if question.mac != asked.eth_src or question.relay != dhcp.NOWHERE:
        return DhcpReply("source not allowed")
    elsewhere = question.server not in (None, SERVER)
    match question.kind:
        case dhcp.Kind.DISCOVER if lease is not None:
            return _reply4(client, question, dhcp.Kind.OFFER, lease)
        case dhcp.Kind.REQUEST if lease is not None and not elsewhere:
            right = (question.requested or question.address) == lease.ip
            return _reply4(client, question, dhcp.Kind.ACK if right else dhcp.Kind.NAK, lease)
        case dhcp.Kind.INFORM:
            return _reply4(client, question, dhcp.Kind.ACK, None)
        case dhcp.Kind.RELEASE | dhcp.Kind.DECLINE:
            return DhcpReply(f"dhcp {question.kind.name.lower()}")
    return DhcpReply("dhcp ignored")


def _reply4(
    client: DhcpClient, question: dhcp.Question, kind: dhcp.Kind, lease: IPv4Interface | None
) -> DhcpReply:
    options = [(dhcp.Option.SERVER, SERVER.packed)]
    yours = dhcp.NOWHERE
    if kind is not dhcp.Kind.NAK:
        options += _options4(client, lease)
        yours = dhcp.NOWHERE if lease is None else lease.ip
    destination = question.address if question.address != dhcp.NOWHERE else yours
    if destination == dhcp.NOWHERE or question.broadcast or kind is dhcp.Kind.NAK:
        ends = Ends(SERVER_MAC, _EVERYONE_MAC, SERVER, _EVERYONE)
    else:
        ends = Ends(SERVER_MAC, question.mac, SERVER, destination)
    message = dhcp.answer(question, kind, yours, options)
    frame = packet.with_udp(ends, dhcp.SERVER_PORT, dhcp.CLIENT_PORT, message)
    return DhcpReply(f"dhcp {kind.name.lower()}", frame)


def _options4(client: DhcpClient, lease: IPv4Interface | None) -> Iterator[tuple[dhcp.Option, bytes]]:
    settings, option = client.settings, dhcp.Option
    if lease is not None:
        seconds = settings.lease
        yield option.LEASE, seconds.to_bytes(4, "big")
        yield option.RENEWAL, (seconds // 2).to_bytes(4, "big")
        yield option.REBINDING, (seconds * 5 // 8).to_bytes(4, "big")
        yield option.MASK, lease.netmask.packed
        yield option.BROADCAST, lease.network.broadcast_address.packed
    if settings.router is not None:
        yield option.ROUTER, settings.router.packed
    if servers := [server.packed for server in settings.dns if server.version == 4]:
        yield option.DNS, b"".join(servers)
    yield option.HOSTNAME, client.name.encode()
    if settings.domain is not None:
        yield option.DOMAIN, settings.domain.encode()
    if client.mtu is not None:
        yield option.MTU, client.mtu.to_bytes(2, "big")


def _answer6(client: DhcpClient, asked: Packet, question: dhcp6.Question) -> DhcpReply:
    """RFC 8415 §18.3; what must be discarded (§16) is ignored."""
    kind, chosen = dhcp6.Kind, question.server == DUID
    addresses = [a.ip for a in client.addresses if isinstance(a, IPv6Interface)]
    match question.kind:
        case kind.SOLICIT if question.client and question.server is None:
            said = _associations(client, question, addresses)
            if question.rapid and addresses:
                return _reply6(client, asked, question, [(dhcp6.Option.RAPID_COMMIT, b""), *said])
            # A client with addresses in the file need not wait for other offers (section 18.2.1).
            best = [(dhcp6.Option.PREFERENCE, b"\xff")] if addresses else []
            return _reply6(client, asked, question, [*best, *said], kind.ADVERTISE)
        case kind.REQUEST | kind.RENEW if question.client and chosen:
            return _reply6(client, asked, question, _associations(client, question, addresses))
        case kind.REBIND if question.client and question.server is None:
            return _reply6(client, asked, question, _associations(client, question, addresses))
        case kind.CONFIRM if question.client and question.server is None:
            # Stricter than the RFC: an address of another port is none of this one's, though on the link.
            fine = all(ip in addresses for each in question.associations for ip in each.addresses)
            status = dhcp6.Status.SUCCESS if fine else dhcp6.Status.NOT_ON_LINK
            return _reply6(client, asked, question, [(dhcp6.Option.STATUS, dhcp6.stated(status))])
        case kind.RELEASE | kind.DECLINE if question.client and chosen:
            done = [(dhcp6.Option.STATUS, dhcp6.stated(dhcp6.Status.SUCCESS))]
            served = _reply6(client, asked, question, done)
            return DhcpReply(f"dhcpv6 {question.kind.name.lower()}", served.frame)
        case kind.INFORMATION if question.server is None or chosen:
            return _reply6(client, asked, question, [])
    return DhcpReply("dhcpv6 ignored")


def _associations(
    client: DhcpClient, question: dhcp6.Question, addresses: Sequence[IPv6Address]
) -> list[tuple[int, bytes]]:
    """Our addresses in the first association; what the client had and is not ours is valid no longer."""
    lease, said = client.settings.lease, []
    for place, each in enumerate(question.associations):
        ours = [(ip, lease) for ip in addresses] if place == 0 else []
        had = () if question.kind in {dhcp6.Kind.SOLICIT, dhcp6.Kind.REQUEST} else each.addresses
        over = [(ip, 0) for ip in had if ip not in addresses or place]
        if ours or over:
            value = dhcp6.association(each.number, lease, [*ours, *over])
        else:
            value = dhcp6.refused(each.number, dhcp6.Status.NO_ADDRESS)
        said.append((int(dhcp6.Option.IA_NA), value))
    return said


def _reply6(
    client: DhcpClient,
    asked: Packet,
    question: dhcp6.Question,
    said: Sequence[tuple[int, bytes]],
    kind: dhcp6.Kind = dhcp6.Kind.REPLY,
) -> DhcpReply:
    settings = client.settings
    options = list(said)
    if servers := [server.packed for server in settings.dns if server.version == 6]:
        options.append((dhcp6.Option.DNS, b"".join(servers)))
    if settings.domain is not None:
        options.append((dhcp6.Option.DOMAINS, dhcp6.name(settings.domain)))
    ends = Ends(SERVER_MAC, asked.eth_src, SERVER6, asked.src)
    message = dhcp6.answer(question, kind, DUID, options)
    frame = packet.with_udp(ends, dhcp6.SERVER_PORT, dhcp6.CLIENT_PORT, message)
    return DhcpReply(f"dhcpv6 {kind.name.lower()}", frame)


def _advertise(client: DhcpClient, asked: Packet) -> DhcpReply | None:
    """DHCPv6 gives addresses without saying which others are on the link: an advertisement does."""
    prefixes = dict.fromkeys(a.network for a in client.addresses if isinstance(a, IPv6Interface))
    if not prefixes:
        return None
    if int(asked.src):
        ends = Ends(SERVER_MAC, asked.eth_src, SERVER6, asked.src)
    else:
        ends = Ends(SERVER_MAC, neighbour.ALL_NODES_MAC, SERVER6, neighbour.ALL_NODES)
    mtu = None if client.mtu is None or client.mtu < 1280 else client.mtu
    return DhcpReply("router advertisement", neighbour.advertisement(ends, prefixes, mtu))
