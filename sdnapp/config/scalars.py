"""Scalar types of configuration files: numbers, words and names, and their syntax.

Each is a type for pydantic: it reads the text as written, says in words what is wrong with it, and
describes itself in JSON Schema. What a value refers to is checked elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, PlainValidator, WithJsonSchema

from sdnapp.config.problem import shown
from sdnapp.config.validators import (
    NUMBER,
    as_list,
    choice,
    integer_schema,
    invalid,
    parsed,
    string_schema,
    whole_number,
)

_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_INTERFACE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,14}")
_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")
_DATAPATH_ID = re.compile(r"[0-9a-f]{16}|0x[0-9a-f]{1,16}")


Vlan = Annotated[int, whole_number("a VLAN tag", 1, 4094), integer_schema(1, 4094)]
Vni = Annotated[int, whole_number("a VNI", 1, 2**24 - 1), integer_schema(1, 2**24 - 1)]
UdpPort = Annotated[int, whole_number("a UDP port", 1, 65535), integer_schema(1, 65535)]
Mtu = Annotated[int, whole_number("an MTU", 576, 65535), integer_schema(576, 65535)]
Moves = Annotated[int, whole_number("a number of moves", 2, 100), integer_schema(2, 100)]
Macs = Annotated[int, whole_number("a number of MAC addresses", 1, 65535), integer_schema(1, 65535)]
Lease = Annotated[int, whole_number("a number of seconds", 60, 2**31 - 1), integer_schema(60, 2**31 - 1)]
Seconds = Annotated[int, whole_number("a number of seconds", 1, 65535), integer_schema(1, 65535)]


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
    parsed(
        "a rate", "Write bits per second from 8k to 100G, such as 64k, 100M or 1G.", _quantity(8000, 10**11)
    ),
    WithJsonSchema(string_schema("bits/s", _QUANTITY) | {"type": ["string", "integer"]}),
]
Burst = Annotated[
    int,
    parsed("a burst", "Write bytes from 2k to 10G, such as 64k or 1M.", _quantity(2000, 10**10)),
    WithJsonSchema(string_schema("bytes", _QUANTITY) | {"type": ["string", "integer"]}),
]
FrameRate = Annotated[int, whole_number("a number of frames per second", 1, 10**7), integer_schema(1, 10**7)]
Dscp = Annotated[
    int | Literal["inherit"],
    parsed(
        "a DSCP",
        "Write a number from 0 to 63, or inherit.",
        lambda text: text if text == "inherit" else _dscp(text),
    ),
    WithJsonSchema({"type": ["string", "integer"], "$comment": "0 to 63, or `inherit`"}),
]


def _dscp(text: str) -> int | None:
    number = int(text, 0) if NUMBER.fullmatch(text) else 64
    return number if number < 64 else None


ENCAPSULATIONS = ("vxlan", "gre", "geneve")
Encapsulation = Annotated[
    Literal["vxlan", "gre", "geneve"],
    choice("an encapsulation", *ENCAPSULATIONS),
    WithJsonSchema({"enum": [*ENCAPSULATIONS]}),
]
ALL_HOSTS = "*"
"""Key for all other hosts in an encapsulation by host."""

Encapsulations = Annotated[
    dict[str, Encapsulation],
    BeforeValidator(lambda value: value if isinstance(value, dict) else {ALL_HOSTS: value}),
    WithJsonSchema(
        {
            "anyOf": [
                {"enum": [*ENCAPSULATIONS]},
                {
                    "type": "object",
                    "propertyNames": {"$comment": "host"},
                    "additionalProperties": {"enum": [*ENCAPSULATIONS]},
                },
            ]
        }
    ),
]
Datapath = Annotated[
    Literal["auto", "system", "netdev"],
    choice("a datapath", "auto", "system", "netdev"),
    WithJsonSchema({"enum": ["auto", "system", "netdev"]}),
]
Direction = Annotated[
    Literal["send", "receive"],
    choice("a direction", "send", "receive"),
    WithJsonSchema({"enum": ["send", "receive"], "$comment": "`send`, `receive`"}),
]
Multicast = Annotated[
    Literal["snoop", "flood"],
    choice("what to do with multicast", "snoop", "flood"),
    WithJsonSchema({"enum": ["snoop", "flood"]}),
]
UnknownUnicast = Annotated[
    Literal["flood", "drop"],
    choice("what to do with unknown destinations", "flood", "drop"),
    WithJsonSchema({"enum": ["flood", "drop"]}),
]
Attach = Annotated[
    Literal["namespace", "external"],
    choice("a way to attach a port", "namespace", "external"),
    WithJsonSchema({"enum": ["namespace", "external"]}),
]
FORMER_ADDRESSING = {"file": "static"}
"""Values of ``addressing`` under its former name ``assign``."""

Addressing = Annotated[
    Literal["static", "dhcp"],
    choice("a way to get addresses", "static", "dhcp", former=FORMER_ADDRESSING),
    WithJsonSchema({"enum": ["static", "dhcp"]}),
]


def _switched(text: str, usual: int, numbers: range) -> int | None:
    """Number within the range; the default for true, 0 for false."""
    if text in {"true", "false"}:
        return usual if text == "true" else 0
    number = int(text) if NUMBER.fullmatch(text) and text.isdecimal() else 0
    return number if number in numbers else None


def _switch_or(numbers: range) -> WithJsonSchema:
    """JSON Schema of a boolean or a number."""
    least, most = numbers[0], numbers[-1]
    number = {"type": "integer", "minimum": least, "maximum": most}
    return WithJsonSchema(
        {"anyOf": [{"type": "boolean"}, number], "$comment": f"`true`, `false`, or {least} to {most}"}
    )


BFD_INTERVAL = 1000
"""Default, in milliseconds."""
_INTERVALS = range(100, 60_001)

Bfd = Annotated[
    int,
    parsed(
        "true, false or an interval",
        "Write true, false, or milliseconds from 100 to 60000.",
        lambda text: _switched(text, BFD_INTERVAL, _INTERVALS),
    ),
    _switch_or(_INTERVALS),
]

LOOP_HOLD = 60
"""Default, in seconds."""
_HOLDS = range(1, 961)

LoopHold = Annotated[
    int,
    parsed(
        "true, false or seconds",
        "Write true, false, or seconds from 1 to 960.",
        lambda text: _switched(text, LOOP_HOLD, _HOLDS),
    ),
    _switch_or(_HOLDS),
]

Boolean = Annotated[
    bool,
    parsed("true or false", "Write true or false.", {"true": True, "false": False}.get),
    WithJsonSchema({"type": "boolean"}),
]

FORMER_SECURITY = {"strict": "true", "learn": "false"}
"""Values of ``port_security`` under its former name ``security``."""


def _port_security(text: str) -> bool | None:
    if text in FORMER_SECURITY:
        raise invalid(f"{shown(text)} is not true or false", f"Write {FORMER_SECURITY[text]}.")
    return {"true": True, "false": False}.get(text)


PortSecurity = Annotated[
    bool,
    parsed("true or false", "Write true or false.", _port_security),
    WithJsonSchema({"type": "boolean"}),
]


def _named(text: str) -> str:
    if _NAME.fullmatch(text):
        return text
    remedy = "Use lower-case letters, digits and '-' (not first or last), 63 at most"
    closer = re.sub("[^a-z0-9-]+", "-", text.lower()).strip("-")[:63].rstrip("-")
    raise invalid(f"{shown(text)} is not a name", f"{remedy}, such as {(closer or 'web-1')!r}.")


Name = Annotated[str, AfterValidator(_named), WithJsonSchema(string_schema("name", _NAME))]

NetworkPath = Annotated[
    str,
    parsed("a network", "Write tenant/network, such as red/web.", lambda text: text or None),
    WithJsonSchema(string_schema("tenant/network", re.compile("[a-z0-9-]+/[a-z0-9-]+"))),
]
HostName = Annotated[
    str,
    parsed("a host", "Write the name of a host.", lambda text: text or None),
    WithJsonSchema(string_schema("host")),
]


def _interface(what: str) -> PlainValidator:
    def parse(text: str) -> str | None:
        return text if _INTERFACE.fullmatch(text) else None

    remedy = "Use at most 15 letters, digits, '-', '_' and '.', beginning with a letter or digit."
    return parsed(what, remedy, parse)


InterfaceName = Annotated[
    str, _interface("an interface name"), WithJsonSchema(string_schema("interface", _INTERFACE))
]
IfaceId = Annotated[
    str,
    parsed(
        "an iface-id",
        "Write 1 to 255 printable characters without spaces, such as a UUID.",
        lambda text: text if re.fullmatch(r"[!-~]{1,255}", text) else None,
    ),
    WithJsonSchema(string_schema("iface-id")),
]
NamespaceName = Annotated[
    str,
    parsed(
        "the name of a network namespace",
        "Use letters, digits, '-', '_' and '.', beginning with a letter or digit, 63 at most.",
        lambda text: text if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}", text) else None,
    ),
    WithJsonSchema(string_schema("namespace")),
]


def _mac(text: str) -> str | None:
    mac = text.lower().replace("-", ":")
    if not _MAC.fullmatch(mac):
        return None
    if int(mac[:2], 16) & 1:
        raise invalid(f"{shown(text)} is a multicast MAC address", "Make the first byte even, such as 02.")
    if mac == "00:00:00:00:00:00":
        raise invalid("the MAC address is all zeros", "Leave it out to have one derived.")
    return mac


Mac = Annotated[
    str,
    parsed("a MAC address", "Write six pairs of hexadecimal digits, such as 02:00:00:00:00:01.", _mac),
    WithJsonSchema(string_schema("MAC address", re.compile("[0-9a-fA-F]{2}([:-][0-9a-fA-F]{2}){5}"))),
]


def _datapath_id(text: str) -> int | None:
    return int(text, 16) or None if _DATAPATH_ID.fullmatch(text.lower()) else None


DatapathId = Annotated[
    int,
    parsed(
        "a datapath id",
        "Write 16 hexadecimal digits as ovs-vsctl does, or fewer after 0x; not zero.",
        _datapath_id,
    ),
    WithJsonSchema({"type": ["string", "integer"], "$comment": "16 hexadecimal digits"}),
]


def _path(text: str) -> str | None:
    return text if text.startswith("/") and not text.endswith("/") and "\0" not in text else None


FilePath = Annotated[
    str,
    parsed("an absolute path of a file", "Write one such as /etc/sdnapp/tls/controller.key.", _path),
    WithJsonSchema(string_schema("path", re.compile("/.*[^/]"))),
]
CertificateName = Annotated[
    str,
    parsed(
        "a name of a certificate",
        "Write its common name or DNS name: letters, digits, '-', '_' and '.', 64 at most.",
        lambda text: text if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", text) else None,
    ),
    WithJsonSchema(string_schema("name of a certificate", re.compile("[A-Za-z0-9][A-Za-z0-9_.-]{0,63}"))),
]


_DOMAIN = re.compile(
    r"(?=.{1,200}$)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*"
)
Domain = Annotated[
    str,
    parsed(
        "a domain name",
        "Write labels of lower-case letters, digits and '-', with dots between them.",
        lambda text: text if _DOMAIN.fullmatch(text) else None,
    ),
    WithJsonSchema(string_schema("domain name", _DOMAIN)),
]

Role = Literal["dhcp-server", "router"]
Roles = Annotated[
    tuple[Annotated[Role, choice("a role", "dhcp-server", "router")], ...],
    BeforeValidator(as_list),
    WithJsonSchema(
        {
            "anyOf": [
                {"enum": ["dhcp-server", "router"]},
                {"type": "array", "items": {"enum": ["dhcp-server", "router"]}},
            ]
        }
    ),
]
