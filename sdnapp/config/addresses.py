"""Assignment of port addresses to networks, and checks of addresses."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface, IPv6Address, IPv6Interface

from sdnapp.config.inet import Written, ip_of
from sdnapp.config.problem import Finding, Path, join_or
from sdnapp.config.schema import Config, Network, Port


@dataclass(frozen=True, slots=True)
class Mismatch:
    """Reason why an address is not in a network, and the remedy."""

    reason: str
    remedy: str


def network_candidates(
    address: Written, port: Port, networks: Mapping[str, Network]
) -> dict[str, Mismatch | None]:
    """By network of ``port``: the mismatch of ``address`` with its subnets, or None if it fits.

    A port of one network may have any address where the network has no subnet; on a trunk of several, only
    a subnet tells whose address it is.
    """
    alone = len(port.networks) == 1
    return {path: _doubt(address, networks[path], alone=alone) for path in port.networks}


def _doubt(address: Written, network: Network, *, alone: bool) -> Mismatch | None:
    prefixed = address if isinstance(address, IPv4Interface | IPv6Interface) else None
    if not network.subnet:
        if not alone:
            return Mismatch("the network has no subnet", "Give the networks of a trunk subnets.")
        remedy = f"Write {address}/{24 if address.version == 4 else 64}, or give the network a subnet."
        return None if prefixed else Mismatch("it has no prefix length", remedy)
    within = [subnet for subnet in network.subnet if ip_of(address) in subnet]
    if not within:
        subnets = join_or(map(str, network.subnet))
        return Mismatch(f"it is outside {subnets}", f"Write an address in {subnets}.")
    if prefixed and prefixed.network not in within:
        right = f"{ip_of(address)}/{within[0].prefixlen}"
        return Mismatch(f"its prefix length is not that of {within[0]}", f"Write {right}.")
    return None


def address_findings(config: Config) -> Iterator[Finding]:
    """Addresses outside their network, ambiguous, reserved, or taken."""
    networks = config.networks
    taken: dict[_Home, str] = {}
    for name, port in ((name, port) for name, port in config.ports.items() if port.address):
        if not port.networks or not all(path in networks for path in port.networks):
            continue
        own = {path: networks[path] for path in port.networks}
        for i, (home, found) in enumerate(_looked_at(name, port, own)):
            if home in taken:
                message = f"{home[1]} is an address of {taken[home]} already, in {home[0]}"
                yield Finding(("ports", name, "address", i), message, "Give every port its own, once.")
            elif home is not None:
                taken[home] = name
            yield from found


_Home = tuple[str, IPv4Address | IPv6Address]
"""A network, and an address there."""


def _looked_at(
    name: str, port: Port, networks: Mapping[str, Network]
) -> tuple[tuple[_Home | None, tuple[Finding, ...]], ...]:
    """Network of each address of a port, and findings that do not depend on other ports."""
    found: list[tuple[_Home | None, tuple[Finding, ...]]] = []
    for i, address in enumerate(port.address):
        where, doubts = ("ports", name, "address", i), network_candidates(address, port, networks)
        fitting = [path for path, doubt in doubts.items() if doubt is None]
        if len(fitting) == 1:
            home = fitting[0], ip_of(address)
            found.append((home, tuple(_reserved(where, address, networks[fitting[0]]))))
        else:
            found.append((None, (_homeless(where, address, doubts, fitting),)))
    return tuple(found)


def _homeless(where: Path, address: Written, doubts: dict[str, Mismatch | None], found: list[str]) -> Finding:
    if found:
        message = f"{address} could be of {join_or(found)}"
        return Finding(where, message, "Give the networks of a trunk subnets that do not overlap.")
    reasons = {path: doubt for path, doubt in doubts.items() if doubt}
    message = f"{address} is no address of {join_or(reasons)}"
    if len(reasons) == 1:
        (doubt,) = reasons.values()
        return Finding(where, f"{message}: {doubt.reason}", doubt.remedy)
    why = "; ".join(f"{path}: {doubt.reason}" for path, doubt in reasons.items())
    return Finding(where, f"{message} ({why})", "Write an address in a subnet of one of them.")


def _reserved(where: Path, address: Written, network: Network) -> Iterator[Finding]:
    ip = ip_of(address)
    subnet = next((subnet for subnet in network.subnet if ip in subnet), None)
    if subnet is None and isinstance(address, IPv4Interface | IPv6Interface):
        subnet = address.network
    if subnet is None or subnet.prefixlen >= subnet.max_prefixlen - 1:
        return
    if ip == subnet.network_address:
        yield Finding(where, f"{ip} is the address of subnet {subnet} itself", "Write an address inside it.")
    elif ip == subnet.broadcast_address and ip.version == 4:
        yield Finding(where, f"{ip} is the broadcast address of {subnet}", "Write an address inside it.")
