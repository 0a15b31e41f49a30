"""Open vSwitch's side of a host: bridges and ports in OVSDB, through the IDL of the ``ovs`` library.

The connection keeps a replica of the few columns that matter; statistics are not among them, so that an idle
host is silent. All changes of a run are one transaction, which says what it overwrites: if another client
changed that meanwhile, nothing happens and the caller starts anew (``Conflict``).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sdnapp.config.names import is_iface_id_port
from sdnapp.net import agent_problems
from sdnapp.provision.ovs_library import (
    Connection,
    Idl,
    Message,
    Poller,
    SchemaHelper,
    Stream,
    Transaction,
)
from sdnapp.provision.plan import Change
from sdnapp.provision.world import Bridge, Controller, Port, Thing, Tls, Uplink, pairs

DEFAULT_REMOTE = "unix:/var/run/openvswitch/db.sock"

log = logging.getLogger(__name__)

CONNECT_TIMEOUT = 5.0
NOTICE_TIMEOUT = 1.0
APPLY_TIMEOUT, APPLY_NOTICE = 30.0, 3.0
"""Seconds; ovs-vswitchd takes one or two for hundreds of ports."""

OWNER = "sdnapp-owner"
RECORD = "sdnapp-record-"
"""Before an owner's name, the key under which Open_vSwitch has what the owner's bridge took over."""
UPLINK_KEYS = frozenset({"sdnapp-uplink", "sdnapp-addresses", "sdnapp-routes", "sdnapp-broadcast"})
BRIDGE_CONFIG = frozenset({"datapath-id", "disable-in-band", "hwaddr"})
_DESCRIPTION = "dp-desc"
INTERFACE_IDS = frozenset({"attached-mac", "iface-id", "sdnapp-binds", "sdnapp-peer"})
BFD_KEYS = frozenset({"enable", "min_rx", "min_tx"})
"""Keys that are ours to set; others in the same map are left as they are."""

COLUMNS = {
    "Open_vSwitch": ["bridges", "next_cfg", "cur_cfg", "external_ids", "ssl"],
    "SSL": ["private_key", "certificate", "ca_cert", "external_ids"],
    "Bridge": [
        "name",
        "ports",
        "controller",
        "datapath_type",
        "fail_mode",
        "protocols",
        "other_config",
        "external_ids",
    ],
    "Port": ["name", "interfaces", "tag", "trunks", "vlan_mode", "external_ids"],
    "Interface": [
        "name",
        "type",
        "options",
        "ofport_request",
        "mtu_request",
        "external_ids",
        "bfd",
        "ofport",
        "error",
    ],
    "Controller": ["target", "connection_mode", "max_backoff", "inactivity_probe", "is_connected"],
}


class Unreachable(Exception):
    """OVSDB, or the ovs-vswitchd behind it, does not answer; the text says so in words."""


class Conflict(Exception):
    """Others made changes at the same time: nothing was done, look again. The text says which."""


class Rejected(Exception):
    """OVSDB refused the transaction: nothing was done; the text is its reason."""


@dataclass(frozen=True, slots=True)
class Switch:
    """State of OVSDB, of all owners."""

    bridges: dict[str, Bridge]
    ports: dict[str, Port]
    records: dict[str, Uplink]
    tls: Tls | None


class Database:
    """A connection to one OVSDB. It reconnects by itself; ``read`` then shows the new state."""

    def __init__(self, remote: str, notice: Callable[[str], None] = log.info) -> None:
        """Connect to ``remote``, such as ``unix:/run/openvswitch/db.sock``. Raises ``Unreachable``.

        ``notice`` gets a line where something takes long.
        """
        self.remote = remote
        self._notice = notice
        schema = SchemaHelper(schema_json=_fetch_schema(remote))
        for table, columns in COLUMNS.items():
            schema.register_columns(table, columns)
        self._idl = Idl(remote, schema)
        self._acquainted = frozenset[Any]()
        self._confirmed: dict[str, str] = {}
        if not self._run_until(lambda: self.connected, CONNECT_TIMEOUT):
            raise Unreachable(f"OVSDB at {remote} does not answer")

    def close(self) -> None:
        """Disconnect."""
        self._idl.close()

    @property
    def connected(self) -> bool:
        """Whether the replica is that of a live server."""
        live = self._idl._session.is_connected() and self._idl.state == Idl.IDL_S_MONITORING
        return live and bool(self._rows("Open_vSwitch"))

    @property
    def generation(self) -> int:
        """A number that is another one whenever the replica is, or whether it is connected."""
        return 2 * int(self._idl.change_seqno) + self.connected

    def take_in(self) -> None:
        """Take in what arrived."""
        self._idl.run()

    def lasting_errors(self, ports: set[str]) -> dict[str, str]:
        """Return what ovs-vswitchd says is wrong with these ports, once it has looked at all their devices.

        It notices new devices by itself. Where it does not soon, it is asked to look again: what it said of a
        device that was not there would be taken for what it says now. A message counts once it is seen twice.
        """

        def errors() -> dict[str, str]:
            there = (row for row in self._rows("Interface") if row.name in ports)
            return {row.name: words for row in there if (words := _error(row))}

        self._run_until(lambda: not errors(), NOTICE_TIMEOUT)
        if not self._confirmed.items() >= errors().items() and (generation := self._look_again()):
            self._run_until(lambda: self._applied(generation), APPLY_TIMEOUT)
        self._confirmed = errors()
        return self._confirmed

    def numbers(self, bridge: str) -> dict[str, int]:
        """Return the numbers that the ports of a bridge have in OpenFlow, of those that have one."""
        rows = (row for row in self._rows("Bridge") if row.name == bridge)
        interfaces = (port.interfaces[0] for row in rows for port in row.ports if port.interfaces)
        return {i.name: i.ofport[0] for i in interfaces if i.ofport and i.ofport[0] > 0}

    def management(self, bridge: str) -> Path:
        """Return where ovs-vswitchd answers for a bridge."""
        return self.directory / f"{bridge}.mgmt"

    @property
    def directory(self) -> Path:
        """Where ovs-vswitchd has its sockets: beside OVSDB's, or in the usual place."""
        scheme, _, address = self.remote.partition(":")
        return Path(address if scheme == "unix" else DEFAULT_REMOTE.partition(":")[2]).parent

    def wait_for_news(self, timeout: float = 1.0) -> None:
        """Wait until something arrived, for so many seconds at most."""
        generation = self.generation
        self._run_until(lambda: self.generation != generation, timeout)

    def wait(self, poller: Poller) -> None:
        """Have ``poller`` wake up when there is something to take in."""
        self._idl.wait(poller)

    def read(self) -> Switch:
        """Translate the replica."""
        self._idl.run()
        bridges: dict[str, Bridge] = {}
        ports: dict[str, Port] = {}
        for row in self._rows("Bridge"):
            own = next((port for port in row.ports if port.name == row.name), None)
            bridges[row.name] = _bridge(row, own.interfaces[0] if own and own.interfaces else None)
            for port in row.ports:
                interfaces = port.interfaces
                if port is not own and interfaces:
                    ports[port.name] = _port(port, interfaces[0], row.name)
        (root,) = self._rows("Open_vSwitch") or (None,)
        if root is None:
            return Switch(bridges, ports, {}, None)
        return Switch(bridges, ports, _records(root.external_ids), _tls(root.ssl))

    def noteworthy(self, bridge: str) -> dict[str, Port]:
        """Translate the notes of a bridge and the ports that are not ours: a small part, in a short time."""
        rows = (row for row in self._rows("Bridge") if row.name == bridge)
        ports = ((port, port.name) for row in rows for port in row.ports)
        some = (
            (port, name) for port, name in ports if is_iface_id_port(name) or OWNER not in port.external_ids
        )
        return {name: _port(port, port.interfaces[0], bridge) for port, name in some if port.interfaces}

    def apply(self, changes: Iterable[Change], owner: str) -> None:
        """Do all of it in one transaction and wait until ovs-vswitchd has.

        Raises ``Conflict``, ``Rejected`` and ``Unreachable``; after the last, OVSDB does have the changes.
        """
        transaction = Transaction(self._idl)
        transaction.add_comment(f"sdnapp provision --host {owner}")
        root = self._rows("Open_vSwitch")[0]
        bridges = {row.name: row for row in self._rows("Bridge")}
        for change in changes:
            if isinstance(change.thing, Bridge):
                self._apply_bridge(transaction, root, bridges, change, owner)
            elif isinstance(change.thing, Tls):
                self._apply_tls(transaction, root, change.new, owner)
            else:
                self._apply_port(transaction, bridges, change, owner)
        root.increment("next_cfg")
        status = transaction.commit_block()
        if status == Transaction.TRY_AGAIN:
            raise Conflict(f"OVSDB at {self.remote} takes no changes: others make theirs, or it is gone")
        if status == Transaction.SUCCESS:
            generation = transaction.get_increment_new_value()
            self._wait_for_switch(generation)
        elif status != Transaction.UNCHANGED:
            raise Rejected(f"OVSDB refused all of it: {transaction.get_error()}")

    def acquaint(self) -> None:
        """Once a controller is connected, have ovs-vswitchd look at its configuration again.

        Open vSwitch 3.1 gives only connections that there are the ``max_backoff`` of their row
        (``ofservice_reconfigure`` in ofproto/connmgr.c). One that it dials anew it would otherwise try again
        after up to 8 seconds.
        """
        connected = frozenset(row.uuid for row in self._rows("Controller") if row.is_connected)
        if connected - self._acquainted and self._look_again() is None:
            return
        self._acquainted = connected

    def describe(self, bridge: str, text: str) -> None:
        """Have the bridge show this description by OpenFlow; what others wrote there stays.

        Does nothing where there is no such bridge, or where others make changes at the same time.
        """
        row = next((row for row in self._rows("Bridge") if row.name == bridge), None)
        now = "" if row is None else row.other_config.get(_DESCRIPTION, "")
        if row is None or now == text or not agent_problems.is_ours(now):
            return
        transaction = Transaction(self._idl)
        if text:
            row.setkey("other_config", _DESCRIPTION, text)
        else:
            row.delkey("other_config", _DESCRIPTION)
        transaction.commit_block()

    def reconfigure(self) -> None:
        """Have ovs-vswitchd look at its configuration again, and wait until it has opened what is not open.

        Raises ``Conflict`` and ``Unreachable``.
        """
        if (generation := self._look_again()) is None:
            raise Conflict(f"OVSDB at {self.remote} takes no changes: others make theirs, or it is gone")
        self._wait_for_switch(generation)

    def _look_again(self) -> int | None:
        """Ask for that; None where others changed something at the same time.

        ``Transaction.increment`` does nothing where nothing else changes.
        """
        transaction, root = Transaction(self._idl), self._rows("Open_vSwitch")[0]
        root.verify("next_cfg")
        generation = int(root.next_cfg) + 1
        root.next_cfg = generation
        return generation if transaction.commit_block() == Transaction.SUCCESS else None

    def _apply_bridge(
        self, transaction: Any, root: Any, bridges: dict[str, Any], change: Change, owner: str
    ) -> None:
        _write_record(root, owner, change)
        if change.new is None:
            root.delvalue("bridges", bridges.pop(change.thing.name))
            return
        bridge = change.new
        assert isinstance(bridge, Bridge)
        if change.old is None:
            row = bridges[bridge.name] = transaction.insert(self._idl.tables["Bridge"])
            row.name = bridge.name
            interface = transaction.insert(self._idl.tables["Interface"])
            interface.name, interface.type = bridge.name, "internal"
            port = transaction.insert(self._idl.tables["Port"])
            port.name, port.interfaces = bridge.name, [interface]
            row.ports = [port]
            root.addvalue("bridges", row)
            present: list[Any] = []
        else:
            row = bridges[bridge.name]
            port = next(port for port in row.ports if port.name == bridge.name)
            interface = port.interfaces[0]
            present = list(row.controller)
        uplink = bridge.uplink.to_external_ids() if bridge.uplink else {}
        _write(row, "datapath_type", bridge.datapath_type)
        _write(row, "fail_mode", _optional(bridge.fail_mode))
        _write(row, "protocols", sorted(bridge.protocols))
        _write_map(row, "other_config", BRIDGE_CONFIG, dict(bridge.other_config))
        _write_map(row, "external_ids", UPLINK_KEYS | {OWNER}, uplink | {OWNER: owner})
        _write(interface, "mtu_request", _optional(bridge.mtu))
        controllers = []
        for controller in bridge.controllers:
            # The row is kept: a bridge whose first controller comes or last one goes forgets its flows.
            kept = present.pop(0) if present else transaction.insert(self._idl.tables["Controller"])
            _write(kept, "target", controller.target)
            _write(kept, "connection_mode", _optional(controller.connection_mode))
            _write(kept, "max_backoff", _optional(controller.max_backoff))
            _write(kept, "inactivity_probe", _optional(controller.inactivity_probe))
            controllers.append(kept)
        if change.old is None or present or len(controllers) != len(row.controller):
            _write(row, "controller", controllers)

    def _apply_tls(self, transaction: Any, root: Any, new: Thing | None, owner: str) -> None:
        if not isinstance(new, Tls):
            _write(root, "ssl", [])  # the row goes with the last reference to it
            return
        row = root.ssl[0] if root.ssl else transaction.insert(self._idl.tables["SSL"])
        _write(row, "private_key", new.key)
        _write(row, "certificate", new.certificate)
        _write(row, "ca_cert", new.ca)
        _write_map(row, "external_ids", {OWNER}, {OWNER: owner})
        if not root.ssl:
            _write(root, "ssl", [row])

    def _apply_port(self, transaction: Any, bridges: dict[str, Any], change: Change, owner: str) -> None:
        new, old = change.new, change.old
        assert isinstance(new, Port | None)
        assert isinstance(old, Port | None)
        if old and (new is None or new.bridge != old.bridge):
            if old.bridge in bridges:
                row = bridges[old.bridge]
                row.delvalue("ports", next(port for port in row.ports if port.name == old.name))
            old = None
        if new is None:
            return
        if old is None:
            interface = transaction.insert(self._idl.tables["Interface"])
            interface.name = new.name
            port = transaction.insert(self._idl.tables["Port"])
            port.name, port.interfaces = new.name, [interface]
            bridges[new.bridge].addvalue("ports", port)
        else:
            port = next(port for port in bridges[new.bridge].ports if port.name == new.name)
            interface = port.interfaces[0]
        _write(port, "tag", _optional(new.tag))
        _write(port, "trunks", list(new.trunks))
        _write(port, "vlan_mode", _optional(new.vlan_mode))
        _write_map(port, "external_ids", {OWNER}, {OWNER: owner})
        _write(interface, "type", new.type)
        _write(interface, "options", dict(new.options))
        _write(interface, "ofport_request", _optional(new.ofport))
        _write_map(
            interface, "external_ids", INTERFACE_IDS | {OWNER}, {OWNER: owner, **dict(new.external_ids)}
        )
        _write_map(interface, "bfd", BFD_KEYS, dict(new.bfd))

    def _wait_for_switch(self, generation: int) -> None:
        if self._run_until(lambda: self._applied(generation), APPLY_NOTICE):
            return
        self._notice(f"waiting for ovs-vswitchd, {APPLY_TIMEOUT:.0f} s at most")
        if not self._run_until(lambda: self._applied(generation), APPLY_TIMEOUT - APPLY_NOTICE):
            raise Unreachable(
                f"ovs-vswitchd did not apply the configuration within {APPLY_TIMEOUT:.0f} s: is it running?"
            )

    def _applied(self, generation: int) -> bool:
        return any(row.cur_cfg >= generation for row in self._rows("Open_vSwitch"))

    def _run_until(self, done: Callable[[], bool], timeout: float) -> bool:
        """Take in what arrives until ``done()``; False if it did not come true within ``timeout`` seconds."""
        deadline = time.monotonic() + timeout
        while True:
            self._idl.run()
            if done():
                return True
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            poller = Poller()
            self._idl.wait(poller)
            poller.timer_wait(max(1, int(left * 1000)))
            poller.block()

    def _rows(self, table: str) -> list[Any]:
        return list(self._idl.tables[table].rows.values())


def _fetch_schema(remote: str) -> Any:
    """Ask the server for its schema: it is the one that counts, and no file of it need be installed here."""
    stream_error, stream = Stream.open_block(Stream.open(remote), timeout=int(CONNECT_TIMEOUT * 1000))
    if stream_error:
        raise Unreachable(f"OVSDB at {remote} cannot be reached: is Open vSwitch running?")
    connection = Connection(stream)
    try:
        request = Message.create_request("get_schema", ["Open_vSwitch"])
        failure, reply = connection.transact_block(request)
    finally:
        connection.close()
    if failure or reply.error:
        raise Unreachable(f"OVSDB at {remote} has no database Open_vSwitch")
    return reply.result


def _records(ids: Mapping[str, str]) -> dict[str, Uplink]:
    """Read what the bridges of each owner took over; what is not ours to read is left out."""
    found = {}
    for key, text in ids.items():
        if key.startswith(RECORD) and (record := Uplink.from_text(text)):
            found[key[len(RECORD) :]] = record
    return found


def _write_record(root: Any, owner: str, change: Change) -> None:
    """Keep what a bridge took over outside of the bridge, too, until that is taken down by ourselves.

    With the bridge's row the record would be gone, and the host's addresses with it.
    """
    old, new = change.old, change.new
    if isinstance(new, Bridge) and new.uplink:
        _write_map(root, "external_ids", {RECORD + owner}, {RECORD + owner: new.uplink.to_text()})
    elif isinstance(old, Bridge) and old.uplink:
        _write_map(root, "external_ids", {RECORD + owner}, {})


def _bridge(row: Any, interface: Any | None) -> Bridge:
    config = {key: value for key, value in row.other_config.items() if key in BRIDGE_CONFIG}
    return Bridge(
        name=row.name,
        owner=row.external_ids.get(OWNER),
        datapath_type=row.datapath_type or "system",
        fail_mode=_first(row.fail_mode),
        protocols=frozenset(row.protocols),
        other_config=pairs(config),
        controllers=tuple(
            Controller(
                controller.target,
                _first(controller.connection_mode),
                _first(controller.max_backoff),
                _first(controller.inactivity_probe),
            )
            for controller in row.controller
        ),
        mtu=_first(interface.mtu_request) if interface else None,
        uplink=Uplink.from_external_ids(row.external_ids),
    )


def _tls(rows: list[Any]) -> Tls | None:
    for row in rows:
        return Tls(row.external_ids.get(OWNER), row.private_key, row.certificate, row.ca_cert)
    return None


def _port(port: Any, interface: Any, bridge: str) -> Port:
    ids = {key: value for key, value in interface.external_ids.items() if key in INTERFACE_IDS}
    return Port(
        name=port.name,
        owner=port.external_ids.get(OWNER),
        bridge=bridge,
        type=interface.type,
        options=pairs(interface.options),
        tag=_first(port.tag),
        trunks=tuple(sorted(port.trunks)),
        vlan_mode=_first(port.vlan_mode),
        ofport=_first(interface.ofport_request),
        external_ids=pairs(ids),
        bfd=pairs({key: value for key, value in interface.bfd.items() if key in BFD_KEYS}),
        number=_first(interface.ofport),
    )


def _error(interface: Any) -> str | None:
    if error := _first(interface.error):
        return str(error)
    return "ovs-vswitchd gave it no port number" if _first(interface.ofport) == -1 else None


def _first(values: list[Any]) -> Any:
    """The value of an optional column, None where it is empty."""
    return values[0] if values else None


def _optional(value: Any) -> list[Any]:
    return [] if value is None else [value]


def _write(row: Any, column: str, value: Any) -> None:
    """Overwrite a column if that changes it, on condition that it still is as it was read."""
    if row._data is None or getattr(row, column) != value:
        row.verify(column)
        setattr(row, column, value)


def _write_map(row: Any, column: str, keys: Iterable[str], new: Mapping[str, str]) -> None:
    """Overwrite ``keys`` of a map and leave the others as they are."""
    old = {} if row._data is None else getattr(row, column)
    foreign = {key: value for key, value in old.items() if key not in keys}
    _write(row, column, foreign | dict(new))
