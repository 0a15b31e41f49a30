"""Flows as REST dumps them, in the words of the project: networks, ports and tables by their names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from flows.match import FIELDS, Source
from flows.tables import Table

_SET_FIELD = re.compile(r"SET_FIELD: \{(\w+):(.*)\}")
_FIELDS = {
    **{"tunnel_id": "key", "dl_src": "eth_src", "dl_dst": "eth_dst"},
    **{"xreg1": "foreign_mac", "reg1": "foreign_ip", "xxreg2": "foreign_ip6"},
    **{"reg4": "false_mac", "reg5": "false_arp", "reg6": "false_ip6", "reg7": "false_target"},
}


@dataclass(frozen=True, slots=True)
class Names:
    """What the numbers of one bridge mean: ports by ofport, networks by VNI."""

    ports: Mapping[int, str] = field(default_factory=dict)
    networks: Mapping[int, str] = field(default_factory=dict)

    def port(self, number: int | str) -> str:
        """A port as a person calls it."""
        return self.ports.get(int(number), str(number)) if str(number).isdecimal() else str(number).lower()

    def network(self, number: int | str) -> str:
        """A network as a person calls it, out of a decimal or 0x VNI."""
        vni = int(str(number), 0)
        return self.networks.get(vni, str(vni))


def names(host: Mapping[str, Any], ports: Iterable[Any], networks: Iterable[Any]) -> Names:
    """The names on the bridge of ``host``, all as ``/v1/`` has them."""
    here = [(port["ofport"], port["interface"]) for port in ports if port["host"] == host["name"]]
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
    return FIELDS.index(name) if name in FIELDS else len(FIELDS)


def _field(name: str, value: Any, names: Names) -> str:
    match name, str(value):
        case "in_port", _:
            return f"in_port={names.port(value)}"
        case "metadata", number if "/" not in number:
            return f"network={names.network(number)}"
        case "reg0", number if number.isdecimal() and int(number) in set(Source):
            return f"source={Source(int(number)).name.lower()}"
        case "dl_vlan", "0x0000" | "0x0000/0x1000":
            return "vlan=none"
        case "dl_vlan", "0x1000/0x1000":
            return "vlan=any"
        case "dl_vlan", tag:
            return f"vlan={tag}"
    return f"{_FIELDS.get(name, name)}={value}"


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
        if name == "reg0":
            return f"set_source:{Source(int(value)).name.lower()}"
        return f"set_{_FIELDS.get(name, name)}:{value}"
    name, _, value = action.partition(":")
    match name:
        case "OUTPUT":
            return f"output:{names.port(value)}" if value != "CONTROLLER" else "punt"
        case "WRITE_METADATA":
            return f"set_network:{names.network(value.partition('/')[0])}"
        case "GOTO_TABLE":
            return f"goto:{table(int(value))}"
    return action.lower()
