"""Addresses of stations beyond what the file says."""

from __future__ import annotations

from ipaddress import IPv6Address


def link_local(mac: str) -> str:
    """The link-local address that a station makes from its MAC (RFC 4291, appendix A)."""
    octets = bytes.fromhex(mac.replace(":", ""))
    identifier = bytes([octets[0] ^ 2]) + octets[1:3] + b"\xff\xfe" + octets[3:]
    return str(IPv6Address(b"\xfe\x80" + bytes(6) + identifier))
