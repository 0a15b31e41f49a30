"""Bridges change over to TLS and back: with a real Open vSwitch, which keeps its flows all the while."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from struct import Struct

import pytest

from sdnapp.lab.machine import Machine, entered
from sdnapp.net.model import TlsFiles
from sdnapp.provision import ethtool
from sdnapp.tls import peer_names, server_context
from sdnapp.tls.stream import Refused, Stream
from tests.certificates import Pki
from tests.netns.conftest import until
from tests.netns.provision_fixtures import BareHost, bare_host
from tests.overlays import TWO_HOSTS

TCP, SSL = "tcp:192.168.4.1:6653", "ssl:192.168.4.1:6654"
TEXT = TWO_HOSTS.replace("tcp:192.168.4.10:6653", TCP)
_header = Struct("!BBHI")
_HELLO, _ECHO_REQUEST, _ECHO_REPLY = 0, 2, 3


class Controller:
    """Says hello to bridges, and answers their echo requests; ``names`` are those of each, as they come."""

    def __init__(self, files: TlsFiles) -> None:
        self.names: list[frozenset[str]] = []
        self.refused: list[str] = []
        self.open: list[Stream] = []
        self._files = files

    def serve(self, listening: socket.socket) -> None:
        """Accept bridges until the socket is shut down."""
        with suppress(OSError):
            while True:
                stream = Stream(listening.accept()[0], server_context(self._files, client="required"))
                threading.Thread(target=self._converse, args=(stream,), daemon=True).start()

    def hang_up(self) -> None:
        """End all connections."""
        for stream in list(self.open):
            with suppress(OSError):
                stream.shutdown(socket.SHUT_RDWR)

    def _converse(self, stream: Stream) -> None:
        try:
            stream.handshake(5)
        except Refused as refused:
            self.refused.append(str(refused))
            stream.close()
            return
        self.names.append(peer_names(stream))
        self.open.append(stream)
        with suppress(OSError):
            stream.sendall(_header.pack(4, _HELLO, 8, 1))
            while header := stream.recv(8):
                _, kind, length, xid = _header.unpack(header)
                body = stream.recv(length - 8) if length > 8 else b""
                if kind == _ECHO_REQUEST:
                    stream.sendall(_header.pack(4, _ECHO_REPLY, length, xid) + body)
        self.open.remove(stream)
        stream.close()


@contextmanager
def controller(machine: Machine, files: TlsFiles) -> Iterator[Controller]:
    """A controller on port 6654 of a machine."""
    with entered(machine), ethtool.control_socket() as control:
        # As in a lab: Open vSwitch would forward checksums that hardware was to fill in.
        ethtool.turn(control, "wire", ethtool.TX_CHECKSUM, on=False)
        listening = socket.create_server(("192.168.4.1", 6654))
    serving = Controller(files)
    thread = threading.Thread(target=serving.serve, args=(listening,), daemon=True)
    thread.start()
    try:
        yield serving
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        serving.hang_up()
        thread.join()
        until(lambda: not serving.open)


@pytest.fixture(name="host")
def _host(tmp_path: Path) -> Iterator[BareHost]:
    with bare_host(tmp_path) as host:
        host.file.write_text(TEXT)
        yield host


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return Pki.begin(tmp_path_factory.mktemp("pki"))


def install(host: BareHost, files: TlsFiles) -> None:
    """Put the files where the host has them by default, each at once, the key last."""
    host.run("mkdir", "-p", "/etc/sdnapp/tls")
    for path, name in (
        (files.ca, "controller-ca.crt"),
        (files.certificate, "host.crt"),
        (files.key, "host.key"),
    ):
        host.run("cp", path, f"/etc/sdnapp/tls/.{name}")
        host.run("mv", f"/etc/sdnapp/tls/.{name}", f"/etc/sdnapp/tls/{name}")


def secure(host: BareHost) -> None:
    host.file.write_text(TEXT.replace(TCP, SSL))


def forwards(host: BareHost) -> bool:
    """Whether the bridge still has the flow that ``mark`` gave it."""
    return "NORMAL" in host.run("ovs-ofctl", "-O", "OpenFlow13", "dump-flows", "br-int")


def mark(host: BareHost) -> None:
    host.run("ovs-ofctl", "-O", "OpenFlow13", "add-flow", "br-int", "actions=NORMAL")


def reconnect(serving: Controller) -> frozenset[str]:
    """End the connection; the names of the bridge when it comes back by itself."""
    before = len(serving.names)
    serving.hang_up()
    until(lambda: len(serving.names) > before, 15, f"no new connection: {serving.refused}")
    return serving.names[-1]


def test_a_bridge_goes_over_to_tls_and_back_and_keeps_its_flows(host: BareHost, pki: Pki) -> None:
    install(host, pki.make("host", "host1", addresses=()))
    host.provision()
    mark(host)

    with controller(host.neighbour, pki.make("controller", "controller")) as serving:
        secure(host)
        assert host.provision() == [
            "create  TLS files (/etc/sdnapp/tls/host.key, /etc/sdnapp/tls/host.crt, "
            "/etc/sdnapp/tls/controller-ca.crt)",
            f"change  bridge br-int: controllers {TCP} -> {SSL}",
        ]
        until(lambda: serving.names != [], 15, f"no connection: {serving.refused}")
        assert serving.names == [{"host1"}]
        until(lambda: host.vsctl("get", "controller", "br-int", "is_connected") == "true")
        assert forwards(host)
        assert host.provision() == ["nothing to do"]

        host.file.write_text(TEXT)
        assert host.provision() == [
            f"change  bridge br-int: controllers {SSL} -> {TCP}",
            "delete  TLS files",
        ]
        assert host.vsctl("get-ssl") == ""
        assert forwards(host)


def test_remove_takes_back_the_tls_files_that_were_set_and_no_others(host: BareHost, pki: Pki) -> None:
    install(host, pki.make("host", "host1"))
    secure(host)
    host.provision()
    assert "/etc/sdnapp/tls/host.key" in host.vsctl("get-ssl")
    host.provision("--remove")
    assert host.vsctl("get-ssl") == ""

    host.vsctl("set-ssl", "/k", "/c", "/ca")
    (problem,) = (line for line in host.provision(status=1) if "keeps its controller" in line)
    assert "Open vSwitch has other TLS files (/k, /c, /ca)" in problem
    host.provision("--remove")
    assert "/k" in host.vsctl("get-ssl")


def test_a_certificate_that_is_renewed_counts_from_the_next_connection_on(host: BareHost, pki: Pki) -> None:
    install(host, pki.make("host", "host1", addresses=["first"]))
    secure(host)
    with controller(host.neighbour, pki.make("controller", "controller")) as serving:
        host.provision()
        until(lambda: serving.names != [], 15, f"no connection: {serving.refused}")

        install(host, pki.make("host", "host1", addresses=["second"]))
        assert host.provision() == ["nothing to do"]
        assert len(serving.names) == len(serving.open) == 1
        assert reconnect(serving) == {"host1", "second"}
    assert serving.names[0] == {"host1", "first"}


def test_a_controller_with_a_certificate_of_the_bridges_authority_is_none(host: BareHost, pki: Pki) -> None:
    """The stolen key of a host makes no controller."""
    install(host, pki.make("host", "host1"))
    secure(host)
    stolen = pki.make("host", "host2")
    files = TlsFiles(stolen.key, stolen.certificate, pki.ca("switch-ca"))
    with controller(host.neighbour, files) as serving:
        host.provision()
        until(lambda: serving.refused != [])

        assert serving.names == []
        assert host.vsctl("get", "controller", "br-int", "is_connected") == "false"


def test_the_agent_changes_over_as_soon_as_the_files_can_be_used(host: BareHost, pki: Pki) -> None:
    with host.agent() as agent:
        agent.says("ready")
        mark(host)
        secure(host)
        agent.says(f"host1 keeps its controller {TCP}: cannot read /etc/sdnapp/tls/controller-ca.crt")
        assert host.vsctl("get-controller", "br-int") == TCP

        install(host, pki.make("host", "host1"))
        agent.says(f"change  bridge br-int: controllers {TCP} -> {SSL}")
        until(lambda: host.vsctl("get-controller", "br-int") == SSL)
        assert forwards(host)
