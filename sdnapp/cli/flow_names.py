"""Formatting of dumped flows: networks, ports and tables by their names."""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address
from typing import Any

from flows.match import FIELDS, HEADER_FIELDS, Ingress
from flows.registers import BITS, REGISTERS
from flows.tables import Table

_SET_FIELD = re.compile(r"SET_FIELD: \{(\w+):(.*)\}")
_MOVE = re.compile(r"NX_MOVE: \{(\w+?)(?:_nxm)?\[.*\]: (\w+?)(?:_nxm)?\[.*\]\}")
_UNKNOWN = re.compile(r"NX_UNKNOWN: \{subtype: (\d+),.*\}")
_NICIRA = {"8": "note", "42": "clone", "45": "learn", "49": "check_pkt_larger"}
"""Nicira actions that os-ken does not know, by their subtype (ofp-actions.c)."""
_SOURCE = REGISTERS["ingress"]
_FIELDS = {
    **{"tunnel_id": "key", "dl_src": "eth_src", "dl_dst": "eth_dst", "dl_type": "eth_type"},
    **{"nw_proto": "ip_proto", "nw_src": "ipv4_src", "nw_dst": "ipv4_dst", "tp_src": "udp_src"},
    **{"tp_dst": "udp_dst", "ipv6_nd_target": "nd_target", "ipv6_nd_sll": "nd_sll", "ipv6_nd_tll": "nd_tll"},
    **{one.ovs_name: one.name for one in REGISTERS.values() if one.width == 1},
    "field_524290": "nd_options_type",
}


def _mac(bits: int) -> str:
    return (bits % (1 << 48)).to_bytes(6, "big").hex(":")


def _ipv4(bits: int) -> str:
    return str(IPv4Address(bits))


def _ipv6(bits: int) -> str:
    return str(IPv6Address(bits))


def _address_registers() -> Iterator[tuple[str, tuple[str, int, Callable[[int], str]]]]:
    """Yield the names under which a dump has a register with an address, or a part of it."""
    for name, written in (
        ("mac_forbidden_bits", _mac),
        ("ip_forbidden_bits", _ipv4),
        ("ip6_forbidden_bits", _ipv6),
    ):
        register = REGISTERS[name]
        for word in range(register.words):
            yield f"reg{register.first + word}", (name, BITS * (register.words - 1 - word), written)
        yield register.ovs_name, (name, 0, written)


_REGISTERS = dict(_address_registers())
"""Registers with an address or a part of one: of which field, how many bits from its end, how written."""


@dataclass(frozen=True, slots=True)
class Names:
    """Names on one bridge: ports by ofport, networks by VNI."""

    ports: Mapping[int, str] = field(default_factory=dict)
    networks: Mapping[int, str] = field(default_factory=dict)

    def port(self, number: int | str) -> str:
        """Name of a port."""
        return self.ports.get(int(number), str(number)) if str(number).isdecimal() else str(number).lower()

    def network(self, number: int | str) -> str:
        """Name of a network, by a decimal or 0x VNI."""
        vni = int(str(number), 0)
        return self.networks.get(vni, str(vni))


def names(host: Mapping[str, Any], ports: Iterable[Any], networks: Iterable[Any]) -> Names:
    """The names on the bridge of ``host``, all as ``/v1/`` has them."""
    here = [
        (port["ofport"] or port["ofport_request"], port["interface"])
        for port in ports
        if port["host"] == host["name"]
    ]
    tunnels = [(tunnel["ofport"], tunnel["interface"]) for tunnel in host["tunnels"]]
    return Names(
        {ofport: interface for ofport, interface in (*here, *tunnels) if ofport is not None},
        {network["vni"]: network["path"] for network in networks},
    )


def table(number: int | str) -> str:
    """A table by its name; one that is not ours by its number."""
    return Table(number).label if number in set(Table) else str(number)


def match(fields: Mapping[str, Any], names: Names) -> str:
    """``in_port=red1 vlan=10``; ``any`` where nothing is matched."""
    texts = [_field(name, value, names) for name, value in fields.items()]
    return " ".join(sorted(texts, key=_place)) or "any"


def _place(text: str) -> int:
    """Our fields in the order in which the project prints them, others after them."""
    name = text.partition("=")[0]
    return _ORDER.index(name) if name in _ORDER else len(_ORDER)


_ORDER = (*FIELDS, *HEADER_FIELDS)


def _field(name: str, value: Any, names: Names) -> str:
    match name, str(value):
        case "in_port", _:
            return f"in_port={names.port(value)}"
        case "metadata", number if "/" not in number:
            return f"network={names.network(number)}"
        case _SOURCE.ovs_name, number if number.isdecimal() and int(number) in set(Ingress):
            return f"ingress={Ingress(int(number)).name.lower()}"
        case "dl_vlan", "0x0000" | "0x0000/0x1000":
            return "vlan=none"
        case "dl_vlan", "0x1000/0x1000":
            return "vlan=any"
        case "dl_vlan", tag:
            return f"vlan={tag}"
        case "dl_type", number:
            return f"eth_type={int(number):#06x}"
    return "=".join(_register(name, str(value)))


def _register(name: str, value: str) -> tuple[str, str]:
    """What a field is called, and its value; registers hold addresses, in parts."""
    if name not in _REGISTERS:
        return _FIELDS.get(name, name), value
    called, shift, written = _REGISTERS[name]
    return called, "/".join(written(int(part, 0) << shift) for part in value.split("/"))


def actions(dumped: Iterable[Any], names: Names) -> str:
    """``push_vlan:10 output:red1``; ``drop`` where nothing is done."""
    return " ".join(_actions(dumped, names)) or "drop"


def _actions(dumped: Iterable[Any], names: Names) -> Iterator[str]:
    for action in dumped:
        if action != "PUSH_VLAN:33024":  # the tag that follows says it all
            yield _action(action, names)


def _action(action: Any, names: Names) -> str:
    if not isinstance(action, str):
        return str(action)
    if found := _SET_FIELD.fullmatch(action):
        name, value = found.groups()
        if name == "vlan_vid":
            return f"push_vlan:{int(value) & 0xFFF}"
        if name == _SOURCE.ovs_name:
            return f"set_ingress:{Ingress(int(value)).name.lower()}"
        if name == "field_524290":  # os-ken does not know it: one byte, in base 64
            value = str(b64decode(value)[0])
        return f"set_{':'.join(_register(name, value))}"
    if found := _MOVE.fullmatch(action):
        target, source = found.groups()
        return f"move:{source}->{target}"
    if found := _UNKNOWN.fullmatch(action):
        return _NICIRA.get(found[1], f"nicira:{found[1]}")
    name, _, value = action.partition(":")
    match name:
        case "OUTPUT":
            return f"output:{names.port(value)}" if value != "CONTROLLER" else "punt"
        case "WRITE_METADATA":
            return f"set_network:{names.network(value.partition('/')[0])}"
        case "GOTO_TABLE":
            return f"goto:{table(int(value))}"
    return action.lower()
