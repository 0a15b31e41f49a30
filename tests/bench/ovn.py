"""OVN on hosts like those of a lab: northd and its databases on one machine, ovn-controller on each host."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from signal import SIGKILL

from sdnapp.config_file import load
from sdnapp.lab import model, underlay
from sdnapp.lab.errors import LabError
from sdnapp.lab.machine import Machine, environment, serve
from sdnapp.lab.process import Process, kill
from sdnapp.net.model import Host
from tests.bench import hosts, ovsdb
from tests.bench.ground import run, until
from tests.bench.sides import Side, addresses

NORTHD, CONTROLLER = "ovn-northd", "ovn-controller"
SWITCH = "net"
"""The logical switch."""

_SCHEMAS = Path("/usr/share/ovn")
_PORT = 6642
_RUN = "/run/openvswitch"
_ATTEMPTS = 200
_LOGGING = ("-vconsole:info", "-vsyslog:off", "-vfile:off")

# A tunnel to nobody holds the number in the datapath that OVN's own will share.
_BRIDGES = """
tunnel_number=$1 port=$2 number=$3
ovs-vsctl --if-exists del-br br-int -- --if-exists del-br br-phy
ovs-vsctl add-br br-int -- set bridge br-int datapath_type=netdev fail_mode=secure \
        other_config:disable-in-band=true \
    -- add-port br-int placeholder -- set interface placeholder ofport_request="$tunnel_number" \
        type=geneve options:remote_ip=192.0.2.1 options:key=flow \
    -- add-port br-int "$port" -- set interface "$port" ofport_request="$number" \
        external_ids:iface-id="$port" \
    -- add-br br-phy -- set bridge br-phy datapath_type=netdev \
        other_config:hwaddr="$(cat /sys/class/net/eth0/address)" -- add-port br-phy eth0
"""

_EMPLOY = """
ovs-vsctl set open_vswitch . external_ids:ovn-remote="tcp:$1:$2" external_ids:ovn-encap-ip="$3" \
    external_ids:ovn-encap-type=geneve external_ids:ovn-bridge-datapath-type=netdev
"""


def require() -> None:
    """Raise LabError unless OVN is installed."""
    path = environment()["PATH"]
    tools = (NORTHD, CONTROLLER, "ovn-nbctl")
    if not all(shutil.which(tool, path=path) for tool in tools) or not _SCHEMAS.is_dir():
        raise LabError("OVN is not installed: apt-get install ovn-central ovn-host")


def version() -> str:
    """Return its version."""
    return run([NORTHD, "--version"]).splitlines()[0].rpartition(" ")[2]


class Ovn(Side):
    """OVN over Geneve, as its packages leave it."""

    name = "OVN"
    recovery = 6.0

    def __init__(self, lab: model.Lab, ours: model.Lab) -> None:
        super().__init__(_employed(lab, ours))
        self._nbctl("ls-add", SWITCH)
        self._add(
            {p.name: (str(p.mac), str(p.attachments[0].addresses[0].ip)) for p in self.plan.ports.values()}
        )
        self._nbctl("--wait=hv", "--timeout=30", "sync")
        for host in lab.hosts:
            self._vsctl(host, ["--if-exists", "del-port", "br-int", "placeholder"])

    def settled(self) -> bool:
        found = run(
            [
                "ovn-nbctl",
                f"--db={_database(self.lab, 'nb')}",
                "--columns=name",
                "--bare",
                "find",
                "Logical_Switch_Port",
                "up=true",
            ]
        )
        return len(found.split()) == self.present + 2

    def restart_controllers(self) -> None:
        """SIGKILL the controllers of both hosts and start them again at once."""
        for machine in self.lab.hosts.values():
            kill([machine.services[CONTROLLER]], SIGKILL)
        self.lab = replace(self.lab, hosts={n: _controlled(self.lab, m) for n, m in self.lab.hosts.items()})

    def wait_before_clear(self, milliseconds: int | None) -> None:
        """Have ovn-controller keep the flows that it finds for so long; None: as is its default."""
        for host in self.lab.hosts:
            key = "ovn-ofctrl-wait-before-clear"
            value = [f"external_ids:{key}={milliseconds}"]
            words = (
                ["remove", "open", ".", "external_ids", key]
                if milliseconds is None
                else ["set", "open", ".", *value]
            )
            self._vsctl(host, words)

    @contextmanager
    def _telling(self, before: int, ports: int) -> Iterator[None]:
        if ports > before:
            self._add({f"p{number}": addresses(number) for number in range(before, ports)})
        else:
            gone = [f"p{number}" for number in range(ports, before)]
            self._nbctl(*(word for name in gone for word in ("--", "lsp-del", name)))
        yield

    def _add(self, addresses: Mapping[str, tuple[str, str]]) -> None:
        """Add logical ports in one transaction: ovn-nbctl would take longer than northd."""
        rows = {
            f"row{n}": {"name": p, "addresses": " ".join(a)} for n, (p, a) in enumerate(addresses.items())
        }
        table = "Logical_Switch_Port"
        ports = [{"op": "insert", "table": table, "uuid-name": n, "row": row} for n, row in rows.items()]
        mutation = ["ports", "insert", ["set", [["named-uuid", name] for name in rows]]]
        where = [["name", "==", SWITCH]]
        switch = {"op": "mutate", "table": "Logical_Switch", "where": where, "mutations": [mutation]}
        ovsdb.transact(_database(self.lab, "nb"), "OVN_Northbound", [*ports, switch])

    def _nbctl(self, *words: str) -> None:
        run(["ovn-nbctl", f"--db={_database(self.lab, 'nb')}", *words])


def _employed(lab: model.Lab, ours: model.Lab) -> model.Lab:
    plan = load(ours.file)
    segments = underlay.plan(plan)
    assert lab.controller is not None
    central = replace(lab.controller, services=dict(_central(lab, lab.controller)))
    lab = replace(lab, controller=central)
    for host in plan.hosts.values():
        machine = lab.hosts[host.name]
        _bridge(machine, host, hosts.numbers(ours.hosts[host.name]))
        hosts.address_underlay(machine, host)
        address = str(underlay.controller_for(host.vtep, segments))
        hosts.script(machine, _EMPLOY, address, str(_PORT), str(host.vtep))
    lab = replace(lab, hosts={name: _controlled(lab, machine) for name, machine in lab.hosts.items()})
    model.save(lab)
    return lab


def _central(lab: model.Lab, machine: Machine) -> Iterator[tuple[str, Process]]:
    """Start the two databases, the southern one open to the hosts, and northd between them."""
    for which, remotes in (("nb", []), ("sb", [f"--remote=ptcp:{_PORT}:0.0.0.0"])):
        file = lab.home(machine.name) / "etc" / f"{which}.db"
        run(["ovsdb-tool", "create", str(file), str(_SCHEMAS / f"ovn-{which}.ovsschema")])
        command = ["ovsdb-server", f"/etc/openvswitch/{which}.db", f"--remote=punix:{_RUN}/{which}.sock"]
        command += [*remotes, f"--unixctl={_RUN}/{which}.ctl", *_LOGGING]
        yield which, serve(machine, command, lab.log(machine.name, which))
        until(Path(_database(lab, which).removeprefix("unix:")).exists, f"OVN's {which} does not start")
    remotes = [f"--ovn{which}-db=unix:{_RUN}/{which}.sock" for which in ("nb", "sb")]
    command = [NORTHD, *remotes, f"--unixctl={_RUN}/northd.ctl", *_LOGGING]
    yield NORTHD, serve(machine, command, lab.log(machine.name, NORTHD))


def _controlled(lab: model.Lab, machine: Machine) -> Machine:
    """Start ovn-controller."""
    command = ["env", f"OVN_RUNDIR={_RUN}", CONTROLLER, f"unix:{_RUN}/db.sock", *_LOGGING]
    process = serve(machine, command, lab.log(machine.name, CONTROLLER))
    return replace(machine, services={**machine.services, CONTROLLER: process})


def _bridge(machine: Machine, host: Host, numbers: Mapping[str, int]) -> None:
    """Make the bridges so that the datapath polls workload and uplink in the order of ours, as by hand."""
    (port,) = (port for port in host.ports if port.namespace is not None)
    (tunnel,) = host.tunnels
    wanted = {name: numbers[name] for name in (port.interface, "eth0")}
    for _ in range(_ATTEMPTS):
        hosts.script(machine, _BRIDGES, str(tunnel.ofport), port.interface, str(port.ofport))
        if wanted.items() <= hosts.numbers(machine).items():
            return
    raise LabError(f"Open vSwitch of {host.name}, for OVN, does not number its ports as ours: {wanted}")


def _database(lab: model.Lab, which: str) -> str:
    return f"unix:{lab.home('controller')}/openvswitch/{which}.sock"
