"""The machines that all tests here share."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.vm import image, overlays
from tests.vm.looks import condition, settled
from tests.vm.machine import Site

KEPT = os.environ.get("SDNAPP_VM_KEEP")
"""A directory whose machines go on after the tests, for the next run to find: for developing them."""


@pytest.fixture(scope="session")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the Debian package of this checkout."""
    print("\nbuilding the package", flush=True)
    return image.package(tmp_path_factory.mktemp("package"))


@pytest.fixture(scope="session")
def site(request: pytest.FixtureRequest) -> Iterator[Site]:
    """Return two machines that have booted and answer."""
    if lacking := image.missing():
        pytest.exit(f"virtual machines need: apt-get install {' '.join(lacking)}", returncode=2)
    made = Site(Path(KEPT or tempfile.mkdtemp(prefix="sdnapp-vm-")), kept=KEPT is not None)
    try:
        if not made.running():
            made.start(request.getfixturevalue("package"))
            print("booting: some minutes", flush=True)
        for machine in made.machines:
            machine.ready()
        kernel, switch = made.host1.run("uname -r; ovs-vswitchd --version | sed 's/.*) //; 1q'").split()[:2]
        said = f"Debian {image.SUITE}, Linux {kernel}, Open vSwitch {switch}, datapath `system`."
        request.config.machines = said  # type: ignore[attr-defined]
        yield made
    finally:
        if KEPT is None:
            made.remove()


@pytest.fixture(scope="session")
def untouched(site: Site) -> dict[str, dict[str, str]]:
    """Return what the machines were like before anything of sdnapp ran; with that, both agents start."""
    kept = site.directory / "untouched.json"  # machines that were kept are in use
    if not kept.exists():
        kept.write_text(json.dumps({machine.name: condition(machine) for machine in site.machines}))
    return dict(json.loads(kept.read_text()))


@pytest.fixture(scope="session")
def central(site: Site, untouched: dict[str, dict[str, str]]) -> Site:  # noqa: ARG001
    """Return the machines with an agent on each and the controller on host1, enabled as in the README."""
    site.apply(overlays.tenants())
    site.host1.run("systemctl enable --now sdnapp-provision sdnapp-controller")
    site.host2.run("systemctl enable --now sdnapp-provision")
    return site


@pytest.fixture
def tenants(central: Site) -> Site:
    """Return the machines with two tenants over GRE, of which each reaches itself."""
    central.apply(overlays.tenants())
    settled(central, "gre")
    return central
