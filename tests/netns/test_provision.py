"""Provisioning on a real host: real namespaces, a real Open vSwitch, a neighbour that watches."""

from __future__ import annotations

import json
import os
import re
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sdnapp.lab.machine import environment
from sdnapp.provision.drain import PATIENCE
from sdnapp.shipped import UNITS
from tests.netns.conftest import SDNAPP, until
from tests.netns.provision_fixtures import DATABASE, ROOT, BareHost, bare_host
from tests.overlays import TWO_HOSTS

VTEP = "192.168.4.201"


@pytest.fixture(name="host")
def _host(tmp_path: Path) -> Iterator[BareHost]:
    with bare_host(tmp_path) as host:
        host.file.write_text(TWO_HOSTS)
        yield host


def edit(host: BareHost, before: str, after: str) -> None:
    """Change the file."""
    text = host.file.read_text()
    assert before in text
    host.file.write_text(text.replace(before, after))


def normal(host: BareHost) -> None:
    """Let br-int switch as any switch does."""
    host.run("ovs-ofctl", "-O", "OpenFlow13", "add-flow", "br-int", "actions=NORMAL")


def test_a_dry_run_prints_what_is_then_done_and_a_second_run_does_nothing(host: BareHost) -> None:
    planned = host.provision("--dry-run")
    assert host.vsctl("list-br") == ""
    assert host.run("ip", "netns") == ""

    assert host.provision() == planned
    assert "create  port red1 on br-int (tag 10)" in planned
    assert host.provision() == ["nothing to do"]
    assert host.provision("--dry-run") == ["nothing to do"]


def test_the_bridge_belongs_to_its_controller_from_its_first_moment(host: BareHost) -> None:
    host.provision()

    assert host.vsctl("get-fail-mode", "br-int") == "secure"
    assert host.vsctl("get-controller", "br-int") == "tcp:192.168.4.10:6653"
    assert host.vsctl("get", "controller", "br-int", "connection_mode") == "out-of-band"
    assert host.vsctl("get", "bridge", "br-int", "other-config:disable-in-band") == '"true"'
    wanted = host.vsctl("get", "bridge", "br-int", "other-config:datapath-id")
    assert host.vsctl("get", "bridge", "br-int", "datapath_id") == wanted
    assert "actions" not in host.run("ovs-ofctl", "-O", "OpenFlow13", "dump-flows", "br-int")


def test_another_controller_does_not_cost_the_bridge_its_flows(host: BareHost) -> None:
    host.provision()
    normal(host)

    assert host.provision("--controller", "tcp:192.168.4.11:6653") == [
        "change  bridge br-int: controllers tcp:192.168.4.10:6653 -> tcp:192.168.4.11:6653"
    ]
    assert "NORMAL" in host.run("ovs-ofctl", "-O", "OpenFlow13", "dump-flows", "br-int")


def test_a_changed_port_is_all_that_changes(host: BareHost) -> None:
    host.provision()
    edit(host, "web: {vlan: 10, vni: 5010", "web: {vlan: 11, vni: 5010")
    assert host.provision() == ["change  port red1 on br-int: tag 10 -> 11"]

    edit(host, "address: 10.1.1.1/24}\n  red2", "address: [10.1.1.7/24, 10.1.1.8/24]}\n  red2")
    assert host.provision() == [
        "change  workload red1 in namespace red1: addresses +10.1.1.7/24 +10.1.1.8/24 -10.1.1.1/24"
    ]
    assert host.provision() == ["nothing to do"]

    edit(host, "gre", "vxlan")
    assert host.provision()[-2:] == [
        "create  port vxlan-host2 on br-int (vxlan to 192.168.4.202)",
        "delete  port gre-host2 on br-int",
    ]


def use(host: BareHost, port: str, flow: str) -> None:
    """Add a flow that uses the port's number."""
    number = host.vsctl("get", "interface", port, "ofport")
    host.run("ovs-ofctl", "-O", "OpenFlow13", "add-flow", "br-int", flow.format(number))


def free(host: BareHost) -> None:
    """Delete all flows."""
    host.run("ovs-ofctl", "-O", "OpenFlow13", "del-flows", "br-int")


@pytest.mark.parametrize(
    "flow", ["table=40,in_port={},actions=drop", "table=60,dl_vlan=7,actions=pop_vlan,output:{}"]
)
def test_an_old_tunnel_stays_until_no_flow_uses_it(host: BareHost, flow: str) -> None:
    with host.agent() as agent:
        agent.says("ready")
        use(host, "gre-host2", flow)
        edit(host, "gre", "vxlan")
        agent.says("create  port vxlan-host2 on br-int")
        agent.says("tunnel gre-host2 stays until no flow uses it")
        time.sleep(1)
        assert "gre-host2" in host.vsctl("list-ports", "br-int").split()

        free(host)
        until(lambda: "gre-host2" not in host.vsctl("list-ports", "br-int").split(), 1, "it is there")
        agent.says("delete  port gre-host2 on br-int")
        assert agent.stop() == 0
    assert host.provision() == ["nothing to do"]


def test_an_agent_killed_while_a_tunnel_lingers_leaves_it_to_the_next(host: BareHost) -> None:
    with host.agent() as agent:
        agent.says("ready")
        use(host, "gre-host2", "in_port={},actions=drop")
        edit(host, "gre", "vxlan")
        agent.says("stays until no flow uses it")
    assert host.provision("--dry-run") == ["delete  port gre-host2 on br-int when no flow uses it"]
    assert host.provision() == ["tunnel gre-host2 stays until no flow uses it; run again or use --watch"]

    free(host)
    assert host.provision() == ["delete  port gre-host2 on br-int"]


def test_a_workload_goes_when_no_flow_uses_its_port_or_when_that_takes_too_long(host: BareHost) -> None:
    with host.agent() as agent:
        agent.says("ready")
        use(host, "blue1", "in_port={},actions=drop")
        edit(host, "  blue1: {host: host1", "  blue1: {host: host2")
        agent.says("port blue1 stays until no flow uses it")
        assert "blue1" in host.run("ip", "netns")
        free(host)
        agent.says("delete  namespace blue1")
        assert agent.stop() == 0

    use(host, "red1", "in_port={},actions=drop")
    edit(host, "  red1:  {host: host1", "  red1:  {host: host2")
    began = time.monotonic()
    assert "delete  workload red1 in namespace red1" in host.provision()
    assert time.monotonic() - began > PATIENCE


def test_a_bridge_that_does_not_say_what_its_flows_use_keeps_its_ports(host: BareHost) -> None:
    host.provision()
    edit(host, "gre", "vxlan")
    host.run("mv", "/run/openvswitch/br-int.mgmt", "/run/openvswitch/hidden")
    said = host.provision(status=1)
    assert any(line.startswith("bridge br-int does not say what its flows use: ") for line in said)
    assert "gre-host2" in host.vsctl("list-ports", "br-int").split()

    host.run("mv", "/run/openvswitch/hidden", "/run/openvswitch/br-int.mgmt")
    assert host.provision() == ["delete  port gre-host2 on br-int"]


def test_taking_all_down_waits_for_no_flow(host: BareHost) -> None:
    host.provision()
    use(host, "gre-host2", "in_port={},actions=drop")
    host.provision("--remove")
    assert host.vsctl("list-br") == ""


def test_a_port_that_the_file_has_lost_goes_with_all_that_was_made_for_it(host: BareHost) -> None:
    host.provision()
    edit(host, "  blue1: {host: host1, network: blue/web, address: 10.1.1.1/24}\n", "")

    assert host.provision() == [
        "delete  port blue1 on br-int",
        "delete  workload blue1 in namespace blue1",
        "delete  namespace blue1",
    ]
    assert "blue1" not in host.run("ip", "netns") + host.run("ip", "link") + host.vsctl("show")


def test_the_hosts_address_moves_to_br_phy_and_back(host: BareHost) -> None:
    host.run("ip", "address", "add", "192.168.9.1/24", "brd", "+", "dev", "eth0")
    addresses = host.run("ip", "-4", "address", "show", "dev", "eth0")
    host.run("ip", "route", "add", "10.0.0.0/8", "via", "192.168.9.7", "metric", "70")
    routes = host.run("ip", "route")
    host.provision()

    assert host.run("ip", "-4", "address", "show", "dev", "eth0") == ""
    assert host.run("ip", "route") == routes.replace("eth0", "br-phy")
    assert "192.168.9.1/24 brd 192.168.9.255 " in host.run("ip", "address", "show", "dev", "br-phy")
    ping = host.outside("ping", "-c", "3", "-i", "0.1", VTEP)
    assert " 3 received" in ping
    assert "DUP" not in ping

    host.provision("--remove")
    assert host.run("ip", "route") == routes
    assert host.run("ip", "-4", "address", "show", "dev", "eth0") == addresses
    assert " 3 received" in host.outside("ping", "-c", "3", "-i", "0.1", VTEP)
    assert host.vsctl("list-br") == ""
    assert host.run("ip", "netns") == ""
    assert host.run("tc", "qdisc", "show", "dev", "eth0").count("qdisc") == 1


def test_the_neighbour_is_not_told_that_tunnels_are_unreachable(host: BareHost) -> None:
    """The kernel knows of no tunnel and would answer each of their packets with an ICMP error."""
    host.provision()
    send = "import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x' * 60, ('%s', 4789))"
    heard = host.outside(
        "sh", "-c", f'timeout 1 tcpdump -nn -i wire icmp 2>&1 & sleep 0.4; python3 -c "{send % VTEP}"; wait'
    )
    assert "0 packets captured" in heard, heard


def test_workloads_of_one_network_talk_tcp_through_the_bridge(host: BareHost) -> None:
    edit(host, "vni: 5010, subnet: 10.1.1.0/24", 'vni: 5010, subnet: [10.1.1.0/24, "2001:db8::/64"]')
    edit(host, "host: host2, network: red/web,  address: 10.1.1.2/24",
         "host: host1, network: red/web,  address: [10.1.1.2/24, '2001:db8::2/64']")  # fmt: skip
    edit(host, "red/web,  address: 10.1.1.1/24", "red/web,  address: [10.1.1.1/24, '2001:db8::1/64']")
    host.provision()
    normal(host)

    for address in ("10.1.1.2", "2001:db8::2"):
        assert " 1 received" in host.run("ping", "-c", "1", "-W", "2", address, namespace="red1")
    host.run("sh", "-c", "iperf3 --server --one-off --daemon", namespace="red2")
    sent = host.run("iperf3", "--client", "10.1.1.2", "--time", "1", "--json", namespace="red1")
    assert json.loads(sent)["end"]["sum_received"]["bytes"] >= 2**20


def test_a_workload_does_not_reach_the_host_behind_the_bridge(host: BareHost) -> None:
    host.provision()
    mac = json.loads(host.run("ip", "-json", "link", "show", "dev", "red1"))[0]["address"]
    host.run("sh", "-ec", f"ip route add {VTEP} dev eth0; ip neighbour add {VTEP} lladdr {mac} dev eth0",
             namespace="red1")  # fmt: skip

    assert " 0 received" in host.run("ping", "-c", "2", "-W", "1", VTEP, namespace="red1", check=False)


def test_what_others_made_is_left_alone(host: BareHost) -> None:
    host.run("ip", "netns", "add", "red1")
    host.run("ip", "link", "add", "blue1", "type", "veth", "peer", "name", "elsewhere")
    said = host.provision(status=1)
    assert "namespace red1 on host1 exists and is not ours: rename or remove it" in said
    assert "device blue1 on host1 exists and is not ours: rename or remove it" in said
    assert host.vsctl("list-ports", "br-int") == "gre-host2"

    host.run("ip", "netns", "del", "red1")
    host.run("ip", "link", "del", "blue1")
    host.vsctl("add-port", "br-int", "stranger", "--", "set", "interface", "stranger", "type=internal")
    host.vsctl("set", "bridge", "br-int", "other-config:mac-aging-time=60", "external-ids:mine=1")
    host.provision()
    assert host.vsctl("get", "bridge", "br-int", "other-config:mac-aging-time") == '"60"'
    assert host.vsctl("get", "bridge", "br-int", "external-ids:mine") == '"1"'

    host.run("ip", "link", "add", "foreign", "netns", "red1", "type", "veth", "peer", "name", "foreign")
    said = host.provision("--remove", status=1)
    assert "bridge br-int on host1 stays: stranger in it is not ours" in said
    assert "namespace red1 on host1 stays: foreign in it is not ours" in said
    assert host.vsctl("list-ports", "br-int") == "stranger"


def test_a_bridge_of_the_same_name_that_is_not_ours_is_left_alone(host: BareHost) -> None:
    host.vsctl("add-br", "br-int")
    before = host.vsctl("list", "bridge", "br-int")

    assert "bridge br-int on host1 exists and is not ours: rename or remove it" in host.provision(status=1)
    assert host.vsctl("list", "bridge", "br-int") == before


def test_what_cannot_be_is_said_in_words_and_the_rest_is_done(host: BareHost) -> None:
    edit(host, "host1: {vtep: 192.168.4.201}", "host1: {vtep: 192.168.4.201, uplink: eth9}")
    said = host.provision(status=1)
    assert "no such uplink eth9 on host1" in said
    assert set(host.vsctl("list-ports", "br-int").split()) == {"gre-host2", "red1", "blue1"}
    assert host.provision(status=1) == ["nothing to do", "no such uplink eth9 on host1"]

    edit(host, "{vtep: 192.168.4.201, uplink: eth9}", "{vtep: 192.168.4.203}")
    assert "no device of host1 has its vtep address 192.168.4.203" in host.provision(status=1)


def test_an_external_port_waits_for_its_device(host: BareHost) -> None:
    edit(host, "red1:  {host: host1, network: red/web,  address: 10.1.1.1/24}",
         "red1:  {host: host1, network: red/web, attach: external, interface: tap0}")  # fmt: skip
    assert "port tap0 on br-int waits for its device" in host.provision()

    host.run("ip", "tuntap", "add", "tap0", "mode", "tap")
    assert host.provision() == ["nothing to do"]


def test_mistakes_of_the_caller_are_one_line_and_status_2(host: BareHost) -> None:
    for options in (["--controller", "nonsense"], ["--watch", "--dry-run"], ["--host", "host9"]):
        assert len(host.provision(*options, status=2)) == 1
    host.file.write_text("tenants: [")
    assert len(host.provision(status=2)) == 1


def test_without_open_vswitch_the_run_says_so(host: BareHost) -> None:
    host.kill("ovsdb-server")
    assert host.provision(status=1) == [
        "Error: OVSDB at unix:/var/run/openvswitch/db.sock cannot be reached: is Open vSwitch running?"
    ]


def test_the_mtu_of_workloads_follows_the_uplink(host: BareHost) -> None:
    host.provision()
    assert "mtu 1458 " in host.run("ip", "link", "show", "dev", "eth0", namespace="red1")
    host.run("ip", "link", "set", "eth0", "mtu", "9000")

    assert "change  bridge br-phy: mtu 1500 -> 9000" in host.provision()
    assert "mtu 8958 " in host.run("ip", "link", "show", "dev", "eth0", namespace="red1")
    assert "mtu 9000 " in host.run("ip", "link", "show", "dev", "br-phy")


def test_killed_at_any_point_the_next_run_gets_there(host: BareHost) -> None:
    command = (sys.executable, "-m", "tests.netns.killed_provisioning", str(host.file), "12")
    result = json.loads(host.run("env", f"--chdir={ROOT}", *command, timeout=200))
    assert result == {"points": 24, "wrong": []}


def worked() -> float:
    """Processor time of all processes that this one started and waited for, in seconds."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def test_two_hundred_ports_take_one_transaction_and_less_than_five_seconds(host: BareHost) -> None:
    """Of work: what it takes by the clock depends on who else has work for this machine."""
    ports = (
        f"  p{n}: {{host: host1, network: red/web, address: 10.1.{1 + n // 200}.{n % 200 + 10}/16}}\n"
        for n in range(200)
    )
    edit(host, "subnet: 10.1.1.0/24}}}\n  blue", "subnet: 10.1.0.0/16}}}\n  blue")
    edit(host, "address: 10.1.1.1/24}\n  red2", "address: 10.1.1.1/16}\n  red2")
    edit(host, "address: 10.1.1.2/24}\n  blue1", "address: 10.1.1.2/16}\n  blue1")
    host.file.write_text(host.file.read_text() + "".join(ports))

    before = worked()
    host.provision()
    made = worked() - before
    assert made < 5
    assert host.run("ovsdb-tool", "show-log", DATABASE).count("sdnapp provision") == 1
    assert host.provision() == ["nothing to do"]

    edit(host, "overlay: {", "overlay: {mtu: 1300, ")
    before = worked()
    assert len(host.provision()) > 200
    assert worked() - before < 2 * made  # no device is made, and those of other ports are left alone
    assert "mtu 1300" in host.run("ip", "link", "show", "eth0", namespace="p199")

    host.provision("--remove")
    assert host.run("ip", "netns") == ""


def test_the_agents_unit_leaves_it_the_capabilities_that_it_needs(host: BareHost) -> None:
    """With those of CapabilityBoundingSet and no others it builds the host, follows it, and takes it down."""
    unit = (UNITS / "sdnapp-provision.service").read_text(encoding="utf-8")
    (allowed,) = re.findall("^CapabilityBoundingSet=(.+)$", unit, re.MULTILINE)
    few = ",".join(f"+{name.removeprefix('CAP_').lower()}" for name in allowed.split())

    with host.agent("setpriv", f"--bounding-set=-all,{few}", "--no-new-privs") as agent:
        agent.says("ready")
        host.run("ip", "link", "del", "red1")
        agent.says("create  workload red1", times=2)
        host.run("ip", "netns", "del", "blue1")
        agent.says("create  workload blue1", times=2)
        until(lambda: host.provision("--dry-run") == ["nothing to do"], otherwise="something is left to do")
        assert agent.stop() == 0


def test_the_agent_follows_the_file_and_the_host(host: BareHost) -> None:
    with host.agent() as agent:
        agent.says("ready")
        edit(host, "web: {vlan: 10, vni: 5010", "web: {vlan: 11, vni: 5010")
        agent.says("change  port red1 on br-int: tag 10 -> 11")
        os.kill(agent.pid, signal.SIGHUP)

        valid = host.file.read_text()
        host.file.write_text("tenants: [")
        agent.says("the file is invalid: going on with what it said before")
        host.file.write_text(valid)
        agent.says("the file is valid again, and says what it said before")

        host.run("ip", "link", "del", "red1")
        agent.says("create  workload red1", times=2)
        host.vsctl("del-port", "blue1")
        agent.says("create  port blue1", times=2)
        host.run("ip", "netns", "del", "blue1")
        agent.says("create  workload blue1", times=2)
        until(lambda: host.provision("--dry-run") == ["nothing to do"], otherwise="something is left to do")
        assert agent.stop() == 0


def test_a_host_that_left_the_file_is_told_how_to_be_taken_down(host: BareHost) -> None:
    with host.agent() as agent:
        agent.says("ready")
        host.file.write_text(host.file.read_text().replace("host1", "other1"))
        agent.says("('sdnapp provision FILE --host host1 --remove' takes down what is here)")
        assert agent.stop() == 0
    host.provision("--remove")
    assert host.run("ip", "netns") == ""


def test_a_second_agent_of_a_host_is_refused_and_names_the_first(host: BareHost) -> None:
    with host.agent() as agent:
        agent.says("ready")
        said = host.provision("--watch", status=2)
        (pids,) = re.findall(r"^NSpid:\s+(.+)$", Path(f"/proc/{agent.pid}/status").read_text(), re.MULTILINE)
        assert f"another agent keeps this host: process {pids.split()[-1]}. " in said[0]
        agent.stop(signal.SIGKILL)
    with host.agent() as agent:
        agent.says("ready")
        assert agent.stop() == 0


def test_a_run_without_ovs_vswitchd_says_what_it_waits_for(host: BareHost) -> None:
    host.kill("ovs-vswitchd")
    command = host.command(SDNAPP, "provision", str(host.file), "--host", "host1")
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment()) as run:
        assert run.stderr is not None
        assert run.stderr.readline() == "waiting for ovs-vswitchd, 30 s at most\n"
        host.start_switch()
        assert run.wait(60) == 0


def test_what_was_wrong_and_is_mended_is_taken_back_in_the_log(host: BareHost) -> None:
    edit(
        host,
        "  blue1: {",
        "  tap: {host: host1, network: red/web, attach: external, interface: tap0}\n  blue1: {",
    )
    with host.agent() as agent:
        agent.says("port tap0 on br-int waits for its device")
        host.run("ip", "tuntap", "add", "tap0", "mode", "tap")
        agent.says("no more: port tap0 on br-int waits for its device")
        assert agent.stop() == 0


def test_the_agent_survives_both_daemons(host: BareHost) -> None:
    with host.agent() as agent:
        agent.says("ready")
        host.kill("ovs-vswitchd")
        host.run("ip", "link", "del", "br-phy")
        host.start_switch()
        show = "ip", "address", "show", "dev", "br-phy"
        until(lambda: VTEP in host.run(*show, check=False), otherwise="no address")
        assert " 2 received" in host.outside("ping", "-c", "2", "-i", "0.2", VTEP)

        host.kill("ovsdb-server")
        agent.says("is gone; waiting")
        host.start_database()
        agent.says("answers", times=2)
        host.vsctl("del-port", "red1")
        agent.says("create  port red1", times=2)
        assert agent.stop() == 0


def busy(pid: int) -> float:
    """Seconds of processor that all threads of a process have had (/proc/PID/schedstat, proc(5))."""
    threads = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(thread.read_text().split()[0]) for thread in threads) / 1e9


def test_the_agent_at_rest_does_nothing(host: BareHost) -> None:
    """In two seconds it takes less than a fiftieth of what its start took on this machine."""
    with host.agent() as agent:
        agent.says("ready")
        start = busy(agent.pid)
        time.sleep(3)  # until duplicate address detection on the host's own devices is over
        before = busy(agent.pid)
        time.sleep(2)
        assert busy(agent.pid) - before < start / 50
