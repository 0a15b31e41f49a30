"""Bridges of many hosts in real Open vSwitches on dummy devices, and a real controller for them all.

Programming is what is measured here: nothing is forwarded, so the devices cost nothing. A dozen bridges share
one Open vSwitch, as one that holds thousands of ports takes minutes to start.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from signal import SIGKILL
from typing import Any

from sdnapp.config_file import load
from sdnapp.net.model import Host, Overlay, TlsFiles
from tests.bench import ovsdb
from tests.bench.ground import until
from tests.ovs.controller import Controller
from tests.ovs.switchd import PrivateOvs, private_ovs

PATIENCE = 120.0
"""Seconds until something has gone wrong."""


def text(
    hosts: int,
    networks: int,
    ports: Iterable[tuple[int, int]],
    trunks: Iterable[tuple[int, Iterable[int]]] = (),
) -> str:
    """Write a file with so many hosts and networks, a port for each (host, network), and for each trunk.

    All are counted from 0.
    """
    written = ", ".join(f"n{n}: {{vlan: {n % 4094 + 1}, vni: {n + 1}}}" for n in range(networks))
    return "\n".join(
        [
            "overlay: {encapsulation: gre}",
            'controller: {target: "tcp:192.0.2.1:6653"}',
            f"tenants: {{t: {{networks: {{{written}}}}}}}",
            "hosts:",
            *(f"  {host(h)}: {{vtep: 10.0.{h >> 8}.{h & 255}}}" for h in range(hosts)),
            "ports:",
            *(port(name, h, n) for name, (h, n) in enumerate(ports)),
            *(_trunk(name, h, carried) for name, (h, carried) in enumerate(trunks)),
            "",
        ]
    )


def port(number: int, on: int, network: int) -> str:
    """Write the line of a port."""
    return f"  p{number}: {{host: {host(on)}, network: t/n{network}, max_macs: 65535}}"


def _trunk(number: int, on: int, networks: Iterable[int]) -> str:
    tags = ", ".join(f"t/n{n}: {n % 4094 + 1}" for n in networks)
    return f"  t{number}: {{host: {host(on)}, trunk: {{{tags}}}}}"


def host(number: int) -> str:
    """Name a host with eleven characters: its tunnels have the fifteen then that OpenFlow can say.

    What Open vSwitch's own name for a tunnel has beyond these tells it from those of other bridges.
    """
    return f"host{number:07}"


@dataclass(frozen=True, slots=True)
class Line:
    """What the controller logged. ``at``: seconds since the epoch."""

    at: float
    event: str
    fields: Mapping[str, Any]


class Fleet:
    """The hosts' bridges, and their controller, which is not started yet."""

    def __init__(self, switches: list[PrivateOvs], controller: Controller, overlay: Overlay) -> None:
        self.controller = controller
        self.overlay = overlay
        self._switches = switches
        self._home = {name: switches[n % len(switches)] for n, name in enumerate(overlay.hosts)}
        self._read = 0

    def ovs(self, name: str) -> PrivateOvs:
        """Return the Open vSwitch that has the bridge of this host."""
        return self._home[name]

    def build(self, names: Iterable[str] | None = None, *, without: frozenset[str] = frozenset()) -> None:
        """Make the bridges, of all hosts or of these, with all ports but some; return when they are there."""
        wanted = set(self.overlay.hosts if names is None else names)
        for switch in self._switches:
            hosts = [
                h for h in self.overlay.hosts.values() if self._home[h.name] is switch and h.name in wanted
            ]
            transact(switch, [*_creation(hosts, self.target, without), _NEXT])
        for switch in self._switches:
            until(partial(_is_through, switch), "Open vSwitch is not through with its database", PATIENCE)

    def await_flows(self, name: str, number: int) -> None:
        """Wait until the bridge of this host has so many flows."""
        until(
            lambda: self.ovs(name).ofctl("dump-aggregate", name).endswith(f"flow_count={number}\n"),
            f"the bridge of {name} does not have {number} flows",
            PATIENCE,
        )

    @property
    def target(self) -> str:
        """Where bridges connect in clear text."""
        return f"tcp:127.0.0.1:{self.controller.openflow}"

    @property
    def secured(self) -> str:
        """Where they connect by TLS, if the controller has files for that."""
        return f"ssl:127.0.0.1:{self.controller.secured}"

    def start(self) -> float:
        """Start the controller; return when that was."""
        began = time.time()
        self.controller.start("--log-format", "json")
        return began

    def prefer(self, niceness: int) -> None:
        """Give the controller this priority; nice(2)."""
        assert self.controller.process is not None
        os.setpriority(os.PRIO_PROCESS, self.controller.process.pid, niceness)

    def kill(self) -> None:
        """End the controller, as a crash would, if it runs."""
        if self.controller.process is not None:
            self.controller.end(SIGKILL)

    def news(self) -> list[Line]:
        """Return what the controller has logged since this was last asked."""
        with self.controller.log.open("rb") as log:
            log.seek(self._read)
            found = log.read().rpartition(b"\n")[0]
        self._read += len(found) + bool(found)
        return [_line(json.loads(line)) for line in found.splitlines() if line.startswith(b"{")]

    def watch(self, over: Callable[[list[Line]], bool], otherwise: str) -> list[Line]:
        """Collect what the controller logs until that is enough."""
        seen: list[Line] = []

        def enough() -> bool:
            seen.extend(self.news())
            return over(seen)

        until(enough, otherwise, PATIENCE)
        return seen

    def quiet(self, event: str, seconds: float) -> list[Line]:
        """Collect what the controller logs until there was no such event for so long."""

        def over(seen: list[Line]) -> bool:
            last = max((line.at for line in seen if line.event == event), default=time.time())
            return time.time() - last > seconds and any(line.event == event for line in seen)

        return self.watch(over, f"no {event}")

    def in_sync(self, hosts: int) -> list[Line]:
        """Wait until that many bridges hold what they should, and the controller has nothing more to say."""
        return self.watch(
            lambda seen: (
                len({line.fields["host"] for line in seen if line.event == "bridge.in_sync"}) >= hosts
            ),
            "not every bridge is in sync",
        )

    def plug(self, name: str, interface: str, ofport: int | None = None) -> None:
        """Let a port appear on the bridge of this host, which asks for this number."""
        row: dict[str, object] = {"name": interface, "type": "dummy"}
        row |= {} if ofport is None else {"ofport_request": ofport}
        insert = {"op": "insert", "table": "Interface", "uuid-name": "interface", "row": row}
        port = {"name": interface, "interfaces": ["named-uuid", "interface"]}
        mutation = ["ports", "insert", ["set", [["named-uuid", "port"]]]]
        where = [["name", "==", name]]
        transact(
            self.ovs(name),
            [
                insert,
                {"op": "insert", "table": "Port", "uuid-name": "port", "row": port},
                {"op": "mutate", "table": "Bridge", "where": where, "mutations": [mutation]},
            ],
        )

    def secure(self, files: TlsFiles) -> None:
        """Give every Open vSwitch what it needs for ``ssl:``."""
        row = {"private_key": files.key, "certificate": files.certificate, "ca_cert": files.ca}
        for switch in self._switches:
            insert = {"op": "insert", "table": "SSL", "uuid-name": "files", "row": row}
            own = {"ssl": ["named-uuid", "files"]}
            transact(switch, [insert, {"op": "update", "table": "Open_vSwitch", "where": [], "row": own}])

    def employ(self, name: str, *, controlled: bool, target: str | None = None) -> None:
        """Give the bridge of this host its controller, or take it away; then it is empty."""
        row = {"target": target or self.target, "max_backoff": 1000}
        new = {"op": "insert", "table": "Controller", "uuid-name": "controller", "row": row}
        controllers = {"controller": ["named-uuid", "controller"] if controlled else ["set", []]}
        where = [["name", "==", name]]
        update = {"op": "update", "table": "Bridge", "where": where, "row": controllers}
        transact(self.ovs(name), [new, update] if controlled else [update])

    def memory(self) -> float:
        """The resident set of the controller at its highest, in MB (proc(5))."""
        assert self.controller.process is not None
        status = Path(f"/proc/{self.controller.process.pid}/status").read_text()
        found = re.search(r"^VmHWM:\s*(\d+) kB", status, re.MULTILINE)
        assert found is not None
        return int(found.group(1)) * 1024 / 1e6


@contextmanager
def fleet(written: str, switches: int, tls: TlsFiles | None = None) -> Iterator[Fleet]:
    """Open vSwitches for the hosts of this file, without bridges yet; all ends with the block."""
    with ExitStack() as ends:
        directory = Path(ends.enter_context(tempfile.TemporaryDirectory()))
        homes = [directory / f"ovs{n}" for n in range(switches)]
        for home in homes:
            home.mkdir()
        running = [ends.enter_context(private_ovs(home)) for home in homes]
        controller = Controller(directory, "eventlet", written, tls)
        controller.log.touch()
        made = Fleet(running, controller, load(controller.file))
        ends.callback(made.kill)
        yield made


_NEXT = {"op": "mutate", "table": "Open_vSwitch", "where": [], "mutations": [["next_cfg", "+=", 1]]}


def _is_through(ovs: PrivateOvs) -> bool:
    """Whether it has done all that its database asked for until then (ovs-vswitchd.conf.db(5), next_cfg)."""
    columns = ["next_cfg", "cur_cfg"]
    select = {"op": "select", "table": "Open_vSwitch", "where": [], "columns": columns}
    ((row,),) = (result["rows"] for result in transact(ovs, [select]))
    return bool(row["next_cfg"] == row["cur_cfg"])


def transact(ovs: PrivateOvs, operations: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Change the database of this Open vSwitch in one transaction; return the results."""
    return ovsdb.transact(ovs.database, "Open_vSwitch", operations)


def _creation(hosts: list[Host], target: str, without: frozenset[str]) -> list[dict[str, Any]]:
    operations: list[dict[str, Any]] = []

    def insert(table: str, **row: Any) -> list[str]:
        name = f"row{len(operations)}"
        operations.append({"op": "insert", "table": table, "uuid-name": name, "row": row})
        return ["named-uuid", name]

    bridges = []
    for number, of in enumerate(hosts):
        devices = {port.interface: port.ofport for port in of.ports if port.interface not in without}
        devices |= {f"{tunnel.interface}@{number}": tunnel.ofport for tunnel in of.tunnels}
        ports = [
            insert(
                "Port", name=name, interfaces=insert("Interface", name=name, type="dummy", ofport_request=n)
            )
            for name, n in devices.items()
        ]
        bridges.append(
            insert(
                "Bridge",
                name=of.name,
                fail_mode="secure",
                protocols="OpenFlow13",
                ports=["set", ports],
                other_config=[
                    "map",
                    [["datapath-id", f"{of.datapath_id:016x}"], ["disable-in-band", "true"]],
                ],
                controller=insert("Controller", target=target, max_backoff=1000),
            )
        )
    mutation = ["bridges", "insert", ["set", bridges]]
    operations.append({"op": "mutate", "table": "Open_vSwitch", "where": [], "mutations": [mutation]})
    return operations


def _line(logged: dict[str, Any]) -> Line:
    return Line(datetime.fromisoformat(logged["time"]).timestamp(), logged["event"], logged)
