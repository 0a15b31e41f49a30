"""``sdnapp show`` and ``sdnapp flows`` against a controller that stands still, over real HTTP."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from threading import Thread

import pytest
from click.testing import CliRunner, Result
from os_ken.ofproto import ofproto_v1_3 as ofproto
from os_ken.ofproto import ofproto_v1_3_parser as parser
from rich.console import Console

from flows.tables import Table
from sdnapp.cli import flow_names
from sdnapp.cli.main import main
from sdnapp.cli.show import fitting, members, titled
from sdnapp.openflow.flowstats import FlowStats
from sdnapp.rest.application import application
from sdnapp.rest.server import listener, serve
from tests.unit.test_rest import Controller, reply
from tests.unit.test_rest_flows import APPLY, entry

RED1, GRE = 5, 6
OUT_RED1 = parser.OFPInstructionActions(APPLY, [parser.OFPActionOutput(RED1)])
FLOWS = [
    entry({}, [], Table.FORWARD),
    entry(
        {"in_port": RED1, "vlan_vid": 0},
        [
            parser.OFPInstructionActions(
                APPLY,
                [parser.OFPActionPushVlan(), parser.OFPActionSetField(vlan_vid=10 | ofproto.OFPVID_PRESENT)],
            ),
            parser.OFPInstructionGotoTable(Table.VLAN_TO_NETWORK),
        ],
        Table.CLASSIFY,
    ),
    entry(
        {"in_port": GRE, "tunnel_id": 5010},
        [
            parser.OFPInstructionWriteMetadata(5010, 2**64 - 1),
            parser.OFPInstructionGotoTable(Table.PORT_SECURITY_L2),
        ],
        Table.TUNNEL_TO_NETWORK,
    ),
    entry({"reg0": 0, "metadata": 5010, "eth_dst": "02:00:00:00:00:01"}, [OUT_RED1], Table.FORWARD),
    entry({"in_port": 99, "metadata": 9, "vlan_vid": (0x1000, 0x1000), "eth_type": 0x800}, [OUT_RED1], 5),
]


@pytest.fixture
def controller() -> Iterator[Controller]:
    """One that holds these flows; its URL is in the environment."""
    controller = Controller()
    controller.replies = [reply([FlowStats(raw) for raw in FLOWS])]
    listening = listener("127.0.0.1", 0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SDNAPP_REST", f"http://127.0.0.1:{listening.getsockname()[1]}")
        server = serve(application(controller), listening)
        yield controller
        server.close()


def run(*args: str) -> Result:
    return CliRunner().invoke(main, args)


def rows(output: str) -> list[list[str]]:
    return [line.split() for line in output.splitlines()]


@pytest.mark.usefixtures("controller")
def test_show_tells_how_hosts_networks_ports_and_locations_are() -> None:
    result = run("show")

    assert result.exit_code == 0
    assert "host1 in sync 192.168.4.201" in " ".join(result.output.split())
    assert "host2 not connected" in " ".join(result.output.split())
    assert ["red1", "host1", "red1", "5", "02:bc:51:85:f4:95", "red/web", "10.1.1.1/24"] in rows(
        result.output
    )
    assert ["red/web", "02:00:00:00:00:01", "host1", "red1", "10.1.1.1", "static", "0"] in rows(result.output)
    assert ["red/web", "02:00:00:00:00:99", "host1", "red1", "-", "frozen", "5"] in rows(result.output)
    assert "it moves too often" in result.output
    assert ["red", "web", "5010", "10", "10.1.1.0/24", "1458", "host1", "red1"] in [
        row[:8] for row in rows(result.output)
    ]
    assert "host2: table full" in result.output
    assert "unknown bridge 0000000000000007" in result.output


def test_unfreeze_says_what_it_did(controller: Controller) -> None:
    result = run("unfreeze", "red/web", "02:00:00:00:00:99")

    assert result.output == "02:00:00:00:00:99 of red/web may move again\n"
    assert controller.unfrozen == [("red/web", "02:00:00:00:00:99")]
    assert "has no frozen" in run("unfreeze", "red/web", "02:00:00:00:00:01").output


@pytest.mark.usefixtures("controller")
def test_show_as_json_is_what_rest_says() -> None:
    seen = json.loads(run("show", "--json").output)

    assert set(seen) == {"status", "hosts", "tenants", "networks", "ports", "locations"}
    assert [host["name"] for host in seen["hosts"]] == ["host1", "host2"]


@pytest.mark.usefixtures("controller")
def test_flows_speak_the_words_of_the_project_in_the_order_of_the_tables() -> None:
    result = run("flows", "host1", "--json")

    told = [(flow["table"], flow["match"], flow["actions"]) for flow in json.loads(result.output)]
    assert told == [
        ("classify", "in_port=red1 vlan=none", "push_vlan:10 goto:vlan-to-network"),
        ("5", "in_port=99 network=9 vlan=any eth_type=0x0800", "output:red1"),
        ("tunnel-to-network", "in_port=gre-host2 key=5010", "set_network:red/web goto:port-security-l2"),
        ("forward", "any", "drop"),
        ("forward", "ingress=local network=red/web eth_dst=02:00:00:00:00:01", "output:red1"),
    ]
    plain = run("flows", "host1").output
    assert ["tunnel-to-network", "100", "in_port=gre-host2", "key=5010"] in [row[:4] for row in rows(plain)]


@pytest.mark.usefixtures("controller")
def test_an_example_of_what_is_asked_of_each_bit_is_enough(controller: Controller) -> None:
    """All are in the JSON."""
    bits = [
        entry({"eth_src": (mac, mac), "reg3": (bit, bit)}, [], Table.SPOOF_PREFILTER)
        for bit, mac in ((1 << n, (1 << n).to_bytes(6, "big").hex(":")) for n in range(8))
    ]
    controller.replies = [reply([FlowStats(raw) for raw in bits])]

    (_, _, first, others) = run("flows", "host1").output.splitlines()
    assert (
        "eth_src=00:00:00:00:00:01/00:00:00:00:00:01 mac_forbidden_bits=00:00:00:00:00:01/00:00:00:00:00:01"
        in first
    )
    assert "... the same for each of 7 more bits" in others
    controller.replies = [reply([FlowStats(raw) for raw in bits])]
    assert len(json.loads(run("flows", "host1", "--json").output)) == len(bits)


@pytest.mark.parametrize(
    ("dumped", "says"),
    [
        ("SET_FIELD: {xreg1:278449706418568}", "set_mac_forbidden_bits:fd:3f:9f:d6:c1:88"),
        ("SET_FIELD: {reg1:4110810878}", "set_ip_forbidden_bits:245.5.254.254"),
        ("SET_FIELD: {field_524290:Ag==}", "set_nd_options_type:2"),
        ("NX_MOVE: {arp_tha_nxm[0..48]: arp_sha_nxm[0..48]}", "move:arp_sha->arp_tha"),
        ("NX_MOVE: {nd_tll[0..48]: eth_src_nxm[0..48]}", "move:eth_src->nd_tll"),
        ("NX_UNKNOWN: {subtype: 45, data: AAABLAAy}", "learn"),
        ("NX_UNKNOWN: {subtype: 99, data: AAABLAAy}", "nicira:99"),
        ("OUTPUT:IN_PORT", "output:in_port"),
    ],
)
def test_actions_are_called_as_in_the_golden_programs(dumped: str, says: str) -> None:
    assert flow_names.actions([dumped], flow_names.Names()) == says


def test_ports_stand_beside_the_host_that_they_are_on() -> None:
    ports = [{"name": "a", "host": "h2"}, {"name": "b", "host": "h1"}, {"name": "c", "host": "h1"}]
    network = {"hosts": ["h1", "h2", "h3"], "ports": ["a", "b", "c"]}

    assert list(members({"ports": ports}, network)) == [("h1", "b"), ("", "c"), ("h2", "a"), ("h3", "")]


def test_a_narrow_terminal_cuts_no_word() -> None:
    table = titled("T", "mac", "match", "limits")
    table.add_row("02:00:00:00:00:01", "in_port=red1 eth_dst=02:00:00:00:00:01 network=red/web", "-")
    console = Console(width=40)

    with console.capture() as captured:
        console.print(fitting(table), crop=False)

    assert captured.get().split() == [
        *("T", "mac", "match", "02:00:00:00:00:01", "in_port=red1"),
        *("eth_dst=02:00:00:00:00:01", "network=red/web"),
    ]


def test_a_table_may_be_chosen_by_name(controller: Controller) -> None:
    assert run("flows", "host1", "--table", "tunnel-to-network").exit_code == 0

    assert controller.asked[-1].table_id == Table.TUNNEL_TO_NETWORK


@pytest.mark.usefixtures("controller")
@pytest.mark.parametrize(
    ("args", "says"),
    [
        (("flows", "host9"), "no host 'host9' (there are host1, host2)"),
        (("flows", "host9?"), "no host 'host9?'"),
        (("flows", "host2"), "the bridge of host2 is not connected"),
        (("flows", "host1", "--table", "arp"), "no table 'arp'"),
        (("show", "--rest", "localhost"), "is no URL"),
        (
            ("show", "--rest", "http://127.0.0.1:1"),
            "no controller answers at http://127.0.0.1:1: Connection refused",
        ),
        (("show", "--rest", "http://127.0.0.1:x"), "no controller answers"),
        (("show", "--name", "no-such-lab"), "no-such-lab"),
    ],
)
def test_what_goes_wrong_is_one_sentence(args: tuple[str, ...], says: str) -> None:
    result = run(*args)

    assert result.exit_code in {1, 2}
    assert says in result.output
    assert "Traceback" not in result.output


@pytest.mark.usefixtures("controller")
def test_a_lab_of_the_environment_is_asked_unless_another_controller_is_typed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SDNAPP_LAB", "no-such-lab")

    assert "no lab named 'no-such-lab'" in run("show").output
    assert "at http://127.0.0.1:1" in run("show", "--rest", "http://127.0.0.1:1").output


@pytest.mark.parametrize(
    "answer", [b"", b"nonsense\r\n\r\n", b"HTTP/1.0 200 OK\r\n\r\n<html>", b"HTTP/1.0 500 Oh\r\n\r\n["]
)
def test_something_else_that_answers_is_no_controller(answer: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve_once() -> None:
            client, _ = listening.accept()
            with client:
                client.recv(65536)
                client.sendall(answer)

        thread = Thread(target=serve_once)
        thread.start()
        result = run("show", "--rest", f"http://127.0.0.1:{listening.getsockname()[1]}")
        thread.join()

    assert result.exit_code == 1
    assert "controller" in result.output
    assert len(result.output.splitlines()) == 1
