"""Examples, systemd units and ``python -m sdnapp``: what comes with the package beside its modules."""

from __future__ import annotations

import re
import subprocess
import sys
from configparser import ConfigParser
from pathlib import Path

import pytest
from click.testing import CliRunner

from sdnapp.cli.main import main
from sdnapp.config import parse
from sdnapp.shipped import UNITS, examples

ROOT = Path(__file__).parents[2]
MOST_EXPOSED = 4.0
"""What ``systemd-analyze security`` may say of the controller, of 10."""


def unit(name: str) -> ConfigParser:
    parser = ConfigParser(interpolation=None, delimiters=("=",), strict=False)
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # systemd's keys have capitals
    parser.read(UNITS / f"{name}.service", encoding="utf-8")
    return parser


def test_the_examples_are_those_of_the_checkout_and_good_files() -> None:
    assert [path.name for path in examples().values()] == [
        p.name for p in sorted(ROOT.glob("configs/*.yaml"))
    ]
    for path in examples().values():
        parse(path.read_bytes(), path.name)


def test_examples_lists_each_with_its_first_sentence() -> None:
    done = CliRunner().invoke(main, ["examples"])

    assert done.exit_code == 0
    lines = dict(re.split(" {2,}", line, maxsplit=1) for line in done.stdout.splitlines())
    assert list(lines) == list(examples())
    assert all(sentence.endswith(".") for sentence in lines.values())


@pytest.mark.parametrize("name", ["two-hosts", "two-hosts.yaml"])
def test_examples_prints_the_one_that_is_named(name: str) -> None:
    done = CliRunner().invoke(main, ["examples", name])

    assert (done.exit_code, done.stdout) == (0, (ROOT / "configs" / "two-hosts.yaml").read_text())


def test_an_unknown_example_is_a_mistake_of_the_call() -> None:
    done = CliRunner().invoke(main, ["examples", "tow-hosts"])

    assert done.exit_code == 2
    assert "Did you mean 'two-hosts'?" in done.output


def test_python_runs_the_package_as_the_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "sdnapp", "examples", "minimal"], capture_output=True, text=True, check=True
    )

    assert done.stdout == (ROOT / "configs" / "minimal.yaml").read_text()


def test_an_upgrade_of_open_vswitch_does_not_end_the_agent() -> None:
    """Requires= and BindsTo= stop it with Open vSwitch, and Restart= does not start it again then."""
    section = unit("sdnapp-provision")["Unit"]

    assert not {"Requires", "Requisite", "BindsTo", "PartOf"} & set(section)
    assert "openvswitch-switch.service" in section["Wants"].split()
    assert "openvswitch-switch.service" in section["After"].split()


def test_the_agent_sees_the_mounts_of_the_machine() -> None:
    """A namespace is a bind mount below /run/netns: in a mount namespace it would stay unseen."""
    sandboxing = re.compile(
        "Private(Tmp|Devices|Mounts)|Protect|Bind|ReadOnly|ReadWrite|Inaccessible|RootD|DynamicU"
    )

    assert not [key for key in unit("sdnapp-provision")["Service"] if sandboxing.match(key)]


@pytest.mark.parametrize("name", ["sdnapp-provision", "sdnapp-controller"])
def test_a_service_is_started_again_however_often_it_ends(name: str) -> None:
    parser = unit(name)

    assert parser["Service"]["Restart"] == "always"
    assert parser["Unit"]["StartLimitIntervalSec"] == "0"
    assert parser["Install"]["WantedBy"] == "multi-user.target"


def test_the_controller_may_have_more_files_than_bridges_and_clients_need() -> None:
    assert int(unit("sdnapp-controller")["Service"]["LimitNOFILE"]) >= 65536


def test_the_controller_is_shut_in() -> None:
    path = UNITS / "sdnapp-controller.service"
    done = subprocess.run(
        ["systemd-analyze", "security", "--no-pager", "--offline=true", str(path)],
        capture_output=True,
        text=True,
        check=False,
    )
    exposure = re.search(r"exposure level for sdnapp-controller.service: ([\d.]+)", done.stdout)

    assert exposure is not None, done.stderr
    assert float(exposure[1]) <= MOST_EXPOSED


@pytest.mark.parametrize("name", ["sdnapp-provision", "sdnapp-controller"])
def test_a_service_tells_that_it_has_started_and_that_it_goes_on(name: str) -> None:
    service = unit(name)["Service"]

    assert service["Type"] == "notify"
    assert int(service["WatchdogSec"]) >= 30
