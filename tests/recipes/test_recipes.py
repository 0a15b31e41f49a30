"""Each recipe of docs/recipes.md, carried out on a lab of two hosts: ``./run recipes``."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from sdnapp.lab.machine import environment
from tests.netns.conftest import SDNAPP, Running, until

PAGE = Path(__file__).parents[2] / "docs" / "recipes.md"
RECIPES = dict(re.findall(r"<!-- recipe: ([^>]+) -->\n```\w+\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL))
OF_THIS_MACHINE = {
    "systemd-nspawn": "systemd-nspawn --register=no --keep-unit",
    "podman": "podman --root /run/pods --runroot /run/pods.run --storage-driver vfs",
    "podman run": "podman run --cgroups=disabled --ulimit host",
}
"""What a host of a lab has not: a systemd that runs, a group of its own, room for images."""


@pytest.fixture(scope="module")
def running(bring_up: Callable[..., Running]) -> Running:
    return bring_up(RECIPES["file"])


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The root directory of a container, with busybox in it."""
    place = tmp_path_factory.mktemp("root")
    for name in ("bin", "etc", "proc", "sys", "dev", "tmp", "usr/bin", "var", "run"):
        (place / name).mkdir(parents=True)
    shutil.copy("/bin/busybox", place / "bin")
    for name in ("sh", "ping"):
        (place / "bin" / name).symlink_to("busybox")
    (place / "etc/os-release").write_text("ID=busybox\n")
    return place


def carry_out(running: Running, recipe: str, *changes: tuple[str, str]) -> str:
    """Run the commands of a recipe on its host; what they print."""
    text = RECIPES[recipe]
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    return running.run(recipe.rpartition(" on ")[2], "sh", "-euc", text)


def test_every_recipe_is_tried_here() -> None:
    used = re.compile(r'RECIPES\["([^"]+)"\]|carry_out\(running, "([^"]+)"')
    found = used.findall(Path(__file__).read_text(encoding="utf-8"))
    assert {name for pair in found for name in pair if name} == RECIPES.keys()


def test_a_container_of_nspawn_lives_in_a_ports_namespace(running: Running, root: Path) -> None:
    running.run("host1", "mount", "-t", "cgroup2", "none", "/sys/fs/cgroup")
    own = OF_THIS_MACHINE["systemd-nspawn"]
    said = carry_out(running, "nspawn on host1", ("ROOT", str(root)), ("systemd-nspawn", own))
    assert "1 packets received" in said
    running.run("host1", "umount", "/sys/fs/cgroup")


def test_a_container_of_podman_lives_in_a_ports_namespace(running: Running, root: Path) -> None:
    running.run("host1", "mount", "-t", "cgroup2", "none", "/sys/fs/cgroup")
    own = OF_THIS_MACHINE["podman run"].replace("podman", OF_THIS_MACHINE["podman"])
    said = carry_out(running, "podman on host1", ("IMAGE", f"--rootfs {root}"), ("podman run", own))
    assert "1 packets received" in said
    running.run("host1", "umount", "/sys/fs/cgroup")


def test_libvirt_takes_the_machine_and_its_interface_is_found_by_its_id(
    running: Running, tmp_path: Path
) -> None:
    machine = tmp_path / "vm1.xml"
    machine.write_text(RECIPES["libvirt"])
    subprocess.run(["virt-xml-validate", str(machine), "domain"], check=True)

    carry_out(running, "plugged in on host2")
    until(lambda: running.get("/v1/ports/vm1")["host"] == "host2")
    until(lambda: running.get("/v1/ports/vm1")["ofport"])


def test_machines_on_a_linux_bridge_are_reached_through_a_port(running: Running) -> None:
    carry_out(running, "bridge on host1")
    until(lambda: running.get("/v1/ports/rack")["ofport"])
    running.run("host1", "ip", "link", "add", "m1", "type", "veth", "peer", "name", "m1-eth0")
    running.run("host1", "ip", "link", "set", "m1", "master", "br-rack", "up")
    running.run("host1", "ip", "netns", "add", "machine")
    running.run("host1", "ip", "link", "set", "m1-eth0", "netns", "machine")
    inside = ("ip", "netns", "exec", "machine")
    running.run("host1", "ethtool", "-K", "to-rack", "tx", "off")
    running.run("host1", *inside, "ethtool", "-K", "m1-eth0", "tx", "off")
    running.run("host1", *inside, "ip", "address", "add", "10.1.1.9/24", "dev", "m1-eth0")
    running.run("host1", *inside, "ip", "link", "set", "m1-eth0", "up")

    ping = ("ping", "-c", "1", "-W", "1", "10.1.1.2")
    until(lambda: "1 received" in running.run("host1", *inside, *ping, check=False))
    until(lambda: any(place["port"] == "rack" for place in running.get("/v1/locations")))


SSH = """#!/bin/sh
# ssh [OPTIONS] HOST COMMAND, to a host of a lab
for last; do host=$command command=$last; done
exec SDNAPP lab exec --name LAB "$host" -- sh -c "$command"
"""


def test_a_playbook_brings_the_file_to_all_hosts_and_no_broken_one(running: Running, tmp_path: Path) -> None:
    commands = Path(sys.executable).parent
    ssh = tmp_path / "ssh"
    ssh.write_text(SSH.replace("SDNAPP", SDNAPP).replace("LAB", running.name))
    ssh.chmod(0o755)
    hosts = tuple(running.overlay.hosts)
    settings = f"ansible_ssh_executable={ssh} ansible_ssh_transfer_method=piped"
    python = "ansible_python_interpreter=/usr/bin/python3"
    lines = ["[overlay]", *(f"{host} {settings} {python}" for host in hosts)]
    (tmp_path / "inventory").write_text("\n".join(lines) + "\n")
    playbook = RECIPES["playbook"].replace("sdnapp check", f"{SDNAPP} check")
    (tmp_path / "overlay.yml").write_text(playbook)
    for host in hosts:
        running.run(host, "mkdir", "-p", "/etc/sdnapp")

    def play(text: str) -> subprocess.CompletedProcess[str]:
        (tmp_path / "overlay.yaml").write_text(text)
        path = f"{commands}:{os.environ['PATH']}"
        return subprocess.run(
            ["sh", "-euc", RECIPES["ansible"]],
            cwd=tmp_path,
            env=environment() | {"PATH": path, "HOME": str(tmp_path)},
            capture_output=True,
            text=True,
            check=False,
        )

    done = play(RECIPES["file"])
    assert done.returncode == 0, done.stdout + done.stderr
    held = [running.run(host, "cat", "/etc/sdnapp/overlay.yaml") for host in hosts]
    assert held == [RECIPES["file"]] * 2

    broken = play(RECIPES["file"].replace("vni: 5010", "vni: none"))
    assert broken.returncode != 0
    assert "tenants.red.networks.web.vni" in broken.stdout
    assert [running.run(host, "cat", "/etc/sdnapp/overlay.yaml") for host in hosts] == held
