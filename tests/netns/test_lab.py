"""A lab comes up, shows itself, tells the truth, and leaves nothing behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from sdnapp.cli.main import main
from sdnapp.lab import faults, lifecycle, model
from sdnapp.lab.process import alive
from tests.netns.conftest import CONFIGS, SDNAPP, Running, sdnapp, traces, until

TWO_HOSTS = str(CONFIGS / "two-hosts.yaml")


@pytest.fixture(scope="module")
def two(bring_up: Callable[..., Running]) -> Running:
    return bring_up("two-hosts.yaml")


def test_status_has_everything_a_script_would_ask_for(two: Running) -> None:
    seen = json.loads(sdnapp("lab", "status", "--name", two.lab.name, "--json").stdout)

    assert seen["rest"].startswith("http://127.0.0.1:")
    assert seen["controller"]["processes"]["controller"]
    host = next(host for host in seen["hosts"] if host["name"] == "host1")
    assert (host["vtep"], host["connected"], host["in_sync"]) == ("192.168.4.201", True, True)
    socket = Path(host["ovsdb"].removeprefix("unix:"))
    assert socket.is_socket()
    assert host["datapath_id"] in two.run("host1", "ovs-vsctl", "get", "bridge", "br-int", "datapath_id")
    port = next(port for port in seen["ports"] if port["name"] == "red1")
    link = two.run("red1", "ip", "-br", "link", "show", port["device"])
    assert port["mac"] in link
    assert port["addresses"] == ["10.1.1.1/24"]


def test_the_ovsdb_of_a_host_answers_on_the_machine(two: Running) -> None:
    shown = subprocess.run(
        ["ovs-vsctl", f"--db={two.lab.database('host1')}", "list-br"],
        capture_output=True,
        text=True,
        check=True,
    )

    assert shown.stdout.split() == ["br-int", "br-phy"]


def test_a_host_is_like_a_real_one(two: Running) -> None:
    """Its own Open vSwitch, its own named namespaces, its own name, its own processes."""
    assert two.run("host1", "hostname").strip() == "host1"
    assert two.run("host1", "ovs-vsctl", "list-ports", "br-int").split() == ["blue1", "gre-host2", "red1"]
    assert {line.split()[0] for line in two.run("host1", "ip", "netns").splitlines()} == {"red1", "blue1"}
    assert "ovs-vswitchd" in two.run("host1", "ps", "ax")
    assert "host2" not in two.run("host1", "ps", "ax")


def test_an_agent_that_has_ended_is_named_and_can_be_started(two: Running) -> None:
    """Nothing supervises a lab's processes: status names those that have ended, with the command to start."""
    name = two.lab.name
    sdnapp("lab", "agent", "kill", "host2", "--name", name)

    ended = sdnapp("lab", "status", "--name", name).stdout
    sdnapp("lab", "agent", "start", "host2", "--name", name)

    assert "provision of host2 has ended. Start it: sdnapp lab agent start host2" in ended
    assert "has ended" not in sdnapp("lab", "status", "--name", name).stdout
    assert "runs already" in sdnapp("lab", "agent", "start", "host2", "--name", name).stderr
    two.run("host2", "ovs-vsctl", "del-port", "br-int", "red2")
    until(lambda: "red2" in two.run("host2", "ovs-vsctl", "list-ports", "br-int").split())


def test_exec_passes_input_output_and_exit_code(two: Running) -> None:
    done = subprocess.run(
        [
            SDNAPP,
            "lab",
            "exec",
            "--name",
            two.lab.name,
            "red1",
            "--",
            "sh",
            "-c",
            "read x; echo $x; pwd; exit 7",
        ],
        input="hello\n",
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )

    assert (done.returncode, done.stdout) == (7, f"hello\n{os.getcwd()}\n")


def test_capture_shows_the_underlay(two: Running) -> None:
    command = [
        SDNAPP,
        "lab",
        "capture",
        "host2",
        "--name",
        two.lab.name,
        "--",
        "-l",
        "-c",
        "1",
        "ip proto 47 and ip[40:2] = 0x0800",  # IPv4 in Ethernet in GRE: not what kernels say by themselves
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as tcpdump:
        assert tcpdump.stdout is not None
        assert tcpdump.stderr is not None
        while "listening on" not in tcpdump.stderr.readline():
            pass
        two.run("red1", "ping", "-c", "1", "10.1.1.2")
        line = tcpdump.stdout.readline()

    assert "GREv0, key=0x1392" in line


def test_ping_prints_a_matrix_and_agrees_with_the_file(two: Running) -> None:
    done = sdnapp("lab", "ping", "--name", two.lab.name)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "reachability: 12 of 12 as expected" in done.stdout
    assert sdnapp("lab", "ping", "--name", two.lab.name, "red1", "red2").returncode == 0


def test_ping_notices_a_leak_and_a_silence(two: Running) -> None:
    """The overlay is sabotaged while no controller heals it: reality no longer is what the file promises."""
    bridge = ("-O", "OpenFlow13", "add-flow", "br-int")
    leak = "cookie=0x1ea4,table=0,priority=65535,in_port=red1,actions=output:blue1"
    alone = faults.stop_controller(two.lab)
    try:
        two.run("host1", "ovs-ofctl", *bridge, leak)
        # What the datapath cached of earlier pings holds until it is revised, for which no barrier waits; the
        # first revision to end may have begun before.
        for _ in range(2):
            two.run("host1", "ovs-appctl", "revalidator/wait")
        broken = two.broken()
    finally:
        faults.start_controller(alone)
    two.settled()

    assert broken["red1", "blue1", 4] == ("a frame of red/web comes out in blue/web",)
    assert broken["red1", "red2", 4] == ("nothing arrives at 10.1.1.2",)
    assert ("blue1", "blue2", 4) not in broken
    assert not two.broken()


def test_a_second_lab_of_the_same_file_lives_beside_the_first(two: Running, name: str) -> None:
    up = sdnapp("lab", "up", TWO_HOSTS, "--name", name)

    assert up.returncode == 0, up.stdout + up.stderr
    assert model.read(name).rest != two.lab.rest
    assert sdnapp("lab", "ping", "--name", name).returncode == 0
    assert not two.broken()
    assert {name, two.lab.name} <= {line.split()[0] for line in sdnapp("lab", "list").stdout.splitlines()}

    again = sdnapp("lab", "up", TWO_HOSTS, "--name", name)
    assert again.returncode == 1
    assert again.stderr.count("\n") == 1
    assert f"sdnapp lab down --name {name}" in again.stderr

    processes = [p for m in model.read(name).machines for p in (m.anchor, *m.services.values())]
    assert sdnapp("lab", "down", "--name", name).returncode == 0
    assert sdnapp("lab", "down", "--name", name).returncode == 0
    assert not any(map(alive, processes))
    assert not traces(name)
    assert not model.directory(name).exists()
    assert not two.broken()


@pytest.mark.parametrize("moment", [0.3, 0.6, 0.7, 0.8, 0.9, 1.2])
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_up_that_is_ended_early_leaves_nothing(
    name: str, tmp_path: Path, how: signal.Signals, moment: float
) -> None:
    """After Ctrl-C at once; after a crash once ``down`` has been called, at whatever moment it came."""
    command = [SDNAPP, "lab", "up", TWO_HOSTS, "--name", name]
    said = tmp_path / "said"
    with said.open("w") as out, subprocess.Popen(command, stdout=out, stderr=subprocess.DEVNULL) as up:
        time.sleep(moment)
        up.send_signal(how)
    if how == signal.SIGKILL or "ready" in said.read_text():  # it was up before the signal came
        lifecycle.down(name)

    until(lambda: not traces(name))
    assert not model.directory(name).exists()


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_up_that_is_ended_as_it_takes_its_name_leaves_nothing(name: str, how: signal.Signals) -> None:
    taken = model.directory(name)
    for _ in range(3):
        with subprocess.Popen(
            [SDNAPP, "lab", "up", TWO_HOSTS, "--name", name], stderr=subprocess.DEVNULL
        ) as up:
            deadline = time.monotonic() + 10
            while not taken.exists():  # the name is taken within less than a look every 20 ms would see
                assert time.monotonic() < deadline
            up.send_signal(how)

        assert up.returncode == 1
        assert not taken.exists()


def test_down_works_after_the_machines_have_crashed(name: str) -> None:
    assert sdnapp("lab", "up", TWO_HOSTS, "--name", name).returncode == 0
    os.kill(model.read(name).hosts["host1"].anchor.pid, signal.SIGKILL)

    assert sdnapp("lab", "down", "--name", name).returncode == 0
    assert not traces(name)


def test_a_lab_that_cannot_come_up_shows_the_log_that_says_why(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OSKEN_HUB_TYPE", "no-such-hub")
    done = sdnapp("lab", "up", TWO_HOSTS, "--name", name)

    assert done.returncode == 1
    assert "the controller has ended" in done.stderr
    assert "OSKEN_HUB_TYPE is eventlet or native" in done.stderr
    assert not traces(name)
    assert not model.directory(name).exists()


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (("status", "--name", "nosuch"), 1, "no lab named 'nosuch' is up"),
        (("exec", "--name", "nosuch", "host1", "--", "true"), 1, "no lab named 'nosuch' is up"),
        (("up", "/nosuch.yaml", "--name", "nosuch"), 2, "/nosuch.yaml"),
        (("up", TWO_HOSTS, "--name", "No Such"), 1, "cannot name a lab"),
    ],
)
def test_mistakes_get_one_clear_sentence(arguments: tuple[str, ...], code: int, sentence: str) -> None:
    done = sdnapp("lab", *arguments)

    assert done.returncode == code
    assert sentence in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "command", [("exec", "host9", "--", "true"), ("capture", "host9"), ("ping", "red1", "host1")]
)
def test_unknown_places_are_named_with_the_known_ones(two: Running, command: tuple[str, ...]) -> None:
    done = sdnapp("lab", command[0], "--name", two.lab.name, *command[1:])

    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "there is" in done.stderr


def test_without_root_one_line_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    done = CliRunner().invoke(main, ["lab", "up", TWO_HOSTS])

    assert done.exit_code == 2
    assert "sudo" in done.stderr
    assert CliRunner().invoke(main, ["lab", "up", "--help"]).exit_code == 0


def test_a_missing_tool_is_named_with_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda _tool, **_: None)
    done = CliRunner().invoke(main, ["lab", "up", TWO_HOSTS, "--name", "toolless"])

    assert done.exit_code == 1
    assert "apt-get install" in done.stderr
    assert "openvswitch-switch" in done.stderr
