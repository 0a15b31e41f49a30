"""The tunnels between hosts: one from each host to each that may share a network with it, made when read.

A mesh of n hosts has n * (n - 1) tunnels, but a program of one bridge, an agent of one host and a check of
the file read those of few. So a host keeps what its tunnels follow from, and makes them once it is asked.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import overload

from sdnapp.config import names, schema
from sdnapp.config.encapsulations import between
from sdnapp.net.model import Encapsulation, Overlay, Tunnel

DST_PORT: Mapping[Encapsulation, int | None] = {
    "vxlan": 4789,  # RFC 7348, section 8
    "geneve": 6081,  # RFC 8926, section 3.3
    "gre": None,
}


@dataclass(frozen=True)
class Mesh:
    """What the tunnels of all hosts follow from."""

    settings: schema.Settings
    hosts: Mapping[str, schema.Host]

    @cached_property
    def special(self) -> frozenset[str]:
        """Hosts that name an encapsulation of their own; between all others it is that of the settings."""
        return frozenset(name for name, host in self.hosts.items() if host.encapsulation)

    def encapsulation(self, host: str, peer: str) -> Encapsulation:
        """The encapsulation between two hosts, the same from either end."""
        return between(self.hosts, self.settings.encapsulation, host, peer)

    def csum(self, host: str, encapsulation: Encapsulation) -> bool:
        """Whether the outer header has a checksum (RFC 8200, section 8.1)."""
        if self.settings.csum is not None:
            return self.settings.csum
        return encapsulation != "gre" and self.hosts[host].vtep.version == 6


@dataclass(frozen=True, eq=False)
class Tunnels(Sequence[Tunnel]):
    """The tunnels of ``host``, sorted by peer. ``met``: hosts that may share a network with it, and itself.

    Two are equal if what they follow from is; to compare them makes none.
    """

    host: str
    met: frozenset[str]
    mesh: Mesh

    @cached_property
    def made(self) -> tuple[Tunnel, ...]:
        """The tunnels themselves."""
        mesh = self.mesh
        kinds = {peer: mesh.encapsulation(self.host, peer) for peer in sorted(self.met - {self.host})}
        interfaces = {peer: names.tunnel_interface(kind, peer) for peer, kind in kinds.items()}
        numbers = names.ofports(interfaces.values(), names.TUNNEL_NUMBERS)
        return tuple(
            Tunnel(
                interface=interfaces[peer],
                peer=peer,
                encapsulation=kind,
                local_ip=mesh.hosts[self.host].vtep,
                remote_ip=mesh.hosts[peer].vtep,
                dst_port=None if kind == "gre" else mesh.settings.dst_port or DST_PORT[kind],
                csum=mesh.csum(self.host, kind),
                ofport=numbers[interfaces[peer]],
            )
            for peer, kind in kinds.items()
        )

    @cached_property
    def forms(self) -> frozenset[tuple[Encapsulation, bool]]:
        """Encapsulation and checksum of each tunnel, without repetition."""
        peers, mesh = self.met - {self.host}, self.mesh
        alone = peers if self.host in mesh.special else peers & mesh.special
        kinds = {mesh.encapsulation(self.host, peer) for peer in alone}
        if len(alone) < len(peers):
            kinds.add(mesh.settings.encapsulation)
        return frozenset((kind, mesh.csum(self.host, kind)) for kind in kinds)

    @overload
    def __getitem__(self, index: int) -> Tunnel: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Tunnel, ...]: ...
    def __getitem__(self, index: int | slice) -> Tunnel | tuple[Tunnel, ...]:
        return self.made[index]

    def __iter__(self) -> Iterator[Tunnel]:
        return iter(self.made)

    def __len__(self) -> int:
        return len(self.met - {self.host})

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Tunnels):
            return self.host == other.host and self.met == other.met and self._follows_like(other)
        return isinstance(other, Sequence) and self.made == tuple(other)

    __hash__ = None  # type: ignore[assignment]  # hosts have none either: they hold mappings

    def _follows_like(self, other: Tunnels) -> bool:
        ours, theirs = self.mesh, other.mesh
        if ours is theirs:
            return True
        if ours.settings != theirs.settings:
            return False
        return all(ours.hosts[name] == theirs.hosts[name] for name in (self.host, *self.met))


def forms(tunnels: Sequence[Tunnel]) -> frozenset[tuple[Encapsulation, bool]]:
    """Encapsulation and checksum of each tunnel, without repetition."""
    if isinstance(tunnels, Tunnels):
        return tunnels.forms
    return frozenset((tunnel.encapsulation, tunnel.csum) for tunnel in tunnels)


def with_tunnels(overlay: Overlay) -> Overlay:
    """The overlay with the tunnels of all hosts made, as tuples, which any serializer takes."""
    hosts = {name: replace(host, tunnels=tuple(host.tunnels)) for name, host in overlay.hosts.items()}
    return replace(overlay, hosts=hosts)
