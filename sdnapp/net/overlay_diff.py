"""What one overlay would change against another, in words and flow by flow. Nothing is sent anywhere."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from flows.compile import compile_bridge
from flows.flow import EMPTY, Flow, Program
from sdnapp.net.encap_migration import desired_encap
from sdnapp.net.events import BridgeFound
from sdnapp.net.model import (
    Attachment,
    Controller,
    Dhcp,
    FloatingPort,
    Host,
    Limits,
    Listen,
    Overlay,
    Port,
    Rate,
    Rest,
    Security,
    TlsFiles,
    Tunnel,
)
from sdnapp.net.project import project
from sdnapp.net.state import State
from sdnapp.net.step import step

Fields = Mapping[str, str | None]
"""What is known of a thing, each in a word or a few; None: it has none."""

Name = tuple[str, str]
"""A kind of thing and its name, such as ``("network", "red/web")``."""


@dataclass(frozen=True, slots=True)
class Difference:
    """A thing that is added, removed or changed; ``words`` say what is, was or becomes of it."""

    verb: Literal["add", "remove", "change"]
    kind: str
    name: str
    words: tuple[str, ...]

    def __str__(self) -> str:
        sign = {"add": "+", "remove": "-", "change": "~"}[self.verb]
        subject = f"{sign} {self.kind} {self.name}".rstrip()
        return f"{subject}: {', '.join(self.words)}" if self.words else subject


@dataclass(frozen=True, slots=True)
class FlowDifference:
    """What a host's bridge would get and lose, with all of its ports there, in the order of its tables."""

    host: str
    add: tuple[Flow, ...]
    remove: tuple[Flow, ...]


def differences(old: Overlay, new: Overlay) -> tuple[Difference, ...]:
    """Every difference that the file makes, kind by kind; none between overlays that mean the same."""
    before, after = dict(_things(old)), dict(_things(new))
    return tuple(
        difference
        for name in sorted({**before, **after}, key=_order)
        if (difference := _difference(name, before.get(name), after.get(name))) is not None
    )


def flow_differences(old: Overlay, new: Overlay) -> tuple[FlowDifference, ...]:
    """By host, the flows that differ; hosts without any are left out."""
    found = []
    programs_before, programs_after = _programs(old), _programs(new)
    for host in sorted(old.hosts.keys() | new.hosts.keys()):
        before, after = programs_before.get(host, EMPTY), programs_after.get(host, EMPTY)
        add = [flow for key, flow in after.flows.items() if key not in before.flows]
        remove = [flow for key, flow in before.flows.items() if key not in after.flows]
        if add or remove:
            found.append(FlowDifference(host, _in_order(add), _in_order(remove)))
    return tuple(found)


_KINDS = ("overlay", "controller", "tenant", "network", "host", "tunnel", "port", "peer")


def _order(name: Name) -> tuple[int, str]:
    return (_KINDS.index(name[0]), name[1])


def _things(overlay: Overlay) -> Iterator[tuple[Name, Fields]]:
    flap = overlay.duplicate_mac_detection
    tunnels = [tunnel for host in overlay.hosts.values() for tunnel in host.tunnels]
    yield (
        ("overlay", ""),
        {
            "encapsulation": overlay.encapsulation,
            "UDP port": _words(sorted({t.dst_port for t in tunnels if t.dst_port is not None})),
            "checksums": _words(sorted({"yes" if t.csum else "no" for t in tunnels})),
            "datapath": overlay.datapath,
            "mtu": None if overlay.mtu is None else str(overlay.mtu),
            "mac_age": str(overlay.mac_age),
            "bfd": f"{overlay.bfd} ms" if overlay.bfd else None,
            "dscp": str(overlay.dscp),
            "duplicate MACs": f"{flap.max_moves} moves in {flap.period} s, frozen for {flap.freeze} s",
            "loop protection": f"held for {overlay.loop_hold} s" if overlay.loop_hold else None,
        },
    )
    controller = overlay.controller
    yield (
        ("controller", ""),
        {
            "listens at": _words(map(_listen, controller.listens)),
            "target": controller.target,
            "TLS files": _files(controller.tls) if _encrypts(controller) else None,
            "rest": _rest(controller.rest),
        },
    )
    for tenant in overlay.tenants:
        yield ("tenant", tenant), {}
    for path, network in overlay.networks.items():
        vlan = None if network.vlan is None else str(network.vlan)
        yield (
            ("network", path),
            {
                "vni": str(network.vni),
                "vlan": vlan,
                "subnet": _words(map(str, network.subnets)),
                "unknown unicast": network.unknown_unicast,
                "multicast": network.multicast,
                "dhcp": _dhcp(network.dhcp),
            },
        )
    for host in overlay.hosts.values():
        yield ("host", host.name), _host(host) | _bridge(host, controller)
        for tunnel in host.tunnels:
            usual = tunnel.encapsulation == overlay.encapsulation
            own = {"encapsulation of its own": None if usual else tunnel.encapsulation}
            yield ("tunnel", f"{host.name} to {tunnel.peer}"), own
    for port in overlay.ports.values():
        yield ("port" if port.tunnel is None else "peer", port.name), _placed(port)
    yield from ((("port", port.name), _bound(port)) for port in overlay.bound.values())


def _listen(listen: Listen) -> str:
    return f"{'ssl' if listen.tls else 'tcp'} {listen.host} port {listen.port}"


def _rest(rest: Rest) -> str:
    words = [f"{'https' if rest.tls else 'http'} {rest.host} port {rest.port}"]
    words += [f"access {rest.access}"] if rest.access else []
    words += [f"client CA {rest.client_ca}"] if rest.client_ca else []
    return " ".join(words)


def _encrypts(controller: Controller) -> bool:
    return controller.rest.tls or any(listen.tls for listen in controller.listens)


def _files(files: TlsFiles) -> str:
    return f"{files.key} {files.certificate} {files.ca}"


def _placed(port: Port) -> Fields:
    tunnel = port.tunnel
    return {
        "host": port.host,
        "tunnel": None if tunnel is None else _peer(tunnel),
        "interface": port.interface,
        "mac": port.mac,
        "namespace": port.namespace,
        "device": port.device,
        "addresses": "by DHCP" if port.dhcp_client else None,
        **_limits(port.limits),
        "max_macs": str(port.max_macs),
        **_security(port.security),
        **({"port security": None} if tunnel else {}),
        **_attachments(port.attachments),
    }


def _peer(tunnel: Tunnel) -> str:
    words = [f"{tunnel.encapsulation} to {tunnel.remote_ip}"]
    words += [] if tunnel.dst_port is None else [f"UDP port {tunnel.dst_port}"]
    words += ["with checksums"] if tunnel.csum else []
    words += [] if tunnel.keyed else ["without a key"]
    return " ".join(words)


def _bound(port: FloatingPort) -> Fields:
    where = {"host": port.host, "iface_id": port.iface_id, "mac": port.mac, "max_macs": str(port.max_macs)}
    return {
        **where,
        **_limits(port.limits),
        **_security(port.security),
        **_attachments(port.attachments),
    }


def _security(security: Security) -> Fields:
    return {
        "port security": "yes" if security.allowed_mac else "no",
        "roles": _words(sorted(security.roles)),
        "loop protection": "yes" if security.loop_protect else None,
    }


def _limits(limits: Limits) -> Fields:
    return {
        "sends": _rate(limits.send),
        "receives": _rate(limits.receive),
        "storm control": None if limits.broadcast is None else f"{limits.broadcast.rate} frames/s",
    }


def _attachments(attachments: Iterable[Attachment]) -> Fields:
    return {f"in {a.network}": _attachment(a) for a in attachments}


def _host(host: Host) -> dict[str, str | None]:
    return {
        "vtep": str(host.vtep),
        "bridge": host.bridge,
        "datapath id": f"{host.datapath_id:016x}",
        "uplink": host.uplink,
        "underlay MTU": None if host.underlay_mtu is None else str(host.underlay_mtu),
    }


def _bridge(host: Host, controller: Controller) -> dict[str, str | None]:
    """How the bridge connects: what applies to TLS, and to connections without."""
    kinds = {listen.tls for listen in controller.listens}
    return {
        "certificate": host.certificate if True in kinds else None,
        "connects from": _words(host.accept_from) if False in kinds else None,
        "TLS files": _files(host.tls) if controller.target.startswith("ssl:") else None,
    }


def _rate(rate: Rate | None) -> str | None:
    return None if rate is None else f"{rate.rate} bits/s, {rate.burst} bytes at once"


def _dhcp(dhcp: Dhcp | None) -> str | None:
    if dhcp is None:
        return None
    said = (
        ("router", dhcp.router),
        ("dns", _words(dhcp.dns)),
        ("domain", dhcp.domain),
        ("lease", dhcp.lease),
    )
    return " ".join(f"{name} {value}" for name, value in said if value is not None)


def _attachment(attachment: Attachment) -> str:
    tag = "untagged" if not attachment.tagged else "tagged"
    vlan = "" if attachment.vlan is None else f" {attachment.vlan}"
    key = f"key {attachment.key} " if attachment.key else ""
    return " ".join([f"{key}{tag}{vlan}", *map(str, attachment.addresses)])


def _difference(name: Name, before: Fields | None, after: Fields | None) -> Difference | None:
    if before is None or after is None:
        fields = after or before or {}
        words = tuple(f"{field} {value}" for field, value in fields.items() if value is not None)
        return Difference("remove" if after is None else "add", *name, words)
    changed = [field for field in {**before, **after} if before.get(field) != after.get(field)]
    words = tuple(f"{f} {before.get(f) or 'none'} -> {after.get(f) or 'none'}" for f in changed)
    return Difference("change", *name, words) if words else None


def _words(values: Iterable[object]) -> str | None:
    return " ".join(map(str, values)) or None


def _programs(overlay: Overlay) -> Mapping[str, Program]:
    """What each host's bridge must hold when every port and every tunnel of the overlay is there."""
    state = State.of(overlay)
    for host in overlay.hosts.values():
        numbers = {port.interface: port.ofport for port in host.ports}
        numbers |= {tunnel.interface: tunnel.ofport for tunnel in host.tunnels}
        state = step(state, BridgeFound(host.name, numbers))
    return {host: compile_bridge(project(state, host, desired_encap(state, host))) for host in overlay.hosts}


def _in_order(flows: Iterable[Flow]) -> tuple[Flow, ...]:
    return tuple(sorted(flows, key=lambda flow: (flow.table, -flow.priority, str(flow))))
