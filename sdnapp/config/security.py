"""Which ports are strict, and where strictness would leave a port nothing to say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from sdnapp.config.addresses import homes
from sdnapp.config.devices import mac_of
from sdnapp.config.problem import Finding, either
from sdnapp.config.schema import Config, Network, Port


def is_strict(name: str, port: Port, networks: Mapping[str, Network]) -> bool:
    """What the file says, or else whether it gives all that a strict port may say."""
    if port.security is not None:
        return port.security == "strict"
    return mac_of(name, port) is not None and not _unaddressed(port, networks)


def security_findings(config: Config) -> Iterator[Finding]:
    """Strict ports of which the file does not say who they are."""
    for name, port in config.ports.items():
        if port.security != "strict" or not all(path in config.networks for path in port.networks):
            continue
        where = ("ports", name, "security")
        if mac_of(name, port) is None:
            yield Finding(where, "a strict port needs a MAC address", "Add mac, or write security: learn.")
        if without := _unaddressed(port, config.networks):
            message = f"a strict port needs an address in {either(without)}"
            yield Finding(where, message, "Add it to address, or write security: learn.")


def _unaddressed(port: Port, networks: Mapping[str, Network]) -> list[str]:
    """The port's networks in which the file gives it no address."""
    found = {
        path
        for address in port.address
        for path, doubt in homes(address, port, networks).items()
        if doubt is None
    }
    return [path for path in port.networks if path not in found]
