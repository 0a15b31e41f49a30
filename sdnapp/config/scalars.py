"""The values that a configuration file is made of: numbers, names, addresses, and how each is written.

Each is a type for pydantic: it reads the text as written, says in words what is wrong with it, and
describes itself in JSON Schema. What a value refers to is checked elsewhere.
"""

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
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, PlainValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

from sdnapp.config.problem import either, nearest, shown

_NUMBER = re.compile(r"0|[1-9][0-9]{0,9}|0x[0-9a-fA-F]{1,8}")
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_INTERFACE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,14}")
_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")
_DATAPATH_ID = re.compile(r"[0-9a-f]{16}|0x[0-9a-f]{1,16}")
_ENDPOINT = re.compile(
    r"(?P<scheme>[a-z]+)(:|://)(\[(?P<v6>[^\]]*)\]|(?P<v4>[0-9.]+)):(?P<port>[0-9]{1,5})/?"
)


def wrong(message: str, remedy: str) -> PydanticCustomError:
    """What a validator raises: what is wrong, and what would be right."""
    return PydanticCustomError("wrong", "{message}", {"message": message, "remedy": remedy})


def _read(what: str, remedy: str, parse: Callable[[str], Any]) -> PlainValidator:
    """A validator of text; ``parse`` gives None or raises ValueError where the text is not ``what``."""

    def validate(value: Any) -> Any:
        try:
            result = parse(value) if isinstance(value, str) else None
        except PydanticCustomError:
            raise
        except ValueError:
            result = None
        if result is None:
            raise wrong(f"{shown(value)} is not {what}", remedy)
        return result

    return PlainValidator(validate)


def _whole(what: str, low: int, high: int) -> PlainValidator:
    def parse(text: str) -> int | None:
        number = int(text, 0) if _NUMBER.fullmatch(text) else -1
        return number if low <= number <= high else None

    return _read(what, f"Write a whole number from {low} to {high}.", parse)


def _choice(what: str, *words: str) -> PlainValidator:
    def parse(text: str) -> str:
        if text in words:
            return text
        close = nearest(text.lower(), words)
        remedy = f"Did you mean {close!r}?" if close else f"Write {either(words)}."
        raise wrong(f"{shown(text)} is not {what}", remedy)

    return _read(what, f"Write {either(words)}.", parse)


def _integer(low: int, high: int) -> WithJsonSchema:
    return WithJsonSchema({"type": "integer", "minimum": low, "maximum": high})


def _string(what: str, pattern: re.Pattern[str] | None = None) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string", "$comment": what}
    return schema if pattern is None else {**schema, "pattern": f"^({pattern.pattern})$"}


Vlan = Annotated[int, _whole("a VLAN tag", 1, 4094), _integer(1, 4094)]
Vni = Annotated[int, _whole("a VNI", 1, 2**24 - 1), _integer(1, 2**24 - 1)]
UdpPort = Annotated[int, _whole("a UDP port", 1, 65535), _integer(1, 65535)]
Mtu = Annotated[int, _whole("an MTU", 576, 65535), _integer(576, 65535)]
Moves = Annotated[int, _whole("a number of moves", 2, 100), _integer(2, 100)]
Macs = Annotated[int, _whole("a number of MAC addresses", 1, 65535), _integer(1, 65535)]
Lease = Annotated[int, _whole("a number of seconds", 60, 2**31 - 1), _integer(60, 2**31 - 1)]
Age = Annotated[int, _whole("a number of seconds", 1, 65535), _integer(1, 65535)]


_QUANTITY = re.compile("([1-9][0-9]{0,11})([kMG]?)")
_TIMES = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9}


def _quantity(low: int, high: int) -> Callable[[str], int | None]:
    def parse(text: str) -> int | None:
        found = _QUANTITY.fullmatch(text)
        number = int(found[1]) * _TIMES[found[2]] if found else -1
        return number if low <= number <= high else None

    return parse


BitRate = Annotated[
    int,
    _read(
        "a rate", "Write bits per second from 8k to 100G, such as 64k, 100M or 1G.", _quantity(8000, 10**11)
    ),
    WithJsonSchema(_string("bits/s", _QUANTITY) | {"type": ["string", "integer"]}),
]
Burst = Annotated[
    int,
    _read("a burst", "Write bytes from 2k to 10G, such as 64k or 1M.", _quantity(2000, 10**10)),
    WithJsonSchema(_string("bytes", _QUANTITY) | {"type": ["string", "integer"]}),
]
FrameRate = Annotated[int, _whole("a number of frames per second", 1, 10**7), _integer(1, 10**7)]
Dscp = Annotated[
    int | Literal["inherit"],
    _read(
        "a DSCP",
        "Write a number from 0 to 63, or inherit.",
        lambda text: text if text == "inherit" else _dscp(text),
    ),
    WithJsonSchema({"type": ["string", "integer"], "$comment": "0 to 63, or `inherit`"}),
]


def _dscp(text: str) -> int | None:
    number = int(text, 0) if _NUMBER.fullmatch(text) else 64
    return number if number < 64 else None


KINDS = ("vxlan", "gre", "geneve")
Encapsulation = Annotated[
    Literal["vxlan", "gre", "geneve"],
    _choice("an encapsulation", *KINDS),
    WithJsonSchema({"enum": [*KINDS]}),
]
EVERYONE = "*"
"""Stands for all peers where a host gives one encapsulation for all of its tunnels."""

Encapsulations = Annotated[
    dict[str, Encapsulation],
    BeforeValidator(lambda value: value if isinstance(value, dict) else {EVERYONE: value}),
    WithJsonSchema(
        {
            "anyOf": [
                {"enum": [*KINDS]},
                {
                    "type": "object",
                    "propertyNames": {"$comment": "host"},
                    "additionalProperties": {"enum": [*KINDS]},
                },
            ]
        }
    ),
]
Datapath = Annotated[
    Literal["auto", "system", "netdev"],
    _choice("a datapath", "auto", "system", "netdev"),
    WithJsonSchema({"enum": ["auto", "system", "netdev"]}),
]
Direction = Annotated[
    Literal["send", "receive"],
    _choice("a direction", "send", "receive"),
    WithJsonSchema({"enum": ["send", "receive"], "$comment": "`send`, `receive`"}),
]
Multicast = Annotated[
    Literal["snoop", "flood"],
    _choice("what to do with multicast", "snoop", "flood"),
    WithJsonSchema({"enum": ["snoop", "flood"]}),
]
UnknownUnicast = Annotated[
    Literal["flood", "drop"],
    _choice("what to do with unknown destinations", "flood", "drop"),
    WithJsonSchema({"enum": ["flood", "drop"]}),
]
Attach = Annotated[
    Literal["namespace", "external"],
    _choice("a way to attach a port", "namespace", "external"),
    WithJsonSchema({"enum": ["namespace", "external"]}),
]
Assign = Annotated[
    Literal["file", "dhcp"],
    _choice("a way to get addresses", "file", "dhcp"),
    WithJsonSchema({"enum": ["file", "dhcp"]}),
]


def _interval(text: str) -> int | None:
    """Milliseconds; 0 where the text says false."""
    if text in {"true", "false"}:
        return BFD_INTERVAL if text == "true" else 0
    number = int(text) if _NUMBER.fullmatch(text) and text.isdecimal() else 0
    return number if 100 <= number <= 60_000 else None


BFD_INTERVAL = 1000
"""Milliseconds, where the file names no number."""

Bfd = Annotated[
    int,
    _read("true, false or an interval", "Write true, false, or milliseconds from 100 to 60000.", _interval),
    WithJsonSchema(
        {
            "anyOf": [{"type": "boolean"}, {"type": "integer", "minimum": 100, "maximum": 60000}],
            "$comment": "`true`, `false`, or 100 to 60000",
        }
    ),
]

Security = Annotated[
    Literal["strict", "learn"],
    _choice("a kind of security", "strict", "learn"),
    WithJsonSchema({"enum": ["strict", "learn"]}),
]

Switch = Annotated[
    bool,
    _read("true or false", "Write true or false.", {"true": True, "false": False}.get),
    WithJsonSchema({"type": "boolean"}),
]


def _named(text: str) -> str:
    if _NAME.fullmatch(text):
        return text
    remedy = "Use lower-case letters, digits and '-' (not first or last), 63 at most"
    closer = re.sub("[^a-z0-9-]+", "-", text.lower()).strip("-")[:63].rstrip("-")
    raise wrong(f"{shown(text)} is not a name", f"{remedy}, such as {(closer or 'web-1')!r}.")


Name = Annotated[str, AfterValidator(_named), WithJsonSchema(_string("name", _NAME))]

NetworkPath = Annotated[
    str,
    _read("a network", "Write tenant/network, such as red/web.", lambda text: text or None),
    WithJsonSchema(_string("tenant/network", re.compile("[a-z0-9-]+/[a-z0-9-]+"))),
]
HostName = Annotated[
    str,
    _read("a host", "Write the name of a host.", lambda text: text or None),
    WithJsonSchema(_string("host")),
]


def _interface(what: str) -> PlainValidator:
    def parse(text: str) -> str | None:
        return text if _INTERFACE.fullmatch(text) else None

    remedy = "Use at most 15 letters, digits, '-', '_' and '.', beginning with a letter or digit."
    return _read(what, remedy, parse)


InterfaceName = Annotated[
    str, _interface("an interface name"), WithJsonSchema(_string("interface", _INTERFACE))
]
IfaceId = Annotated[
    str,
    _read(
        "an iface-id",
        "Write 1 to 255 printable characters without spaces, such as a UUID.",
        lambda text: text if re.fullmatch(r"[!-~]{1,255}", text) else None,
    ),
    WithJsonSchema(_string("iface-id")),
]
NamespaceName = Annotated[
    str,
    _read(
        "the name of a network namespace",
        "Use letters, digits, '-', '_' and '.', beginning with a letter or digit, 63 at most.",
        lambda text: text if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}", text) else None,
    ),
    WithJsonSchema(_string("namespace")),
]


def _mac(text: str) -> str | None:
    mac = text.lower().replace("-", ":")
    if not _MAC.fullmatch(mac):
        return None
    if int(mac[:2], 16) & 1:
        raise wrong(f"{shown(text)} is a multicast MAC address", "Make the first byte even, such as 02.")
    if mac == "00:00:00:00:00:00":
        raise wrong("the MAC address is all zeros", "Leave it out to have one derived.")
    return mac


Mac = Annotated[
    str,
    _read("a MAC address", "Write six pairs of hexadecimal digits, such as 02:00:00:00:00:01.", _mac),
    WithJsonSchema(_string("MAC address", re.compile("[0-9a-fA-F]{2}([:-][0-9a-fA-F]{2}){5}"))),
]


def _datapath_id(text: str) -> int | None:
    return int(text, 16) or None if _DATAPATH_ID.fullmatch(text.lower()) else None


DatapathId = Annotated[
    int,
    _read(
        "a datapath id",
        "Write 16 hexadecimal digits as ovs-vsctl does, or fewer after 0x; not zero.",
        _datapath_id,
    ),
    WithJsonSchema({"type": ["string", "integer"], "$comment": "16 hexadecimal digits"}),
]


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
            raise wrong(f"{shown(text)} is {article} {kind} address", "Write the address of one machine.")


def _vtep(text: str) -> IPv4Address | IPv6Address | None:
    if "%" in text:
        return None
    ip = ip_address(text)
    _usable(ip, text)
    if ip.is_link_local:
        raise wrong(
            f"{shown(text)} is a link-local address", "Write an address that every host can route to."
        )
    return ip


Vtep = Annotated[
    IPv4Address | IPv6Address,
    _read(
        "an IP address",
        "Write an IPv4 or IPv6 address without a prefix length, such as 192.168.4.201.",
        _vtep,
    ),
    WithJsonSchema(_string("IP address")),
]


def _subnet(text: str) -> IPv4Network | IPv6Network | None:
    if "%" in text or "/" not in text:
        return None
    subnet = ip_network(text, strict=False)
    if subnet.network_address != ip_interface(text).ip:
        raise wrong(f"{shown(text)} is an address rather than a subnet", f"Write {subnet}.")
    if subnet.is_multicast or subnet.is_loopback:
        raise wrong(f"{shown(text)} holds no addresses of machines", "Write a subnet such as 10.1.1.0/24.")
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


def _listed(value: Any) -> Any:
    return value if isinstance(value, list) else [value]


def _one_or_list(what: str) -> WithJsonSchema:
    item = _string(what)
    return WithJsonSchema({"anyOf": [item, {"type": "array", "items": item}]})


Subnets = Annotated[
    tuple[
        Annotated[IPv4Network | IPv6Network, _read("a subnet", "Write one such as 10.1.1.0/24.", _subnet)],
        ...,
    ],
    BeforeValidator(_listed),
    _one_or_list("subnet"),
]
Addresses = Annotated[
    tuple[Annotated[Written, _read("an IP address", "Write one such as 10.1.1.1/24.", _address)], ...],
    BeforeValidator(_listed),
    _one_or_list("address/prefix length"),
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
    _read("an IPv4 address", "Write one such as 10.1.1.1.", _station4),
    WithJsonSchema(_string("IPv4 address")),
]
Servers = Annotated[
    tuple[
        Annotated[
            IPv4Address | IPv6Address, _read("an IP address", "Write one such as 10.1.1.53.", _station)
        ],
        ...,
    ],
    BeforeValidator(_listed),
    _one_or_list("IP address"),
]
_DOMAIN = re.compile(
    r"(?=.{1,200}$)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*"
)
Domain = Annotated[
    str,
    _read(
        "a domain name",
        "Write labels of lower-case letters, digits and '-', with dots between them.",
        lambda text: text if _DOMAIN.fullmatch(text) else None,
    ),
    WithJsonSchema(_string("domain name", _DOMAIN)),
]

Role = Literal["dhcp-server", "router"]
Roles = Annotated[
    tuple[Annotated[Role, _choice("a role", "dhcp-server", "router")], ...],
    BeforeValidator(_listed),
    WithJsonSchema(
        {
            "anyOf": [
                {"enum": ["dhcp-server", "router"]},
                {"type": "array", "items": {"enum": ["dhcp-server", "router"]}},
            ]
        }
    ),
]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An address and TCP port to listen on or to connect to."""

    address: IPv4Address | IPv6Address
    port: int

    @property
    def host(self) -> str:
        """The address as it stands in front of ``:port``."""
        return f"[{self.address}]" if self.address.version == 6 else str(self.address)


def _endpoint(scheme: str) -> Callable[[str], Endpoint | None]:
    def parse(text: str) -> Endpoint | None:
        found = _ENDPOINT.fullmatch(text)
        if not found or found["scheme"] != scheme or not 1 <= int(found["port"]) <= 65535:
            return None
        address = IPv6Address(found["v6"]) if found["v6"] is not None else IPv4Address(found["v4"])
        return None if address.is_multicast else Endpoint(address, int(found["port"]))

    return parse


def _reachable(endpoint: Endpoint) -> Endpoint:
    if endpoint.address.is_unspecified:
        raise wrong(
            f"'{endpoint.address}' is no address to connect to", "Write the controller's own address."
        )
    return endpoint


Listen = Annotated[
    Endpoint,
    _read("an endpoint", "Write tcp:IP-ADDRESS:PORT, such as tcp:0.0.0.0:6653.", _endpoint("tcp")),
    WithJsonSchema(_string("tcp:address:port", re.compile("tcp:.+:[0-9]+"))),
]
Target = Annotated[
    Endpoint,
    _read("an endpoint", "Write tcp:IP-ADDRESS:PORT, such as tcp:127.0.0.1:6653.", _endpoint("tcp")),
    AfterValidator(_reachable),
    WithJsonSchema(_string("tcp:address:port", re.compile("tcp:.+:[0-9]+"))),
]
Url = Annotated[
    Endpoint,
    _read(
        "a URL to serve", "Write http://IP-ADDRESS:PORT, such as http://127.0.0.1:8080.", _endpoint("http")
    ),
    WithJsonSchema(_string("http://address:port", re.compile("http://.+:[0-9]+/?"))),
]
