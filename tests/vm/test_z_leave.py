"""The way out, on machines that were in use: --remove, and the package's upgrade, removal, purge."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.vm.looks import condition, settled
from tests.vm.machine import Machine, Site, until

UNITS = ("sdnapp-provision.service", "sdnapp-controller.service")


def newer(package: Path, directory: Path) -> Path:
    """Return the same package as the next version."""
    tree, path = directory / "tree", directory / "newer.deb"
    subprocess.run(["dpkg-deb", "-R", str(package), str(tree)], check=True)
    control = tree / "DEBIAN" / "control"
    control.write_text(control.read_text().replace("-1+", "-2+", 1))
    with (tree / "usr/share/sdnapp/overlay.yaml").open("a") as example:
        example.write("# another example\n")
    built = ["dpkg-deb", "--root-owner-group", "-Zgzip", "-z1", "--build", str(tree), str(path)]
    subprocess.run(built, check=True, capture_output=True)
    return path


def copy(machine: Machine, path: Path, to: str) -> None:
    """Copy a file there."""
    with path.open("rb") as file:
        subprocess.run(machine.ssh(f"cat > {to}"), stdin=file, check=True)


def test_an_upgrade_restarts_what_runs_and_keeps_the_file(tenants: Site, tmp_path: Path) -> None:
    host2 = tenants.host2
    file = host2.run("cat /etc/sdnapp/overlay.yaml")
    before = host2.run("systemctl show -p ExecMainPID sdnapp-provision")
    copy(host2, newer(tenants.directory / "root/srv/sdnapp.deb", tmp_path), "/srv/newer.deb")

    host2.run("dpkg -i /srv/newer.deb < /dev/null", patience=1800)

    assert host2.run("dpkg-query -W -f '${Version}' sdnapp").startswith("0.1.0-2+")
    assert host2.run("cat /etc/sdnapp/overlay.yaml") == file
    assert host2.run("systemctl show -p ExecMainPID sdnapp-provision") != before
    assert host2.active(UNITS[0])
    assert not host2.active(UNITS[1])  # what did not run is not started
    settled(tenants, "gre")


def test_remove_leaves_each_host_as_it_was(tenants: Site, untouched: dict[str, dict[str, str]]) -> None:
    for machine in tenants.machines:
        machine.run("systemctl disable --now sdnapp-provision sdnapp-controller")
        machine.run("sdnapp provision /etc/sdnapp/overlay.yaml --remove")
        until(lambda m=machine: "_sys" not in m.run("ip -br link"), "the tunnel devices are gone")  # type: ignore[misc]

        now = condition(machine)
        for kind, before in untouched[machine.name].items():
            assert now[kind].splitlines() == before.splitlines(), kind


def test_removal_and_purge_leave_no_file(central: Site) -> None:
    host2 = central.host2
    host2.run("systemctl enable sdnapp-provision")

    host2.run("dpkg -r sdnapp", patience=1800)
    assert host2.run("cat /etc/sdnapp/overlay.yaml") != ""
    assert host2.run("find /usr/lib/sdnapp 2> /dev/null || true") == ""

    host2.run("dpkg -P sdnapp", patience=1800)
    left = host2.run(
        "find / -xdev -name '*sdnapp*' -not -path '/srv/*' -not -path '/tmp/*' -not -path '/var/log/*'"
    )
    assert left == ""
