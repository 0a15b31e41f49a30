"""``/v1/``: the overlay and how it fares, in the words of the project."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import version
from typing import Literal

from pydantic import BaseModel, ConfigDict

from sdnapp.net import model
from sdnapp.net.mtu import remarks
from sdnapp.rest import source as seam
from sdnapp.rest.routes import Call, Problem, Route, one
from sdnapp.rest.source import Source


class _Read(BaseModel):
    """Made from an object with the same attributes."""

    model_config = ConfigDict(from_attributes=True)


class Tenant(BaseModel):
    """Who owns networks: their paths, such as ``red/web``."""

    name: str
    networks: list[str]


class Multicast(_Read):
    """``flooding``, because nobody asks who listens; ``asking``; or ``snooping``. Then there are ``routers``,
    the ports of those who ask, and ``groups``: the ports that listen to each; a host, where no more is known.
    """

    ipv4: str = "flooding"
    ipv6: str = "flooding"
    routers: list[str] = []
    groups: dict[str, list[str]] = {}


class Network(BaseModel):
    """One layer-2 segment, and where it has ports. ``mtu``: bytes, as far as the file tells; ``said``: how
    often the controller answered in its name, by what it said.
    """

    path: str
    tenant: str
    name: str
    vni: int
    vlan: int | None
    subnets: list[model.Subnet]
    mtu: int
    dhcp: model.Dhcp | None
    hosts: list[str]
    ports: list[str]
    said: dict[str, int]
    unknown_unicast: model.UnknownUnicast
    multicast: Multicast


class Tunnel(_Read):
    """The OVS port to a peer host. ``ofport`` is null while the bridge does not have it; ``down``: the peer
    is not heard.
    """

    interface: str
    peer: str
    encapsulation: model.Encapsulation
    local_ip: model.Address
    remote_ip: model.Address
    dst_port: int | None
    ofport: int | None
    down: bool = False


class Host(BaseModel):
    """A machine with OVS. ``flows``: what its bridge must hold; ``since``: Unix time of its connection;
    ``drift``: changes by somebody else's hand that were healed.
    """

    name: str
    vtep: model.Address
    bridge: str
    datapath_id: int
    connected: bool
    in_sync: bool
    address: str | None
    since: float | None
    flows: int
    networks: list[str]
    tunnels: list[Tunnel]
    failures: list[str]
    drift: int


class Attachment(_Read):
    """One network on one port. ``key``: of the frames in a stranger's tunnel, 0: they have none."""

    network: str
    vlan: int | None
    tagged: bool
    addresses: list[model.Interface]
    key: int | None


class Port(_Read):
    """Where a workload attaches. ``ofport`` is null while the bridge does not have the interface.

    A port that is found by its ``iface_id`` has neither host nor interface while it is nowhere. ``tunnel``:
    the port is the tunnel to a stranger, one of the file's ``peers``.
    """

    name: str
    host: str | None
    interface: str | None = None
    iface_id: str | None = None
    ofport: int | None = None
    mac: str | None
    namespace: str | None = None
    device: str | None = None
    attachments: list[Attachment]
    tunnel: Tunnel | None = None
    limits: model.Limits = model.NO_LIMITS


class Location(_Read):
    """Where a MAC lives. ``moves``: how often it moved, as far as is remembered; ``frozen``: it may not."""

    network: str
    mac: str
    host: str
    port: str | None
    addresses: list[str]
    kind: str
    moves: int
    frozen: bool


class Alarm(_Read):
    """Somebody should look at this. ``frozen``: a MAC moves too often, two have it or there is a loop, so it
    stays where it is; ``denied``: frames from where their source does not live, which are dropped;
    ``crowded``: a port shows more MACs than it may, so no more are learned there; ``twice``: a port that is
    in several places; ``down``: a tunnel to a peer that is not heard. ``since``: Unix time, where known.
    """

    kind: Literal["frozen", "denied", "crowded", "twice", "down"]
    text: str
    network: str | None
    mac: str | None
    host: str | None
    port: str | None
    since: float | None


class Frozen(BaseModel):
    """A frozen MAC and its network, such as ``red/web``."""

    network: str
    mac: str


class Stranger(BaseModel):
    """A connected bridge that no host of the file owns; it is left empty."""

    datapath_id: int
    address: str


class Status(BaseModel):
    """The controller itself. ``config_error``: why the file is not in force; the last good one is.
    ``alarms``: what somebody should look at; ``remarks``: what in the file does not go together.
    """

    version: str
    config_path: str
    config_error: str | None
    hosts: int
    connected: int
    in_sync: int
    unknown: list[Stranger]
    alarms: list[str]
    remarks: list[str]


class Health(BaseModel):
    """``degraded`` says that the controller answers and something else is wrong."""

    status: Literal["ok", "degraded"]
    problems: list[str]


def _tenants(source: Source, _: Call) -> list[Tenant]:
    overlay = source.status().overlay
    return [
        Tenant(name=tenant, networks=[path for path, n in overlay.networks.items() if n.tenant == tenant])
        for tenant in overlay.tenants
    ]


def _tenant(source: Source, call: Call) -> Tenant:
    return one({t.name: t for t in _tenants(source, call)}, call.path["tenant"], "tenant")


def _networks(source: Source, _: Call) -> list[Network]:
    status = source.status()
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
            said=dict(status.spoken.get(path, {})),
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


def _network(source: Source, call: Call) -> Network:
    path = f"{call.path['tenant']}/{call.path['network']}"
    return one({n.path: n for n in _networks(source, call)}, path, "network")


def _hosts(source: Source, _: Call) -> list[Host]:
    status = source.status()
    return [_host_of(host, status.bridges[host.name]) for host in status.overlay.hosts.values()]


def _host_of(host: model.Host, bridge: seam.Bridge) -> Host:
    return Host(
        name=host.name,
        vtep=host.vtep,
        bridge=host.bridge,
        datapath_id=host.datapath_id,
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
    )


def _host(source: Source, call: Call) -> Host:
    return one({host.name: host for host in _hosts(source, call)}, call.path["host"], "host")


def _ports(source: Source, _: Call) -> list[Port]:
    status = source.status()
    bound = status.overlay.bound
    there = [_port_of(port, status, bound.get(name)) for name, port in status.overlay.ports.items()]
    nowhere = [Port.model_validate(bound[name]) for name in bound.keys() - status.overlay.ports.keys()]
    return sorted([*there, *nowhere], key=lambda port: port.name)


def _port_of(port: model.Port, status: seam.Status, bound: model.Bound | None) -> Port:
    now = {"ofport": status.bridges[port.host].ports.get(port.interface)}
    shown = Port.model_validate(port)
    tunnel = None if shown.tunnel is None else shown.tunnel.model_copy(update=now)
    iface_id = None if bound is None else bound.iface_id
    return shown.model_copy(update={**now, "tunnel": tunnel, "iface_id": iface_id})


def _port(source: Source, call: Call) -> Port:
    return one({port.name: port for port in _ports(source, call)}, call.path["port"], "port")


def _locations(source: Source, _: Call) -> list[Location]:
    return [Location.model_validate(location) for location in source.status().locations]


def _alarms(source: Source, _: Call) -> list[Alarm]:
    return [Alarm.model_validate(alarm) for alarm in source.status().alarms]


def _thaw(source: Source, call: Call) -> Frozen:
    asked = call.body
    if not isinstance(asked, Frozen):
        raise Problem(400, "the body is empty", "an object with network and mac")
    frozen = [alarm for alarm in source.status().alarms if alarm.kind == "frozen"]
    mac = asked.mac.lower()
    if (asked.network, mac) not in {(alarm.network, alarm.mac) for alarm in frozen}:
        there = ", ".join(f"{alarm.network} {alarm.mac}" for alarm in frozen) or "none"
        raise Problem(404, f"{asked.network} has no frozen {mac}", f"there are {there}")
    source.thaw(asked.network, mac)
    return Frozen(network=asked.network, mac=mac)


def _status(source: Source, _: Call) -> Status:
    status = source.status()
    bridges = status.bridges.values()
    return Status(
        version=version("sdnapp"),
        config_path=status.config_path,
        config_error=status.config_error,
        hosts=len(bridges),
        connected=sum(bridge.connected for bridge in bridges),
        in_sync=sum(bridge.in_sync for bridge in bridges),
        unknown=[Stranger(datapath_id=d, address=address) for d, address in status.unknown.items()],
        alarms=[alarm.text for alarm in status.alarms],
        remarks=list(remarks(status.overlay)),
    )


def _config(source: Source, _: Call) -> model.Overlay:
    return source.status().overlay


def _health(source: Source, _: Call) -> Health:
    problems = list(_problems(source.status()))
    return Health(status="degraded" if problems else "ok", problems=problems)


def _problems(status: seam.Status) -> Iterator[str]:
    if status.config_error:
        yield f"{status.config_path} is not in force: {status.config_error}"
    for name, bridge in status.bridges.items():
        if not bridge.connected:
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
    Route("GET", "/v1/locations", "Where each known MAC lives", _locations, list[Location]),
    Route("GET", "/v1/alarms", "What somebody should look at", _alarms, list[Alarm]),
    Route("POST", "/v1/thaw", "Let a frozen MAC move again", _thaw, Frozen, Frozen),
)
