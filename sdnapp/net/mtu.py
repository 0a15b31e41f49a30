"""What an encapsulation adds to a frame, and so what is left for the workload.

The underlay's MTU bounds the outer IP packet, which holds: outer IP header, encapsulation, the inner
Ethernet header, and the inner packet; the last is what the workload's MTU counts. No network carries a tag
inside the tunnel.
"""

from __future__ import annotations

from sdnapp.net.model import Encapsulation, Host, Overlay

_IP = {4: 20, 6: 40}  # RFC 791, RFC 8200, both without options
_ETHERNET = 14  # the inner header; its checksum is not carried
_UDP = 8
_HEADER = {
    "vxlan": _UDP + 8,  # RFC 7348, section 5
    "geneve": _UDP + 8,  # RFC 8926, section 3.4, without options
    "gre": 4 + 4,  # RFC 2784, section 2.1, and the key of RFC 2890, section 2
}
_GRE_CHECKSUM = 4  # RFC 2784, section 2.1: checksum and reserved; in UDP the field is there anyway


def overhead(encapsulation: Encapsulation, version: int, *, csum: bool) -> int:
    """Bytes by which a workload's MTU is smaller than an underlay's of IP ``version`` (4 or 6).

    >>> [overhead(kind, 4, csum=False) for kind in ("vxlan", "geneve", "gre")]
    [50, 50, 42]
    >>> [overhead(kind, 6, csum=True) for kind in ("vxlan", "geneve", "gre")]
    [70, 70, 66]
    """
    checksum = _GRE_CHECKSUM if encapsulation == "gre" and csum else 0
    return _IP[version] + _HEADER[encapsulation] + checksum + _ETHERNET


def workload_mtu(overlay: Overlay, host: Host, underlay: int) -> int:
    """Bytes in the MTU of the workloads on ``host``, whose vtep is on a device with MTU ``underlay``.

    The tunnel that costs most decides for all, so that the workloads of a network agree wherever they are.
    """
    if overlay.mtu is not None:
        return overlay.mtu
    version = host.vtep.version
    ways = {
        (tunnel.encapsulation, tunnel.csum)
        for other in overlay.hosts.values()
        for tunnel in other.tunnels
        if tunnel.local_ip.version == version
    }
    usual = overhead(overlay.encapsulation, version, csum=False)
    return underlay - max((overhead(kind, version, csum=csum) for kind, csum in ways), default=usual)
