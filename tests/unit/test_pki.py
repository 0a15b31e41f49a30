"""``sdnapp pki``: what it makes, what it refuses to replace, and what it says of certificates that end."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from sdnapp.cli.main import COMMANDS, main
from sdnapp.config.schema import BridgeTls, ControllerTls
from sdnapp.pki.authority import make_leaf
from sdnapp.pki.condition import conditions
from tests.certificates import Pki


@pytest.fixture
def pki(tmp_path: Path) -> Path:
    directory = tmp_path / "pki"
    assert run("init", directory).exit_code == 0
    return directory


def run(command: str, directory: Path, *more: str) -> Result:
    return CliRunner().invoke(main, ["pki", command, *more, "--directory", str(directory)])


def check(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["pki", "check", *map(str, arguments)])


def decoded(path: Path) -> str:
    """What OpenSSL reads in a certificate."""
    shown = ["-subject", "-issuer", "-ext", "subjectAltName,extendedKeyUsage"]
    command = ["openssl", "x509", "-in", str(path), "-noout", *shown]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def snapshot(directory: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def test_each_party_gets_a_folder_with_what_the_file_names_by_default(pki: Path) -> None:
    assert run("host", pki, "host1", "host2").exit_code == 0
    assert run("controller", pki, "--address", "192.168.4.10", "--address", "ctl.example.net").exit_code == 0
    assert run("operator", pki, "alice").exit_code == 0

    bridge, controller = BridgeTls(), ControllerTls()
    wanted = {Path(path).name for path in (bridge.key, bridge.certificate, bridge.ca)}
    assert {path.name for path in (pki / "hosts/host2").iterdir()} == wanted
    wanted = {Path(path).name for path in (controller.key, controller.certificate, controller.ca)}
    assert wanted <= {path.name for path in (pki / "controllers/controller").iterdir()}
    names = decoded(pki / "controllers/controller/controller.crt")
    for name in ("CN = controller", "DNS:localhost", "IP Address:192.168.4.10", "DNS:ctl.example.net"):
        assert name in names
    assert "CN = host2" in (found := decoded(pki / "hosts/host2/host.crt"))
    assert "DNS:host2" in found


def test_a_leaf_is_for_one_side_of_one_kind_of_connection(pki: Path) -> None:
    """Hosts and operators are clients of different authorities, controllers are servers of a third."""
    run("host", pki, "host1")
    run("controller", pki)
    run("operator", pki, "alice")
    leaves = ("hosts/host1/host", "controllers/controller/controller", "operators/alice/operator")
    texts = [decoded(pki / f"{leaf}.crt") for leaf in leaves]

    uses = [("Client" in text, "Server" in text) for text in texts]
    assert uses == [(True, False), (False, True), (True, False)]
    signers = [text.partition("issuer=CN = sdnapp ")[2].split()[0] for text in texts]
    assert signers == ["switch-ca", "controller-ca", "operator-ca"]


def test_keys_are_for_their_owner_alone(pki: Path) -> None:
    run("host", pki, "host1")

    keys = list(pki.rglob("*.key"))
    assert len(keys) == 4
    assert {path.stat().st_mode & 0o777 for path in keys} == {0o600}
    assert {path.stat().st_mode & 0o777 for path in pki.rglob("*") if path.is_dir()} == {0o700}


@pytest.mark.parametrize(("command", "more"), [("init", ()), ("host", ("host1",))])
def test_nothing_is_replaced_unless_it_is_said(pki: Path, command: str, more: tuple[str, ...]) -> None:
    run("host", pki, "host1")
    before = snapshot(pki)

    refused = run(command, pki, *more)
    assert refused.exit_code == 2
    assert "--force" in refused.output
    assert snapshot(pki) == before
    assert run(command, pki, *more, "--force").exit_code == 0
    assert snapshot(pki) != before
    assert not list(pki.rglob(".*"))


def test_a_failure_leaves_what_was_there(pki: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run("host", pki, "host1")
    before = snapshot(pki)

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    refused = run("host", pki, "host1", "--force")
    assert refused.exit_code == 2
    assert "no space left on device" in refused.output
    assert snapshot(pki) == before


@pytest.mark.parametrize(
    ("command", "more", "words"),
    [
        ("host", ("a/b",), "is no name for a certificate"),
        ("controller", ("--address", "a b"), "neither an IP address nor a DNS name"),
        ("host", ("host1", "--days", "5000"), "switch-ca.crt ends in"),
    ],
)
def test_a_mistake_in_the_call_is_told(pki: Path, command: str, more: tuple[str, ...], words: str) -> None:
    done = run(command, pki, *more)

    assert done.exit_code == 2
    assert words in done.output


def test_without_authorities_it_says_how_to_make_them(tmp_path: Path) -> None:
    done = run("host", tmp_path, "host1")

    assert done.exit_code == 2
    assert "run 'sdnapp pki init' first" in done.output


def test_all_is_well_with_what_was_just_made(pki: Path) -> None:
    run("host", pki, "host1")
    done = check(pki)

    assert done.exit_code == 0, done.output
    assert "✓" in done.output
    assert "host.crt: host1, 89 days left" in done.output


def test_what_ends_or_has_ended_is_told_with_its_day(tmp_path: Path) -> None:
    pki = Pki.begin(tmp_path / "pki")
    pki.make("host", "old", since=11, days=10)
    pki.make("host", "soon", since=7, days=10)
    done = check(pki.directory)

    assert done.exit_code == 1
    ended, soon = (line for line in done.output.splitlines() if line.startswith("  "))
    assert ended.startswith("  ended on 20")
    assert soon.startswith("  ends on 20")
    assert check(pki.directory / "hosts/soon", "--within", "2").exit_code == 0


def test_faults_of_files_are_told(pki: Path) -> None:
    run("host", pki, "host1", "host2")
    one, two = pki / "hosts/host1", pki / "hosts/host2"
    (one / "host.key").chmod(0o644)
    shutil.copy(one / "host.crt", two / "host.crt")
    (two / "more.crt").write_text("nothing")
    found = json.loads(check(pki, "--json").output)

    paths = {each["path"]: each["faults"] for each in found if each["faults"]}
    faults = {Path(path).relative_to(pki).as_posix(): said for path, said in paths.items()}
    assert faults == {
        "hosts/host1/host.crt": ["others may read host.key, or its group may write it: chmod 600 (or 640)"],
        "hosts/host2/host.crt": ["host.key is not its key: replace both together"],
        "hosts/host2/more.crt": ["holds no certificate in PEM"],
    }


def test_leaves_of_an_authority_that_was_replaced_are_told(pki: Path) -> None:
    run("host", pki, "host1")
    run("init", pki, "--force")
    done = check(pki)

    assert done.exit_code == 1
    assert (
        done.output.count("of an authority that was made anew since") == 2
    )  # the leaf, and its copy of a CA


def test_a_clock_that_is_behind_is_told(tmp_path: Path) -> None:
    Pki.begin(tmp_path)
    ahead = datetime.now(timezone.utc) + timedelta(days=1)
    folder = make_leaf(tmp_path, "host", "host1", now=ahead, days=10)

    (found,) = conditions([folder / "host.crt"], now=datetime.now(timezone.utc))
    assert "is this machine's clock right?" in found.faults[0]


def test_nothing_to_check_is_a_mistake(tmp_path: Path) -> None:
    assert check(tmp_path).exit_code == 2


def test_ssl_accepts_the_chain(pki: Path) -> None:
    """Also with the checks of RFC 5280 that Python 3.13 makes by default."""
    run("controller", pki)
    strict = ["-x509_strict", "-purpose", "sslserver"]
    files = map(str, ("-CAfile", pki / "ca/controller-ca.crt", pki / "controllers/controller/controller.crt"))

    done = subprocess.run(["openssl", "verify", *strict, *files], capture_output=True, check=False, text=True)
    assert done.returncode == 0, done.stderr


def test_other_commands_do_not_load_the_library() -> None:
    commands = {where for where, _ in COMMANDS.values()} - {"sdnapp.cli.pki:pki"}
    modules = ["sdnapp.manager", "sdnapp.overlay", *(path.partition(":")[0] for path in commands)]
    code = f"import sys, {', '.join(modules)}; sys.exit('cryptography' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
