"""Malformed messages to a controller's process: their connection ends, and no other notices."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from struct import pack

import pytest

from flows.tables import Table
from sdnapp.config_file import load
from tests.overlays import TWO_HOSTS
from tests.ovs.controller import Controller, until
from tests.ovs.pretender import MULTIPART_REPLY, Pretender

PACKET_IN, FLOW_REMOVED = 10, 11
ZEROS = "00" * 24
SAMPLES = [
    "0400000c 00000001 00000000",
    f"04170020 00000001 {ZEROS}",
    "04130028 00000001 000a0000 00000000" + ZEROS,
    "04130020 00000001 00070000 00000000" + "00" * 16,
    "04130060 00000001 00060000 00000000" + "00" * 80,
    "04130060 00000001 00090000 00000000" + "00" * 80,
    "04130060 00000001 000c0000 00000000" + "00" * 80,
    "040e0038 00000001" + "00" * 48,
    b"GET / HTTP/1.1\r\nHost: controller\r\n\r\n".hex(),
    "16030100c8010000c40303",
    "0104000800000001",
]


@pytest.fixture(scope="module", params=["eventlet", "native"])
def controller(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Controller]:
    controller = Controller(tmp_path_factory.mktemp("malformed"), request.param, TWO_HOSTS)
    try:
        controller.start()
        until(lambda: _answers(controller), 60)
        yield controller
    finally:
        if controller.process is not None:
            controller.end(signal.SIGKILL)


def _answers(controller: Controller) -> bool:
    try:
        with Pretender(controller.openflow, dpid=0x55) as bridge:
            return bridge.echoes()
    except ConnectionRefusedError:
        return False


@pytest.mark.parametrize("greeted", [False, True], ids=["first", "after the handshake"])
@pytest.mark.parametrize("sample", SAMPLES, ids=lambda raw: raw[:20].replace(" ", ""))
def test_a_malformed_message_ends_its_connection_and_no_other(
    controller: Controller, sample: str, greeted: bool
) -> None:
    before = controller.get("/v1/status")["malformed"]
    with Pretender(controller.openflow, dpid=0x77) as honest:
        with Pretender(controller.openflow, dpid=0x66 if greeted else None) as hostile:
            hostile.say(bytes.fromhex(sample))

            assert hostile.is_closed()
        assert honest.echoes()
    after = controller.get("/v1/status")["malformed"]

    assert sum(after.values()) == sum(before.values()) + 1
    log = controller.log.read_text(encoding="utf-8")
    assert "Traceback" not in log
    assert len([line for line in log.splitlines() if "connection.malformed" in line]) <= sum(after.values())


def test_packets_and_flows_that_say_too_little_cost_no_line_and_no_reading(controller: Controller) -> None:
    """A match without in_port, without metadata, or with either of them masked."""
    (dpid,) = (host.datapath_id for host in load(controller.file).hosts.values() if host.name == "host1")
    metadata, masked = pack("!IQ", 0x80000408, 5010), pack("!IQQ", 0x80000510, 5010, 5010)
    in_port, part_of_it = pack("!II", 0x80000004, 1), pack("!III", 0x80000108, 1, 1)
    eth_src = pack("!I6s", 0x80000806, b"\2\0\0\0\0\1")
    frame = b"\xff" * 6 + b"\2\0\0\0\0\1" + b"\x08\x06" + bytes(50)
    said = controller.log.read_text(encoding="utf-8")
    with Pretender(controller.openflow, dpid=dpid) as bridge:
        for fields in (b"", metadata, in_port, masked + in_port, metadata + part_of_it):
            length = 4 + len(fields)
            match = pack("!HH", 1, length) + fields + bytes(-length % 8)
            for table in (Table.MAC_LEARNING, Table.NEIGHBOR_SNOOPING, Table.MULTICAST):
                bridge.send(
                    PACKET_IN, pack("!IHBBQ", 0xFFFFFFFF, len(frame), 0, table, 0) + match + b"\0\0" + frame
                )
            length += len(eth_src)
            match = pack("!HH", 1, length) + fields + eth_src + bytes(-length % 8)
            for table in (Table.MAC_LEARNING, Table.NEIGHBOR_SNOOPING):
                bridge.send(FLOW_REMOVED, pack("!QHBBIIHHQQ", 0, 1, 0, table, 0, 0, 0, 0, 0, 0) + match)
        foreign = pack("!II", 7, 7) + bytes(13)
        bridge.send(MULTIPART_REPLY, pack("!HHI", 0xFFFF, 0, 0) + foreign, xid=0)

        assert bridge.echoes()
    log = controller.log.read_text(encoding="utf-8").removeprefix(said)

    assert "handler.failed" not in log
    assert "Traceback" not in log
    assert "bridge.read" not in log
