"""The IP addresses of a configuration file: of hosts, networks and workloads, and where something listens."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
    ip_address,
    ip_interface,
    ip_network,
)
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, WithJsonSchema

from sdnapp.config.problem import shown
from sdnapp.config.validators import as_list, invalid, one_or_list_schema, parsed, string_schema

_ENDPOINT = re.compile(
    r"(?P<scheme>[a-z]+)(:|://)(\[(?P<v6>[^\]]*)\]|(?P<v4>[0-9.]+)):(?P<port>[0-9]{1,5})/?"
)


def _usable(ip: IPv4Address | IPv6Address, text: str) -> None:
    """Refuse an address that no machine can have."""
    kinds = {
        "multicast": ip.is_multicast,
        "loopback": ip.is_loopback,
        "unspecified": ip.is_unspecified,
        "broadcast": ip == IPv4Address("255.255.255.255"),
        "IPv4-mapped": isinstance(ip, IPv6Address) and ip.ipv4_mapped is not None,
    }
    for kind, found in kinds.items():
        if found:
            article = "an" if kind[0] in "uI" else "a"
            raise invalid(f"{shown(text)} is {article} {kind} address", "Write the address of one machine.")


def _vtep(text: str) -> IPv4Address | IPv6Address | None:
    if "%" in text:
        return None
    ip = ip_address(text)
    _usable(ip, text)
    if ip.is_link_local:
        raise invalid(
            f"{shown(text)} is a link-local address", "Write an address that every host can route to."
        )
    return ip


Vtep = Annotated[
    IPv4Address | IPv6Address,
    parsed(
        "an IP address",
        "Write an IPv4 or IPv6 address without a prefix length, such as 192.168.4.201.",
        _vtep,
    ),
    WithJsonSchema(string_schema("IP address")),
]


def _subnet(text: str) -> IPv4Network | IPv6Network | None:
    if "%" in text or "/" not in text:
        return None
    subnet = ip_network(text, strict=False)
    if subnet.network_address != ip_interface(text).ip:
        raise invalid(f"{shown(text)} is an address rather than a subnet", f"Write {subnet}.")
    if subnet.is_multicast or subnet.is_loopback:
        raise invalid(f"{shown(text)} holds no addresses of machines", "Write a subnet such as 10.1.1.0/24.")
    return subnet


Written = IPv4Address | IPv6Address | IPv4Interface | IPv6Interface
"""A workload's address, with the prefix length or without it, as written."""


def _address(text: str) -> Written | None:
    if "%" in text:
        return None
    address = ip_interface(text) if "/" in text else ip_address(text)
    _usable(ip_of(address), text)
    return address


def ip_of(address: Written) -> IPv4Address | IPv6Address:
    """The address alone."""
    return address.ip if isinstance(address, IPv4Interface | IPv6Interface) else address


Subnets = Annotated[
    tuple[
        Annotated[IPv4Network | IPv6Network, parsed("a subnet", "Write one such as 10.1.1.0/24.", _subnet)],
        ...,
    ],
    BeforeValidator(as_list),
    one_or_list_schema("subnet"),
]
Addresses = Annotated[
    tuple[Annotated[Written, parsed("an IP address", "Write one such as 10.1.1.1/24.", _address)], ...],
    BeforeValidator(as_list),
    one_or_list_schema("address/prefix length"),
]


def _station(text: str) -> IPv4Address | IPv6Address | None:
    if "%" in text:
        return None
    ip = ip_address(text)
    _usable(ip, text)
    return ip


def _station4(text: str) -> IPv4Address | None:
    ip = _station(text)
    return ip if isinstance(ip, IPv4Address) else None


Ipv4 = Annotated[
    IPv4Address,
    parsed("an IPv4 address", "Write one such as 10.1.1.1.", _station4),
    WithJsonSchema(string_schema("IPv4 address")),
]
Servers = Annotated[
    tuple[
        Annotated[
            IPv4Address | IPv6Address, parsed("an IP address", "Write one such as 10.1.1.53.", _station)
        ],
        ...,
    ],
    BeforeValidator(as_list),
    one_or_list_schema("IP address"),
]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An address and TCP port to listen on or to connect to; ``tls``: with TLS (``ssl:``, ``https:``)."""

    address: IPv4Address | IPv6Address
    port: int
    tls: bool = False

    @property
    def host(self) -> str:
        """The address as it stands in front of ``:port``."""
        return f"[{self.address}]" if self.address.version == 6 else str(self.address)


def _endpoint(plain: str, secure: str) -> Callable[[str], Endpoint | None]:
    def parse(text: str) -> Endpoint | None:
        found = _ENDPOINT.fullmatch(text)
        if not found or found["scheme"] not in {plain, secure} or not 1 <= int(found["port"]) <= 65535:
            return None
        address = IPv6Address(found["v6"]) if found["v6"] is not None else IPv4Address(found["v4"])
        tls = found["scheme"] == secure
        return None if address.is_multicast else Endpoint(address, int(found["port"]), tls)

    return parse


def _reachable(endpoint: Endpoint) -> Endpoint:
    if endpoint.address.is_unspecified:
        raise invalid(
            f"'{endpoint.address}' is no address to connect to", "Write the controller's own address."
        )
    return endpoint


_OPENFLOW = "tcp:address:port, or ssl:"
Listen = Annotated[
    tuple[
        Annotated[
            Endpoint,
            parsed(
                "an endpoint",
                "Write tcp:IP-ADDRESS:PORT or ssl:IP-ADDRESS:PORT, such as tcp:0.0.0.0:6653.",
                _endpoint("tcp", "ssl"),
            ),
        ],
        ...,
    ],
    BeforeValidator(as_list),
    one_or_list_schema(_OPENFLOW),
]
Target = Annotated[
    Endpoint,
    parsed(
        "an endpoint",
        "Write tcp:IP-ADDRESS:PORT or ssl:IP-ADDRESS:PORT, such as tcp:127.0.0.1:6653.",
        _endpoint("tcp", "ssl"),
    ),
    AfterValidator(_reachable),
    WithJsonSchema(string_schema(_OPENFLOW, re.compile("(tcp|ssl):.+:[0-9]+"))),
]
Url = Annotated[
    Endpoint,
    parsed(
        "a URL to serve",
        "Write http://IP-ADDRESS:PORT or https://IP-ADDRESS:PORT, such as http://127.0.0.1:8080.",
        _endpoint("http", "https"),
    ),
    WithJsonSchema(string_schema("http://address:port, or https:", re.compile("https?://.+:[0-9]+/?"))),
]


def _source(text: str) -> IPv4Network | IPv6Network | None:
    return None if "%" in text else ip_network(text, strict=False)


Sources = Annotated[
    tuple[
        Annotated[
            IPv4Network | IPv6Network,
            parsed("an address or prefix", "Write one such as 10.0.0.11 or 10.0.0.0/24.", _source),
        ],
        ...,
    ],
    BeforeValidator(as_list),
    one_or_list_schema("address or prefix"),
]
Management = Annotated[
    tuple[
        Annotated[
            IPv4Address | IPv6Address, parsed("an IP address", "Write one such as 10.0.0.11.", _station)
        ],
        ...,
    ],
    BeforeValidator(as_list),
    one_or_list_schema("IP address"),
]
