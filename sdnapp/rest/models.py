"""Response models of ``/v1/``."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from sdnapp.engine.status import AlarmKind
from sdnapp.net import model


class _Read(BaseModel):
    """Made from an object with the same attributes."""

    model_config = ConfigDict(from_attributes=True)


class Tenant(BaseModel):
    """Tenant and the paths of its networks, such as ``red/web``."""

    name: str
    networks: list[str]


class Multicast(_Read):
    """``flooding`` without a querier, ``querying`` until members are known, or ``snooping``. ``routers``:
    ports with queriers; ``groups``: member ports by group; a host, where no more is known.
    """

    ipv4: str = "flooding"
    ipv6: str = "flooding"
    routers: list[str] = []
    groups: dict[str, list[str]] = {}


class Network(BaseModel):
    """One layer-2 segment, and where it has ports. ``mtu``: bytes, as far as the file tells;
    ``service_counters``: replies of the controller by kind, and leases that it learned.
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
    service_counters: dict[str, int]
    unknown_unicast: model.UnknownUnicast
    multicast: Multicast


class Tunnel(_Read):
    """The OVS port to a peer host. ``ofport`` is null while the bridge does not have it; ``down``: BFD
    reports the peer as down.
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
    ``drift``: changes of flows by others that were reverted; ``problems``: what its agent cannot do;
    ``datapath_id``: 16 hexadecimal digits, as ovs-vsctl has it.
    """

    name: str
    vtep: model.Address
    bridge: str
    datapath_id: str
    connected: bool
    in_sync: bool
    address: str | None
    since: float | None
    flows: int
    networks: list[str]
    tunnels: list[Tunnel]
    failures: list[str]
    drift: int
    problems: str


class Attachment(_Read):
    """One network on one port. ``key``: of the tunnel to an external VTEP, 0: none."""

    network: str
    vlan: int | None
    tagged: bool
    addresses: list[model.Interface]
    key: int | None


class Port(_Read):
    """Attachment point of a workload. ``ofport`` is null while the bridge does not have the interface;
    ``ofport_request`` is the number that the interface asks for, so that flows may be there before it is.

    A port that is found by its ``iface_id`` has neither host nor interface while it is nowhere. ``tunnel``:
    the port is the tunnel to an external VTEP, one of the file's ``peers``. ``dhcp_client``: its workload
    gets its addresses by DHCP.
    """

    name: str
    host: str | None
    interface: str | None = None
    iface_id: str | None = None
    ofport: int | None = None
    ofport_request: int | None = None
    mac: str | None
    namespace: str | None = None
    device: str | None = None
    attachments: list[Attachment]
    tunnel: Tunnel | None = None
    limits: model.Limits = model.NO_LIMITS
    dhcp_client: bool = False


class Location(_Read):
    """Location of a MAC. ``moves``: number of recent moves; ``frozen``: pinned by duplicate MAC detection."""

    network: str
    mac: str
    host: str
    port: str | None
    addresses: list[str]
    kind: str
    moves: int
    frozen: bool


class Alarm(_Read):
    """A condition that needs an operator. ``duplicate-mac``: a MAC moved too often and is frozen;
    ``mac-blocked``: frames are dropped whose source MAC is located elsewhere; ``mac-limit-exceeded``: no more
    MACs are learned at a port; ``port-bound-twice``: several interfaces have one ``iface_id``;
    ``tunnel-down``: BFD reports it; ``address-conflict``: a port claims an address of another; ``loop``: a
    port is held down; ``unauthorized-bridge``, ``duplicate-datapath-id``: a connection was refused;
    ``file-limit``: too few files may be open; ``agent-error``: what a host's agent cannot do;
    ``restart-required``: settings changed that are read at the start. ``since``: Unix time, where known.
    """

    kind: AlarmKind
    text: str
    network: str | None
    mac: str | None
    host: str | None
    port: str | None
    since: float | None
    address: str | None


class MacRef(BaseModel):
    """A MAC and its network, such as ``red/web``."""

    network: str
    mac: str


class HeldPort(BaseModel):
    """Port that is held down by loop protection."""

    port: str


class UnknownBridge(BaseModel):
    """Connected bridge that is not in the file; it gets no flows."""

    datapath_id: str
    address: str


class ConfigProblem(_Read):
    """Error in the file. ``line`` and ``column`` count from 1; ``path``: of the key."""

    source: str
    line: int
    column: int
    path: str
    message: str
    remedy: str


class Status(BaseModel):
    """The controller itself. ``config_error``: why the file is not in force, in a line; the last good one is.
    ``config_problems``: the same, one by one.
    ``alarms``: texts of all alarms; ``warnings``: contradictions in the file.
    ``malformed``: connections that ended with a malformed message, by the type of that, since the start.
    """

    version: str
    config_path: str
    config_error: str | None
    config_problems: list[ConfigProblem]
    hosts: int
    connected: int
    in_sync: int
    unknown_bridges: list[UnknownBridge]
    alarms: list[str]
    warnings: list[str]
    malformed: dict[str, int]


class Health(BaseModel):
    """``degraded`` says that the controller answers and something else is wrong."""

    status: Literal["ok", "degraded"]
    problems: list[str]
