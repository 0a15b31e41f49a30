"""``/v1/``: configuration and state of the overlay."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import version

from sdnapp.engine import status as engine
from sdnapp.net import model
from sdnapp.net.config_warnings import remarks
from sdnapp.net.mesh import with_tunnels
from sdnapp.rest.backend import Backend
from sdnapp.rest.models import (
    Alarm,
    ConfigProblem,
    Health,
    HeldPort,
    Host,
    Location,
    MacRef,
    Multicast,
    Network,
    Port,
    Status,
    Tenant,
    Tunnel,
    UnknownBridge,
)
from sdnapp.rest.routes import Call, Problem, Route, get_or_404


def _tenants(backend: Backend, _: Call) -> list[Tenant]:
    overlay = backend.status().overlay
    return [
        Tenant(name=tenant, networks=[path for path, n in overlay.networks.items() if n.tenant == tenant])
        for tenant in overlay.tenants
    ]


def _tenant(backend: Backend, call: Call) -> Tenant:
    return get_or_404({t.name: t for t in _tenants(backend, call)}, call.path["tenant"], "tenant")


def _networks(backend: Backend, _: Call) -> list[Network]:
    status = backend.status()
    overlay = status.overlay
    return [
        Network(
            path=path,
            tenant=network.tenant,
            name=network.name,
            vni=network.vni,
            vlan=network.vlan,
            subnets=list(network.subnets),
            mtu=network.mtu,
            dhcp=network.dhcp,
            service_counters=dict(status.service_counters.get(path, {})),
            unknown_unicast=network.unknown_unicast,
            multicast=Multicast.model_validate(status.multicast.get(path, Multicast())),
            hosts=[host.name for host in overlay.hosts.values() if path in host.networks],
            ports=[
                port.name
                for port in overlay.ports.values()
                if any(attachment.network == path for attachment in port.attachments)
            ],
        )
        for path, network in overlay.networks.items()
    ]


def _network(backend: Backend, call: Call) -> Network:
    path = f"{call.path['tenant']}/{call.path['network']}"
    return get_or_404({n.path: n for n in _networks(backend, call)}, path, "network")


def _hosts(backend: Backend, _: Call) -> list[Host]:
    status = backend.status()
    return [_host_of(host, status.bridges[host.name]) for host in status.overlay.hosts.values()]


def _host_of(host: model.Host, bridge: engine.BridgeStatus) -> Host:
    return Host(
        name=host.name,
        vtep=host.vtep,
        bridge=host.bridge,
        datapath_id=f"{host.datapath_id:016x}",
        connected=bridge.connected,
        in_sync=bridge.in_sync,
        address=bridge.address,
        since=bridge.since,
        flows=bridge.flows,
        networks=sorted(host.networks),
        tunnels=[
            Tunnel.model_validate(tunnel).model_copy(
                update={
                    "ofport": bridge.ports.get(tunnel.interface),
                    "down": tunnel.interface in bridge.down,
                }
            )
            for tunnel in host.tunnels
        ],
        failures=list(bridge.failures),
        drift=bridge.drift,
        problems=bridge.problems,
    )


def _host(backend: Backend, call: Call) -> Host:
    return get_or_404({host.name: host for host in _hosts(backend, call)}, call.path["host"], "host")


def _ports(backend: Backend, _: Call) -> list[Port]:
    status = backend.status()
    bound = status.overlay.bound
    there = [_port_of(port, status, bound.get(name)) for name, port in status.overlay.ports.items()]
    nowhere = [Port.model_validate(bound[name]) for name in bound.keys() - status.overlay.ports.keys()]
    return sorted([*there, *nowhere], key=lambda port: port.name)


def _port_of(port: model.Port, status: engine.Status, bound: model.FloatingPort | None) -> Port:
    now = {"ofport": status.bridges[port.host].ports.get(port.interface)}
    shown = Port.model_validate(port)
    tunnel = None if shown.tunnel is None else shown.tunnel.model_copy(update=now)
    other = {"ofport_request": port.ofport or None, "iface_id": None if bound is None else bound.iface_id}
    return shown.model_copy(update={**now, **other, "tunnel": tunnel})


def _port(backend: Backend, call: Call) -> Port:
    return get_or_404({port.name: port for port in _ports(backend, call)}, call.path["port"], "port")


def _locations(backend: Backend, _: Call) -> list[Location]:
    return [Location.model_validate(location) for location in backend.status().locations]


def _alarms(backend: Backend, _: Call) -> list[Alarm]:
    return [Alarm.model_validate(alarm) for alarm in backend.status().alarms]


def _unfreeze(backend: Backend, call: Call) -> MacRef:
    asked = call.body
    if not isinstance(asked, MacRef):
        raise Problem(400, "the body is empty", "an object with network and mac")
    frozen = [alarm for alarm in backend.status().alarms if alarm.kind == "duplicate-mac"]
    mac = asked.mac.lower()
    if (asked.network, mac) not in {(alarm.network, alarm.mac) for alarm in frozen}:
        there = ", ".join(f"{alarm.network} {alarm.mac}" for alarm in frozen) or "none"
        raise Problem(404, f"{asked.network} has no frozen {mac}", f"there are {there}")
    backend.unfreeze(asked.network, mac)
    return MacRef(network=asked.network, mac=mac)


def _release(backend: Backend, call: Call) -> HeldPort:
    port = call.path["port"]
    held = [alarm.port for alarm in backend.status().alarms if alarm.kind == "loop" and alarm.port]
    if port not in held:
        raise Problem(404, f"port {port} is not held down", f"there are {', '.join(held) or 'none'}")
    backend.release(port)
    return HeldPort(port=port)


def _status(backend: Backend, _: Call) -> Status:
    status = backend.status()
    bridges = status.bridges.values()
    return Status(
        version=version("sdnapp"),
        config_path=status.config_path,
        config_error=status.config_error,
        config_problems=[ConfigProblem.model_validate(problem) for problem in status.config_problems],
        hosts=len(bridges),
        connected=sum(bridge.connected for bridge in bridges),
        in_sync=sum(bridge.in_sync for bridge in bridges),
        unknown_bridges=[
            UnknownBridge(datapath_id=f"{d:016x}", address=address)
            for d, address in status.unknown_bridges.items()
        ],
        alarms=[alarm.text for alarm in status.alarms],
        warnings=list(remarks(status.overlay)),
        malformed=dict(backend.malformed()),
    )


def _config(backend: Backend, _: Call) -> model.Overlay:
    return with_tunnels(backend.status().overlay)


def _health(backend: Backend, _: Call) -> Health:
    if backend.late():
        raise Problem(503, "events are not taken in", "look at the log; the process ends soon, with a stack")
    problems = list(_problems(backend.status()))
    return Health(status="degraded" if problems else "ok", problems=problems)


def _problems(status: engine.Status) -> Iterator[str]:
    if status.config_error:
        yield f"{status.config_path} is not in force: {status.config_error}"
    own_only = status.overlay.controller.per_host and any(b.connected for b in status.bridges.values())
    for name, bridge in status.bridges.items():
        if not bridge.connected:
            if bridge.ports or not own_only:  # with a controller on every host, others never connect to us
                yield f"the bridge of {name} is not connected"
        elif not bridge.in_sync:
            yield f"the bridge of {name} is not in sync"
    yield from (alarm.text for alarm in status.alarms)


ROUTES = (
    Route("GET", "/healthz", "Is the controller alive, and is anything wrong?", _health, Health),
    Route("GET", "/v1/status", "The controller", _status, Status),
    Route("GET", "/v1/config", "The overlay in force, with all that is derived", _config, model.Overlay),
    Route("GET", "/v1/tenants", "All tenants", _tenants, list[Tenant]),
    Route("GET", "/v1/tenants/{tenant}", "One tenant", _tenant, Tenant),
    Route("GET", "/v1/networks", "All networks", _networks, list[Network]),
    Route("GET", "/v1/networks/{tenant}/{network}", "One network", _network, Network),
    Route("GET", "/v1/hosts", "All hosts", _hosts, list[Host]),
    Route("GET", "/v1/hosts/{host}", "One host", _host, Host),
    Route("GET", "/v1/ports", "All ports", _ports, list[Port]),
    Route("GET", "/v1/ports/{port}", "One port", _port, Port),
    Route("GET", "/v1/locations", "Location of each known MAC", _locations, list[Location]),
    Route("GET", "/v1/alarms", "Conditions that need an operator", _alarms, list[Alarm]),
    Route(
        "POST",
        "/v1/locations/unfreeze",
        "Let a frozen MAC move again",
        _unfreeze,
        MacRef,
        MacRef,
        scope="operate",
    ),
    Route(
        "POST",
        "/v1/ports/{port}/release",
        "Release a port that is held down",
        _release,
        HeldPort,
        scope="operate",
    ),
)
