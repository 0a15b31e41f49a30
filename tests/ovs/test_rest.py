"""REST beside OpenFlow, with a real switch: what Ryu's clients read, and 50,000 flows that disturb nobody."""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from struct import pack, unpack_from
from typing import Any

import pytest

from tests.ovs.controller import free_port, until
from tests.ovs.switchd import PrivateOvs, private_ovs

CONFIG = Path(__file__).parents[2] / "configs" / "two-hosts.yaml"
BRIDGE, DPID, FAKE_DPID = "br0", 0x2A, 0x2B
FLOWS = 50_000
HELLO, ECHO_REQUEST, ECHO_REPLY, FEATURES_REQUEST, FEATURES_REPLY = 0, 2, 3, 5, 6
MULTIPART_REQUEST, MULTIPART_REPLY = 18, 19


@dataclass(frozen=True)
class Controller:
    """A running controller with ``BRIDGE`` connected; no host of its file owns that bridge."""

    process: subprocess.Popen[bytes]
    openflow: int
    rest: int

    def get(self, path: str, body: str | None = None) -> tuple[int, Any]:
        """Status and JSON of a GET, or of a POST where there is a body."""
        status, answer = self.read(path, body)
        return status, json.loads(answer)

    def read(self, path: str, body: str | None = None) -> tuple[int, bytes]:
        """The same, not parsed."""
        client = http.client.HTTPConnection("127.0.0.1", self.rest, timeout=120)
        try:
            client.request("GET" if body is None else "POST", path, body)
            response = client.getresponse()
            return response.status, response.read()
        finally:
            client.close()

    def processor_seconds(self) -> float:
        """What the process has used so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def resident_bytes(self, which: str = "VmRSS") -> int:
        """Memory in use, or its peak (``VmHWM``)."""
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(which))


@pytest.fixture(scope="module")
def ovs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateOvs]:
    with private_ovs(tmp_path_factory.mktemp("ovs")) as ovs:
        ovs.vsctl(
            *("add-br", BRIDGE, "--", "set", "bridge", BRIDGE, "datapath_type=dummy", "fail_mode=secure"),
            *("protocols=OpenFlow13", f"other-config:datapath-id={DPID:016x}"),
            *(
                "--",
                "add-port",
                BRIDGE,
                "p1",
                "--",
                "set",
                "interface",
                "p1",
                "type=dummy",
                "ofport_request=1",
            ),
        )
        yield ovs


@pytest.fixture(scope="module", params=["eventlet", "native"])
def controller(request: pytest.FixtureRequest, ovs: PrivateOvs) -> Iterator[Controller]:
    openflow = free_port()
    with running(request.param, openflow) as controller:
        ovs.vsctl("set-controller", BRIDGE, f"tcp:127.0.0.1:{openflow}")
        until(lambda: DPID in controller.get("/stats/switches")[1], seconds=20)
        yield controller
        ovs.vsctl("del-controller", BRIDGE)


@contextmanager
def running(hub: str, openflow: int) -> Iterator[Controller]:
    """The controller as users start it, with a socket for REST as systemd would hand it over."""
    command = f"exec {sys.executable} -m sdnapp.manager sdnapp.overlay --overlay-config {CONFIG}"
    command += f" --ofp-listen-host 127.0.0.1 --ofp-tcp-listen-port {openflow}"
    with socket.create_server(("127.0.0.1", 0)) as listening:
        process = subprocess.Popen(
            ["sh", "-c", f"exec 3<&0 </dev/null; export LISTEN_FDS=1 LISTEN_PID=$$; {command}"],
            stdin=listening.fileno(),
            env=os.environ | {"OSKEN_HUB_TYPE": hub},
        )
        rest = listening.getsockname()[1]
    try:
        controller = Controller(process, openflow, rest)
        until(lambda: controller.get("/healthz")[0] == 200, seconds=20)
        yield controller
    finally:
        process.terminate()
        process.wait(10)


def fill(ovs: PrivateOvs, count: int) -> None:
    """Put that many flows, and no others, on the bridge."""
    flows = "".join(
        f"table=60,cookie={n},priority={100 + n % 2},metadata={5010 + n % 100},"
        f"dl_dst=02:00:00:{n >> 16:02x}:{n >> 8 & 255:02x}:{n & 255:02x},"
        f"actions=set_field:{5010 + n % 100}->tun_id,output:1\n"
        for n in range(count)
    )
    ovs.ofctl("replace-flows", BRIDGE, "-", stdin=flows)


class FakeSwitch:
    """A second switch, which wants an echo every few milliseconds and notes how long each takes.

    It answers a flow-stats request with nothing, so that the controller is content with it.
    """

    def __init__(self, port: int) -> None:
        self.delays: list[float] = []
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=30)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffer = b""
        self._send(HELLO, 1)
        self._until(FEATURES_REQUEST)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> FakeSwitch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._socket.close()

    def _run(self) -> None:
        xid = 1000
        while not self._stop.is_set():
            xid += 1
            began = time.monotonic()
            self._send(ECHO_REQUEST, xid)
            self._until(ECHO_REPLY)
            self.delays.append(time.monotonic() - began)
            time.sleep(0.005)

    def _send(self, kind: int, xid: int, body: bytes = b"") -> None:
        self._socket.sendall(pack("!BBHI", 4, kind, 8 + len(body), xid) + body)

    def _until(self, wanted: int) -> None:
        """Read, and answer what must be answered, up to a message of this type."""
        while True:
            kind, xid, body = self._receive()
            if kind == ECHO_REQUEST:
                self._send(ECHO_REPLY, xid, body)
            elif kind == FEATURES_REQUEST:
                self._send(FEATURES_REPLY, xid, pack("!QIBBxxII", FAKE_DPID, 0, 254, 0, 0x4F, 0))
            elif kind == MULTIPART_REQUEST:
                self._send(MULTIPART_REPLY, xid, body[:2] + b"\0" * 6)
            if kind == wanted:
                return

    def _receive(self) -> tuple[int, int, bytes]:
        while len(self._buffer) < 8 or len(self._buffer) < unpack_from("!H", self._buffer, 2)[0]:
            data = self._socket.recv(65536)
            assert data, "the controller hung up"
            self._buffer += data
        _, kind, length, xid = unpack_from("!BBHI", self._buffer)
        body, self._buffer = self._buffer[8:length], self._buffer[length:]
        return kind, xid, body


@dataclass
class SlowReader:
    """An HTTP client that asks for all flows and takes a few kilobytes a second."""

    port: int
    taken: int = 0
    _stop: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> SlowReader:
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        with socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.connect(("127.0.0.1", self.port))
            client.sendall(f"GET /stats/flow/{DPID} HTTP/1.1\r\nHost: h\r\n\r\n".encode())
            while not self._stop.wait(0.05):
                self.taken += len(client.recv(256))


def test_at_rest_it_is_small_and_asleep(controller: Controller) -> None:
    assert controller.resident_bytes() < 80 << 20
    time.sleep(0.5)
    before = controller.processor_seconds()
    time.sleep(2)
    assert controller.processor_seconds() - before <= 0.04


def test_the_reads_of_ofctl_rest_answer(ovs: PrivateOvs, controller: Controller) -> None:
    fill(ovs, 3)
    ovs.ofctl("del-groups", BRIDGE)
    ovs.ofctl("add-group", BRIDGE, "group_id=7,type=all,bucket=output:1")
    ovs.ofctl("add-meter", BRIDGE, "meter=1,kbps,burst,band=type=drop,rate=1000,burst_size=500")
    own = str(DPID)

    def get(path: str, body: str | None = None) -> Any:
        status, answer = controller.get(f"/stats/{path}", body)
        assert status == 200, (path, answer)
        return answer[own]

    assert get(f"desc/{DPID}")["hw_desc"] == "Open vSwitch"
    flows = {flow["cookie"]: flow for flow in get(f"flow/{DPID}")}
    assert flows[1]["match"] == {"metadata": 5011, "dl_dst": "02:00:00:00:00:01"}
    assert flows[1]["actions"] == ["SET_FIELD: {tunnel_id:5011}", "OUTPUT:1"]
    assert (flows[1]["table_id"], flows[1]["priority"], len(flows)) == (60, 101, 3)
    assert [f["cookie"] for f in get(f"flow/{DPID}", '{"match": {"metadata": 5012}}')] == [2]
    assert [f["cookie"] for f in get(f"flow/{DPID}", '{"priority": 101}')] == [1]
    assert get(f"aggregateflow/{DPID}")[0]["flow_count"] == 3
    assert get(f"aggregateflow/{DPID}", '{"cookie": 1, "cookie_mask": "0xff"}')[0]["flow_count"] == 1
    assert next(t for t in get(f"table/{DPID}") if t["table_id"] == 60)["active_count"] == 3
    assert {port["port_no"] for port in get(f"port/{DPID}")} == {1, "LOCAL"}
    assert [port["port_no"] for port in get(f"port/{DPID}/1")] == [1]
    assert {port["name"] for port in get(f"portdesc/{DPID}")} == {"p1", BRIDGE}
    assert [port["name"] for port in get(f"portdesc/{DPID}/1")] == ["p1"]
    assert [group["group_id"] for group in get(f"group/{DPID}")] == [7]
    assert [group["group_id"] for group in get(f"group/{DPID}/7")] == [7]
    assert get(f"groupdesc/{DPID}")[0]["buckets"][0]["actions"] == ["OUTPUT:1"]
    assert get(f"meter/{DPID}/1")[0]["meter_id"] == 1
    assert get(f"meterconfig/{DPID}")[0]["bands"] == [{"rate": 1000, "burst_size": 500, "type": "DROP"}]
    assert get(f"role/{DPID}")[0]["role"] == "EQUAL"
    for path in ("groupfeatures", "meterfeatures", "queue", "queueconfig"):
        get(f"{path}/{DPID}")


def test_what_the_switch_refuses_is_the_clients_mistake(controller: Controller) -> None:
    status, answer = controller.get(f"/stats/meter/{DPID}/99")

    assert status == 400
    assert "OFPMMFC_UNKNOWN_METER" in answer["error"]
    assert controller.get("/stats/flow/99")[0] == 404


def test_a_dump_of_50000_flows_does_not_stall_openflow(
    ovs: PrivateOvs, controller: Controller, record_property: Any
) -> None:
    fill(ovs, FLOWS)
    at_rest = controller.resident_bytes()

    with FakeSwitch(controller.openflow) as switch, SlowReader(controller.rest) as slow:
        until(lambda: slow.taken > 0, seconds=20)
        began = time.monotonic()
        status, answer = controller.read(f"/stats/flow/{DPID}")  # to parse it here would delay our own echoes
        took = time.monotonic() - began
        seen = slow.taken
        assert slow._thread.is_alive()

    assert status == 200
    assert len({flow["cookie"] for flow in json.loads(answer)[str(DPID)]}) == FLOWS
    assert seen < len(answer) // 10
    assert len(switch.delays) > 50
    grown = controller.resident_bytes("VmHWM") - at_rest
    median, late, worst = (
        sorted(switch.delays)[int(part * (len(switch.delays) - 1))] for part in (0.5, 0.99, 1)
    )
    figures = {
        "dump, s": round(took, 2),
        "echo median, ms": round(median * 1000, 1),
        "echo 99 %, ms": round(late * 1000, 1),
        "echo worst, ms": round(worst * 1000, 1),
        "memory grown, MB": grown >> 20,
    }
    record_property("figures", figures)
    print(figures)
    assert late < 0.25, figures
    assert worst < 1, figures  # once, on a busy machine
    assert grown < 64 << 20, figures
