"""Tunnels to external VTEPs (``peers``): names, and checks for ambiguities and loops."""

from __future__ import annotations

from collections.abc import Iterator

from sdnapp.config import names
from sdnapp.config import scalars as s
from sdnapp.config.problem import Finding, duplicates
from sdnapp.config.schema import Config, Peer, Settings


def encapsulation_of(settings: Settings, peer: Peer) -> s.Encapsulation:
    """Encapsulation of the tunnel to an external VTEP."""
    return peer.encapsulation or settings.encapsulation


def tunnels(config: Config) -> dict[str, str]:
    """Names of external VTEPs by the interface of their tunnel."""
    return {
        names.tunnel_interface(encapsulation_of(config.overlay, peer), name): name
        for name, peer in config.peers.items()
    }


def external_vtep_findings(config: Config) -> Iterator[Finding]:
    """External VTEPs that are hosts of the file, that are ambiguous, or that would form a loop."""
    yield from _names(config)
    yield from _ends(config)
    yield from _loops(config)
    for name, peer in config.peers.items():
        yield from _ways(("peers", name), peer, encapsulation_of(config.overlay, peer))


def _names(config: Config) -> Iterator[Finding]:
    tunnel_of = {
        kind: {names.tunnel_interface(kind, host): host for host in config.hosts}
        for kind in {encapsulation_of(config.overlay, peer) for peer in config.peers.values()}
    }
    for name, peer in config.peers.items():
        kind = encapsulation_of(config.overlay, peer)
        tunnel = names.tunnel_interface(kind, name)
        for what, known in (("host", config.hosts), ("port", config.ports)):
            if name in known:
                yield Finding(("peers", name), f"{name} is a {what} already", "Use another name.", key=True)
        if name not in config.hosts and (host := tunnel_of[kind].get(tunnel)):
            message = f"the tunnel to it would be named {tunnel}, like that to {host}"
            yield Finding(("peers", name), message, "Rename one of them.", key=True)
    tunnel_names = (
        (names.tunnel_interface(encapsulation_of(config.overlay, peer), name), name, ("peers", name))
        for name, peer in config.peers.items()
    )
    for tunnel, first, where in duplicates(tunnel_names):
        message = f"the tunnel to it would be named {tunnel}, like that to {first}"
        yield Finding(where, message, "Rename one of them.", key=True)


def _ends(config: Config) -> Iterator[Finding]:
    ours = {host.vtep: name for name, host in config.hosts.items()}
    for name, peer in config.peers.items():
        where = ("peers", name, "vtep")
        if peer.vtep in ours:
            message = f"{peer.vtep} is the vtep of {ours[peer.vtep]}"
            yield Finding(where, message, "What is a host of the file needs no entry here.")
        elif (
            peer.host in config.hosts and (here := config.hosts[peer.host].vtep).version != peer.vtep.version
        ):
            message = f"the vtep of {peer.host} is IPv{here.version}"
            yield Finding(where, message, f"Write an IPv{here.version} address.")
    ends = (
        ((peer.host, peer.vtep, encapsulation_of(config.overlay, peer)), name, ("peers", name))
        for name, peer in config.peers.items()
    )
    for (host, vtep, kind), first, path in duplicates(ends):
        message = f"{host} has a {kind} tunnel to {vtep} already, that of {first}"
        remedy = "Give the networks of both to one: two tunnels cannot differ by their keys alone."
        yield Finding(path, message, remedy, key=True)


def _loops(config: Config) -> Iterator[Finding]:
    """An external VTEP forwards between its tunnels like any switch: two tunnels form a loop."""
    carried = (
        ((peer.vtep, path), name, ("peers", name))
        for name, peer in config.peers.items()
        for path in dict.fromkeys(peer.networks)
    )
    for (vtep, network), first, where in duplicates(carried):
        message = f"{network} leads to {vtep} already, by {first}: its frames would run in a circle"
        yield Finding(where, message, "Give a network one tunnel to an external VTEP.", key=True)


def _ways(where: tuple[str, str], peer: Peer, kind: str) -> Iterator[Finding]:
    if kind == "gre" and peer.dst_port is not None:
        message = "GRE has no ports"
        yield Finding((*where, "dst_port"), message, "Remove it, or use vxlan or geneve.")
    if kind == "gre" and peer.keys and (peer.network or peer.trunk):
        message = "a GRE tunnel has keys or has none"
        yield Finding((*where, "keys"), message, "Give every network a key, or none.", key=True)
    tags = ((tag, path, (*where, "trunk", path)) for path, tag in peer.trunk.items())
    for tag, first, path in duplicates(tags):
        message = f"tag {tag} is that of {first} in this tunnel"
        yield Finding(path, message, "Use another tag: frames could not be told apart.")
    keys = ((key, path, (*where, "keys", path)) for path, key in peer.keys.items())
    for key, first, path in duplicates(keys):
        message = f"key {key} is that of {first} in this tunnel"
        yield Finding(path, message, "Use another key: frames could not be told apart.")
    ways = [("network", path) for path in (peer.network,) if path]
    ways += [("trunk", path) for path in peer.trunk] + [("keys", path) for path in peer.keys]
    for network, first, path in duplicates((network, way, (*where, way)) for way, network in ways):
        message = f"{network} is in {first!r} already"
        yield Finding((*path, network), message, "Give each network once.", key=True)
