"""Which ports have port security, and which lack the addresses that it needs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from sdnapp.config.addresses import network_candidates
from sdnapp.config.devices import mac_of
from sdnapp.config.problem import Finding, join_or
from sdnapp.config.schema import Config, Network, Port


def has_port_security(name: str, port: Port, networks: Mapping[str, Network]) -> bool:
    """True if the file says so, or says nothing and gives a MAC and an address in each network."""
    if port.port_security is not None:
        return port.port_security
    return mac_of(name, port) is not None and not _unaddressed(port, networks)


def port_security_findings(config: Config) -> Iterator[Finding]:
    """Ports with port security that lack a MAC or an address."""
    for name, port in config.ports.items():
        if not port.port_security or not all(path in config.networks for path in port.networks):
            continue
        where = ("ports", name, "port_security")
        if mac_of(name, port) is None:
            yield Finding(
                where, "port security needs a MAC address", "Add mac, or write port_security: false."
            )
        if without := _unaddressed(port, config.networks):
            message = f"port security needs an address in {join_or(without)}"
            yield Finding(where, message, "Add it to address, or write port_security: false.")


def _unaddressed(port: Port, networks: Mapping[str, Network]) -> list[str]:
    """Networks of a port in which it has no address."""
    found = {
        path
        for address in port.address
        for path, doubt in network_candidates(address, port, networks).items()
        if doubt is None
    }
    return [path for path in port.networks if path not in found]
