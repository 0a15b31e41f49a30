"""What REST answers, asked through the WSGI interface of a controller that stands still."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from struct import pack
from types import SimpleNamespace
from typing import Any

import falcon.testing
import pytest
from openapi_spec_validator import validate
from os_ken.ofproto import ofproto_v1_3 as ofproto
from os_ken.ofproto import ofproto_v1_3_parser as parser

from flows.counters import FlowCounter
from flows.flow import FlowKey
from sdnapp import config_file
from sdnapp.config import Problem
from sdnapp.engine.status import Alarm, BridgeStatus, LocationStatus, MulticastStatus, Status
from sdnapp.net.model import Overlay
from sdnapp.rest import stats
from sdnapp.rest.application import ROUTES, application

CONFIGS = Path(__file__).parents[2] / "configs"
TWO_HOSTS = config_file.load(CONFIGS / "two-hosts.yaml")
HOST1, RED2 = TWO_HOSTS.hosts["host1"].datapath_id, TWO_HOSTS.ports["red2"]
FROZEN = "02:00:00:00:00:99"


def picture(overlay: Overlay, bridges: Mapping[str, BridgeStatus]) -> Status:
    return Status(
        overlay,
        "/etc/sdnapp/overlay.yaml",
        (),
        bridges,
        {7: "192.0.2.7:4711"},
        locations=(
            LocationStatus("red/web", "02:00:00:00:00:01", "host1", "red1", ("10.1.1.1",), "static"),
            LocationStatus("red/web", FROZEN, "host1", "red1", (), "learned", 5, frozen=True),
        ),
        alarms=(
            Alarm("duplicate-mac", "it moves too often", "red/web", FROZEN, "host1", "red1", 1e9),
            Alarm("mac-limit-exceeded", "too many there", host="host2", port="red2"),
        ),
        service_counters={"red/web": {"dhcp ack": 2}},
        multicast={"red/web": MulticastStatus("snooping", "flooding", ("red1",), {"239.1.2.3": ("red2",)})},
    )


class Controller:
    """A ``Source`` with one connected switch, that of host1, and canned replies."""

    def __init__(self) -> None:
        overlay = config_file.load(CONFIGS / "two-hosts.yaml")
        self.picture = picture(
            overlay,
            {
                "host1": BridgeStatus(
                    "host1", HOST1, True, True, 40, "192.0.2.1:4711", 1e9, {"red1": 5, "gre-host2": 6}, ()
                ),
                "host2": BridgeStatus(
                    "host2",
                    overlay.hosts["host2"].datapath_id,
                    False,
                    False,
                    40,
                    None,
                    None,
                    {},
                    ("table full",),
                ),
            },
        )
        self.asked: list[Any] = []
        self.unfrozen: list[tuple[str, str]] = []
        self.is_late = False
        self.released: list[str] = []
        self.replies: list[Any] | Exception = []
        self.counts: dict[FlowKey, FlowCounter] = {}

    def counted(self, dpid: int) -> Mapping[FlowKey, FlowCounter]:
        return self.counts if dpid == HOST1 else {}

    def late(self) -> bool:
        return self.is_late

    def malformed(self) -> Mapping[str, int]:
        return {"HELLO": 3}

    def status(self) -> Status:
        return self.picture

    def unfreeze(self, network: str, mac: str) -> None:
        self.unfrozen.append((network, mac))

    def release(self, port: str) -> None:
        self.released.append(port)

    def switches(self) -> list[int]:
        return [HOST1, 7]

    def datapath(self, dpid: int) -> Any:
        return SimpleNamespace(id=dpid, ofproto=ofproto, ofproto_parser=parser) if dpid == HOST1 else None

    def request(self, dpid: int, message: Any) -> Iterator[Any]:
        assert dpid == HOST1
        message.set_xid(1)
        message.serialize()
        self.asked.append(message)
        if isinstance(self.replies, Exception):
            raise self.replies
        yield from self.replies


def reply(body: Any) -> Any:
    return SimpleNamespace(body=body)


@pytest.fixture
def controller() -> Controller:
    return Controller()


@pytest.fixture
def client(controller: Controller) -> falcon.testing.TestClient:
    return falcon.testing.TestClient(application(controller))


def refusal(result: falcon.testing.Result) -> str:
    """What the body of an error says; it is JSON and names the error."""
    assert result.headers["content-type"] == "application/json"
    body = result.json
    assert set(body) <= {"error", "remedy"}
    return f"{body['error']} ({body.get('remedy')})"


def test_switches_are_a_list_of_datapath_ids(client: falcon.testing.TestClient) -> None:
    assert client.simulate_get("/stats/switches").json == [7, HOST1]


def test_a_port_that_is_held_down_is_released_by_hand(
    client: falcon.testing.TestClient, controller: Controller
) -> None:
    refused = client.simulate_post("/v1/ports/red1/release")
    assert refused.status_code == 404
    assert "there are none" in refusal(refused)

    held = Alarm("loop", "port red1 is held down", "red/web", None, "host1", "red1", 7.0)
    controller.picture = replace(controller.status(), alarms=(held,))
    assert client.simulate_post("/v1/ports/red1/release").json == {"port": "red1"}
    assert controller.released == ["red1"]


def test_stats_have_the_shape_that_ryu_clients_know(
    client: falcon.testing.TestClient, controller: Controller
) -> None:
    controller.replies = [reply(parser.OFPAggregateStats(packet_count=18, byte_count=756, flow_count=3))]
    expected = {str(HOST1): [{"packet_count": 18, "byte_count": 756, "flow_count": 3}]}

    assert client.simulate_get(f"/stats/aggregateflow/{HOST1}").json == expected
    assert client.simulate_post(f"/stats/aggregateflow/{HOST1}", body="").json == expected


def test_a_frozen_mac_is_unfrozen_by_hand(client: falcon.testing.TestClient, controller: Controller) -> None:
    asked = {"network": "red/web", "mac": FROZEN.upper()}

    assert client.simulate_post("/v1/locations/unfreeze", json=asked).json == {
        "network": "red/web",
        "mac": FROZEN,
    }
    assert controller.unfrozen == [("red/web", FROZEN)]


@pytest.mark.parametrize(
    ("body", "status", "says"),
    [
        ("", 400, "network and mac"),
        ('{"network": "red/web"}', 400, "mac: Field required"),
        ('{"network": "red/web", "mac": "02:00:00:00:00:01"}', 404, f"there are red/web {FROZEN}"),
    ],
)
def test_what_is_not_frozen_cannot_be_unfrozen(
    client: falcon.testing.TestClient, controller: Controller, body: str, status: int, says: str
) -> None:
    result = client.simulate_post("/v1/locations/unfreeze", body=body)

    assert result.status_code == status
    assert says in refusal(result)
    assert not controller.unfrozen


def test_a_filter_reaches_the_switch(client: falcon.testing.TestClient, controller: Controller) -> None:
    controller.replies = [reply([])]
    chosen = {
        "table_id": 60,
        "out_port": "LOCAL",
        "cookie": "0x10",
        "cookie_mask": 255,
        "match": {"dl_vlan": 10, "in_port": 3},
    }

    result = client.simulate_post(f"/stats/flow/{HOST1}", body=json.dumps(chosen))

    assert result.json == {str(HOST1): []}
    (asked,) = controller.asked
    assert (asked.table_id, asked.out_port, asked.cookie, asked.cookie_mask) == (
        60,
        ofproto.OFPP_LOCAL,
        16,
        255,
    )
    assert dict(asked.match.items()) == {"vlan_vid": 10 | ofproto.OFPVID_PRESENT, "in_port": 3}


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("{", "not JSON"),
        ("[" * 30000, "not JSON"),
        ("[]", "object"),
        ('{"table": 1}', "table"),
        ('{"table_id": 256}', "table_id"),
        ('{"table_id": "none"}', "table_id"),
        ('{"cookie": -1}', "cookie"),
        ('{"match": {"reg0": 1}}', "reg0"),
        ('{"match": {"dl_dst": "zz"}}', "zz"),
        ('{"match": {"dl_dst": 5}}', "match"),
        ('{"match": {"tp_src": 5}}', "match"),
        ('{"match": {"in_port": 1099511627776}}', "in_port cannot be 1099511627776"),
    ],
)
@pytest.mark.parametrize("kind", ["flow", "aggregateflow"])
def test_a_filter_that_makes_no_sense_is_refused(
    client: falcon.testing.TestClient, kind: str, body: str, says: str
) -> None:
    result = client.simulate_post(f"/stats/{kind}/{HOST1}", body=body)

    assert result.status_code == 400
    assert says in refusal(result)


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/stats/desc/5", 404),
        ("/stats/flow/5", 404),
        ("/stats/desc/0x5", 400),
        ("/stats/desc/-1", 400),
        ("/stats/desc/host1", 400),
        ("/stats/desc/18446744073709551616", 400),
        (f"/stats/port/{HOST1}/x", 400),
        (f"/stats/meter/{HOST1}/4294967296", 400),
        ("/v1/hosts/nowhere", 404),
        ("/v1/networks/red/nothing", 404),
        ("/v1/tenants/green", 404),
        ("/v1/ports/red9", 404),
        ("/nothing", 404),
        ("/stats/flowentry/add", 405),
    ],
)
def test_what_is_not_there_or_not_right_says_so(
    client: falcon.testing.TestClient, path: str, status: int
) -> None:
    result = client.simulate_get(path)

    assert result.status_code == status
    assert refusal(result)


def test_the_wrong_method_names_the_right_ones(client: falcon.testing.TestClient) -> None:
    result = client.simulate_delete("/v1/hosts")

    assert result.status_code == 405
    assert "GET" in result.headers["allow"]
    assert "GET" in refusal(result)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/stats/flowentry/add"),
        ("POST", "/stats/flowentry/delete_strict"),
        ("DELETE", f"/stats/flowentry/clear/{HOST1}"),
        ("POST", "/stats/groupentry/add"),
        ("POST", "/stats/meterentry/modify"),
        ("POST", "/stats/portdesc/modify"),
        ("POST", f"/stats/experimenter/{HOST1}"),
        ("POST", "/stats/role"),
    ],
)
def test_writes_are_refused_with_a_sentence(
    client: falcon.testing.TestClient, controller: Controller, method: str, path: str
) -> None:
    result = client.simulate_request(method, path, body='{"dpid": 1}')

    assert result.status_code == 403
    assert "change the overlay's file" in refusal(result)
    assert not controller.asked


@pytest.mark.parametrize(
    ("error", "status"),
    [(TimeoutError(), 504), (ConnectionError(), 503), (ValueError("OFPBRC_BAD_PORT"), 400)],
)
@pytest.mark.parametrize("path", ["desc", "flow", "role"])
def test_a_switch_that_does_not_answer_is_told_apart(
    client: falcon.testing.TestClient, controller: Controller, path: str, error: Exception, status: int
) -> None:
    controller.replies = error

    result = client.simulate_get(f"/stats/{path}/{HOST1}")

    assert result.status_code == status
    assert refusal(result)


def test_dumps_are_bounded_in_number_and_given_back(
    client: falcon.testing.TestClient, controller: Controller
) -> None:
    for _ in range(stats.DUMPS + 1):
        controller.replies = TimeoutError()
        assert client.simulate_get(f"/stats/flow/{HOST1}").status_code == 504
        controller.replies = [reply([])]
        assert client.simulate_get(f"/stats/flow/{HOST1}").status_code == 200
        assert client.simulate_head(f"/stats/flow/{HOST1}").status_code == 200


def test_a_failure_of_ours_is_a_500_without_a_traceback(
    client: falcon.testing.TestClient, controller: Controller
) -> None:
    controller.replies = KeyError("secret")

    result = client.simulate_get(f"/stats/desc/{HOST1}")

    assert result.status_code == 500
    assert "secret" not in refusal(result)


def test_answers_are_ascii_whatever_a_bridge_says(
    client: falcon.testing.TestClient, controller: Controller
) -> None:
    """A terminal that prints them may take C1 control characters and marks of direction."""
    raw = pack("!I4x6s2x16sIIIIIIII", 1, b"\2\0\0\0\0\1", "\x9b2J\u202eü\x1b".encode(), *range(8))
    controller.replies = [reply([parser.OFPPort.parser(raw, 0)])]

    result = client.simulate_get(f"/stats/portdesc/{HOST1}")

    assert result.content.isascii()
    assert result.json[str(HOST1)][0]["name"] == "\x9b2J\u202eü\x1b"


def test_hosts_say_how_they_fare(client: falcon.testing.TestClient) -> None:
    host1, host2 = client.simulate_get("/v1/hosts").json

    assert (host1["name"], host1["connected"], host1["in_sync"]) == ("host1", True, True)
    assert (host1["vtep"], host1["datapath_id"], host1["flows"]) == ("192.168.4.201", f"{HOST1:016x}", 40)
    assert host1["tunnels"] == [
        {
            "interface": "gre-host2",
            "peer": "host2",
            "encapsulation": "gre",
            "local_ip": "192.168.4.201",
            "remote_ip": "192.168.4.202",
            "dst_port": None,
            "ofport": 6,
            "down": False,
        }
    ]
    assert (host2["connected"], host2["failures"]) == (False, ["table full"])
    assert client.simulate_get("/v1/hosts/host2").json == host2


def test_networks_tenants_ports_and_locations(client: falcon.testing.TestClient) -> None:
    red = {
        "path": "red/web",
        "tenant": "red",
        "name": "web",
        "vni": 5010,
        "vlan": 10,
        "subnets": ["10.1.1.0/24"],
        "mtu": 1458,
        "dhcp": None,
        "hosts": ["host1", "host2"],
        "ports": ["red1", "red2"],
        "service_counters": {"dhcp ack": 2},
        "unknown_unicast": "flood",
        "multicast": {
            "ipv4": "snooping",
            "ipv6": "flooding",
            "routers": ["red1"],
            "groups": {"239.1.2.3": ["red2"]},
        },
    }
    assert client.simulate_get("/v1/networks/red/web").json == red
    assert red in client.simulate_get("/v1/networks").json
    assert client.simulate_get("/v1/tenants/red").json == {"name": "red", "networks": ["red/web"]}
    port = client.simulate_get("/v1/ports/red1").json
    assert (port["host"], port["ofport"], port["namespace"]) == ("host1", 5, "red1")
    assert port["attachments"] == [
        {"network": "red/web", "vlan": 10, "tagged": False, "addresses": ["10.1.1.1/24"], "key": None}
    ]
    absent = client.simulate_get("/v1/ports/red2").json
    assert (absent["ofport"], absent["ofport_request"]) == (None, RED2.ofport)
    location, _ = client.simulate_get("/v1/locations").json
    assert (location["network"], location["port"], location["addresses"]) == ("red/web", "red1", ["10.1.1.1"])


def test_status_and_health_tell_what_is_wrong(
    client: falcon.testing.TestClient, controller: Controller
) -> None:
    status = client.simulate_get("/v1/status").json
    assert (status["hosts"], status["connected"], status["in_sync"]) == (2, 1, 1)
    assert status["unknown_bridges"] == [{"datapath_id": "0000000000000007", "address": "192.0.2.7:4711"}]
    assert status["malformed"] == {"HELLO": 3}
    health = client.simulate_get("/healthz").json
    assert health["status"] == "degraded"
    assert health["problems"] == [
        "the bridge of host2 is not connected",
        "it moves too often",
        "too many there",
    ]

    overlay = controller.picture.overlay
    everywhere = replace(overlay, controller=replace(overlay.controller, per_host=True))
    central, controller.picture = controller.picture, replace(controller.picture, overlay=everywhere)
    assert client.simulate_get("/healthz").json["problems"] == ["it moves too often", "too many there"]
    controller.picture = central
    bridges = {"host1": controller.picture.bridges["host1"]}
    controller.picture = replace(controller.picture, bridges=bridges, alarms=())
    assert client.simulate_get("/healthz").json == {"status": "ok", "problems": []}

    wrong = Problem("overlay.yaml", 3, 5, "overlay.mtu", "no", "Yes")
    controller.picture = replace(controller.picture, config_problems=(wrong,))
    assert "overlay.yaml:3:5: overlay.mtu: no. Yes" in client.simulate_get("/healthz").text
    assert client.simulate_get("/v1/status").json["config_problems"] == [asdict(wrong)]


def test_health_says_503_while_events_are_not_taken_in(
    client: falcon.testing.TestClient, controller: Controller
) -> None:
    controller.is_late = True
    answer = client.simulate_get("/healthz")

    assert answer.status_code == 503
    assert answer.json["error"] == "events are not taken in"


def test_counters_are_told_by_what_they_mean(
    controller: Controller, client: falcon.testing.TestClient
) -> None:
    """One request for each table that has any; flows that mean the same are one counter."""
    number = controller.picture.bridges["host1"].ports["red1"]
    controller.counts = {
        (30, 1): FlowCounter("dropped", "mac", number, 5010),
        (50, 2): FlowCounter("answered", "arp", None, 5010),
        (50, 3): FlowCounter("answered", "arp", None, 5010),
    }
    entries = [SimpleNamespace(cookie=c, packet_count=10 * c, byte_count=100 * c) for c in (1, 2, 3, 4)]
    controller.replies = [reply(entries)]

    found = client.simulate_get("/v1/hosts/host1/counters").json

    assert [message.table_id for message in controller.asked] == [30, 50]
    assert found == [
        {"what": "dropped", "why": "mac", "port": "red1", "network": "red/web", "frames": 10, "bytes": 100},
        {"what": "answered", "why": "arp", "port": None, "network": "red/web", "frames": 50, "bytes": 500},
    ]
    assert client.simulate_get("/v1/hosts/nowhere/counters").status_code == 404


def test_the_openapi_document_is_valid_and_knows_every_route(client: falcon.testing.TestClient) -> None:
    document = client.simulate_get("/openapi.json").json

    validate(document)
    described = {(method.upper(), path) for path, methods in document["paths"].items() for method in methods}
    assert described == {(route.method, route.path) for route in ROUTES}
