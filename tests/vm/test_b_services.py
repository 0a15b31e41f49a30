"""Services that end and start while traffic flows: Open vSwitch, the controller, the agent, the machines."""

from __future__ import annotations

from tests.vm import overlays
from tests.vm.image import KEPT
from tests.vm.looks import absence, acquainted, flows, healthy, reaches, settled
from tests.vm.machine import Machine, Site, Stream, until

LOG = "journalctl -u sdnapp-controller -o cat"


def started(machine: Machine, unit: str) -> str:
    """Return what is another one for each process of a unit."""
    return machine.run(f"systemctl show -p ExecMainPID,NRestarts {unit}")


def test_a_restart_of_the_controller_loses_nothing(tenants: Site) -> None:
    healthy(tenants.host1)
    stream = Stream(tenants.host1, "red1", "10.1.1.2")
    before = started(tenants.host1, "sdnapp-controller")

    tenants.host1.run("systemctl restart sdnapp-controller")
    until(lambda: started(tenants.host1, "sdnapp-controller") != before, "another controller runs")
    healthy(tenants.host1)

    assert stream.end() == []


def test_a_reload_reads_the_file_and_keeps_the_process(tenants: Site) -> None:
    before = started(tenants.host1, "sdnapp-controller")

    since = tenants.host1.run("date +%s").strip()
    tenants.host1.run("systemctl reload sdnapp-controller")

    until(lambda: "config.loaded" in tenants.host1.run(f"{LOG} --since @{since}"), "the file is read again")
    assert started(tenants.host1, "sdnapp-controller") == before


def test_open_vswitch_restarts_and_the_bridge_is_as_before(tenants: Site) -> None:
    healthy(tenants.host1)
    before = flows(tenants.host2)
    agent = started(tenants.host2, "sdnapp-provision")

    since = tenants.host1.run("date +%s").strip()
    with acquainted(tenants):
        stream = Stream(tenants.host1, "red1", "10.1.1.2")
        tenants.host2.run("systemctl restart openvswitch-switch")
        until(lambda: flows(tenants.host2) == before, "all flows are back")
        healthy(tenants.host1)
        lost = stream.end()

    assert len(lost) * stream.interval < absence(tenants.host2, "ovs-vswitchd")
    # It deletes its flows as it ends, which is not somebody else's doing.
    assert "bridge.drift" not in tenants.host1.run(f"{LOG} --since @{since}")

    assert started(tenants.host2, "sdnapp-provision") == agent


def test_open_vswitch_is_installed_again_and_the_agent_stays(tenants: Site) -> None:
    """What an upgrade does: the package's scripts stop ovsdb-server, and start openvswitch-switch again.

    Meanwhile the kernel forwards what it did in the ten seconds before, and nothing new: no ARP, for one.
    """
    healthy(tenants.host1)
    before = flows(tenants.host2)
    agent = started(tenants.host2, "sdnapp-provision")

    with acquainted(tenants):
        stream = Stream(tenants.host1, "red1", "10.1.1.2")
        tenants.host2.run(f"DEBIAN_FRONTEND=noninteractive dpkg -i /{KEPT}", patience=1800)
        until(lambda: tenants.host2.active("ovs-vswitchd"), "ovs-vswitchd is active")
        until(lambda: flows(tenants.host2) == before, "all flows are back")
        healthy(tenants.host1)
        lost = stream.end()

    assert len(lost) * stream.interval < absence(tenants.host2, "ovs-vswitchd") / 2
    assert tenants.host2.active("sdnapp-provision")
    assert started(tenants.host2, "sdnapp-provision") == agent
    # It follows the new database as it did the old one.
    tenants.apply(overlays.tenants("geneve"))
    settled(tenants, "geneve")


def test_both_machines_boot_and_talk_again_by_themselves(tenants: Site) -> None:
    waits = [machine.reboot() for machine in tenants.machines]
    for wait in waits:
        wait()

    until(lambda: reaches(tenants.host1, "red1", "10.1.1.2"), "red1 reaches red2")
    until(lambda: reaches(tenants.host2, "blue2", "10.1.1.1"), "blue2 reaches blue1")
    healthy(tenants.host1)
    for machine in tenants.machines:
        assert "0 loaded units" in machine.run("systemctl --failed")
        errors = machine.run("journalctl -b -u sdnapp-provision -o cat | grep ERROR || true")
        assert errors == ""
