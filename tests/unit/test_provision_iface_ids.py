"""Notes for the controller: which interfaces that others made are ports of the file."""

from __future__ import annotations

import pytest

from sdnapp.config import names
from sdnapp.provision import iface_id_ports
from sdnapp.provision.world import Port, pairs
from tests.overlays import TWO_HOSTS, overlay

OVERLAY = overlay(TWO_HOSTS + "  vm: {attach: external, iface_id: x-1, network: red/web, host: host1}\n")
HOST1, HOST2 = OVERLAY.hosts["host1"], OVERLAY.hosts["host2"]


def tap(number: int | None = 7, owner: str | None = None, bridge: str = "br-int", ident: str = "x-1") -> Port:
    return Port("vnet0", owner, bridge, external_ids=pairs({"iface-id": ident}), number=number)


def there(*ports: Port) -> dict[str, Port]:
    return {port.name: port for port in ports}


def test_an_interface_with_the_iface_id_of_a_port_gets_a_note() -> None:
    note = list(iface_id_ports.wanted(OVERLAY, HOST1, there(tap())))

    assert tuple(port.name for port in note) == names.iface_id_port_names(7, "vnet0", "x-1")
    assert [dict(port.options)["peer"] for port in note] == [port.name for port in reversed(note)]
    assert {(port.type, port.owner, port.bridge) for port in note} == {("patch", "host1", "br-int")}


@pytest.mark.parametrize(
    "port",
    [
        pytest.param(tap(number=None), id="it has no number yet"),
        pytest.param(tap(number=-1), id="it has no device"),
        pytest.param(tap(owner="host1"), id="it is ours"),
        pytest.param(tap(bridge="br-ex"), id="it is on another bridge"),
        pytest.param(tap(ident="x-2"), id="the file does not know it"),
    ],
)
def test_others_get_none(port: Port) -> None:
    assert not list(iface_id_ports.wanted(OVERLAY, HOST1, there(port)))


def test_a_port_of_another_host_is_not_looked_for_here() -> None:
    assert not list(iface_id_ports.wanted(OVERLAY, HOST2, there(tap())))


def test_what_is_noted_is_left_alone_until_it_is_true_no_more() -> None:
    note = list(iface_id_ports.wanted(OVERLAY, HOST1, there(tap())))

    assert not iface_id_ports.changes(OVERLAY, HOST1, there(tap(), *note))
    assert iface_id_ports.changes(OVERLAY, HOST1, there(*note)) == [(port, None) for port in note]
    assert len(iface_id_ports.changes(OVERLAY, HOST1, there(tap(number=8), *note))) == 4
