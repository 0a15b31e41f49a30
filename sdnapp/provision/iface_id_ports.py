"""Patch ports that encode the iface-id of external interfaces in their names. Pure.

Each note is a pair of patch ports that lead to each other: they cost the datapath nothing, survive whatever
restarts, and OpenFlow reports their names to the controller.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from sdnapp.config import names
from sdnapp.net.model import Host, Overlay
from sdnapp.provision.world import Port, pairs


def wanted(overlay: Overlay, host: Host, ports: Mapping[str, Port]) -> Iterator[Port]:
    """Wanted iface-id ports for the present interfaces."""
    for port, iface_id, name in _bound(overlay, host, ports):
        if (port.number or 0) > 0:
            note = names.iface_id_port_names(port.number or 0, port.name, iface_id)
            for one, other in (note, reversed(note)):
                yield Port(
                    name=one,
                    owner=host.name,
                    bridge=host.bridge,
                    type="patch",
                    options=pairs({"peer": other}),
                    external_ids=pairs({"sdnapp-binds": f"{port.name} {name}"}),
                )


def present(host: Host, ports: Mapping[str, Port]) -> Iterator[Port]:
    """Present iface-id ports."""
    return (port for port in ports.values() if names.is_iface_id_port(port.name) and port.owner == host.name)


def changes(overlay: Overlay, host: Host, ports: Mapping[str, Port]) -> list[tuple[Port | None, Port | None]]:
    """Changes of iface-id ports: pairs of old and new."""
    there = {port.name: port for port in present(host, ports)}
    want = {port.name: port for port in wanted(overlay, host, ports)}
    both = [*want, *(name for name in there if name not in want)]
    return [(there.get(name), want.get(name)) for name in both if there.get(name) != want.get(name)]


def _bound(overlay: Overlay, host: Host, ports: Mapping[str, Port]) -> Iterator[tuple[Port, str, str]]:
    """External interfaces with their iface-id and the port of the file."""
    ids = {bound.iface_id: bound.name for bound in overlay.bound.values() if bound.host in {None, host.name}}
    for port in ports.values() if ids else ():
        iface_id = dict(port.external_ids).get("iface-id")
        if port.owner is None and port.bridge == host.bridge and iface_id in ids:
            yield port, iface_id, ids[iface_id]
