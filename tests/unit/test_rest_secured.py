"""REST by https with tokens and certificates, asked by our own commands: of a controller of each hub."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from sdnapp.cli import settings
from sdnapp.cli.main import main
from sdnapp.net.model import TlsFiles
from sdnapp.tls import client_context
from tests.certificates import Pki
from tests.overlays import TWO_HOSTS

MANAGER = Path(sys.executable).with_name("osken-manager")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port: int = listening.getsockname()[1]
    return port


class Secured:
    """A controller that answers REST by https: its files, and how it is asked."""

    def __init__(self, directory: Path, hub: str) -> None:
        self.directory = directory
        self.pki = Pki.begin(directory / "pki")
        self.key, self.certificate, self.access = (directory / name for name in ("c.key", "c.crt", "access"))
        self.install(self.pki.make("controller", "controller"))
        self.token, self.operating = self.new("reader"), self.new("operator", "--scope", "operate")
        self.port, openflow = free_port(), free_port()
        self.url = f"https://127.0.0.1:{self.port}"
        head = f"""
controller:
  listen: "tcp:127.0.0.1:{openflow}"
  target: "tcp:127.0.0.1:{openflow}"
  rest: "{self.url}"
  rest_access: {self.access}
  rest_client_ca: {self.pki.ca("operator-ca")}
  tls: {{key: {self.key}, certificate: {self.certificate}}}
"""
        file = directory / "overlay.yaml"
        text = TWO_HOSTS.replace('controller: {target: "tcp:192.168.4.10:6653"}\n', "")
        file.write_text(head + text)
        command = [str(MANAGER), "sdnapp.overlay", "--overlay-config", str(file)]
        self.log = directory / "log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(command, stderr=log, env=os.environ | {"OSKEN_HUB_TYPE": hub})
        self.says("controller.listening")

    def install(self, files: TlsFiles) -> None:
        """Give the controller this key and certificate, each at once."""
        for new, own in ((files.certificate, self.certificate), (files.key, self.key)):
            draft = shutil.copy(new, own.with_suffix(".new"))
            os.replace(draft, own)

    def says(self, words: str, times: int = 1) -> None:
        end = time.monotonic() + 30
        while self.log.read_text().count(words) < times:
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < end, self.log.read_text()
            time.sleep(0.02)

    def new(self, name: str, *scope: str) -> str:
        """The file of a new token."""
        made = CliRunner().invoke(main, ["token", "new", name, "--file", str(self.access), *scope])
        path = self.directory / f"{name}.token"
        path.touch(mode=0o600)
        path.write_text(made.output)
        return str(path)

    @property
    def trusting(self) -> tuple[str, ...]:
        """Options by which the controller is found and verified."""
        return ("--rest", self.url, "--cacert", self.pki.ca("controller-ca"))

    def serial(self) -> str:
        """The serial number of the certificate that a new connection gets."""
        context = client_context(ca=self.pki.ca("controller-ca"))
        plain = socket.create_connection(("127.0.0.1", self.port), timeout=10)
        with context.wrap_socket(plain, server_hostname="127.0.0.1") as connection:
            return str((connection.getpeercert() or {})["serialNumber"])


@pytest.fixture(scope="module", params=["eventlet", "native"])
def secured(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    running = Secured(tmp_path_factory.mktemp("secured"), request.param)
    yield running
    running.process.kill()
    running.process.wait()


@pytest.fixture(autouse=True)
def _no_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever runs the tests may have some."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    for name in ("URL", "REST", "TOKEN_FILE", "CACERT", "CERT", "KEY", "LAB"):
        monkeypatch.delenv(f"SDNAPP_{name}", raising=False)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


def refused(*arguments: str) -> str:
    """What a command says that is refused: one line, exit status 2."""
    done = run(*arguments)
    assert done.exit_code == 2, done.output
    (line,) = done.output.splitlines()
    return line


def test_a_token_opens_rest_and_its_scope_is_kept_to(secured: Secured) -> None:
    shown = run("show", "--json", *secured.trusting, "--token-file", secured.token)
    assert shown.exit_code == 0, shown.output
    assert [host["name"] for host in json.loads(shown.output)["hosts"]] == ["host1", "host2"]

    unfreeze = ("unfreeze", "red/web", "02:00:00:00:00:01", *secured.trusting, "--token-file")
    assert refused(*unfreeze, secured.token) == (
        "Error: reader may read, this needs operate (use a token of scope operate)"
    )
    assert "has no frozen" in run(*unfreeze, secured.operating).output
    assert refused("show", *secured.trusting).startswith("Error: this needs a token (")
    (wrong := secured.directory / "wrong.token").write_text("sdnapp_wrong")
    wrong.chmod(0o600)
    assert "this token is not known here" in refused("show", *secured.trusting, "--token-file", str(wrong))


def test_an_operators_certificate_opens_rest_and_a_bridges_does_not(secured: Secured) -> None:
    alice, host = secured.pki.make("operator", "alice"), secured.pki.make("host", "alice")
    run("token", "allow", "alice", "--file", str(secured.access))

    def show(files: TlsFiles) -> tuple[str, ...]:
        return ("show", "--json", *secured.trusting, "--cert", files.certificate, "--key", files.key)

    end = time.monotonic() + 10
    while (shown := run(*show(alice))).exit_code and time.monotonic() < end:  # until the file is read again
        assert "has no scope" in shown.output
    assert shown.exit_code == 0, shown.output
    assert "refuses" in refused(*show(host))
    assert "has no scope" in refused(*show(secured.pki.make("operator", "bob")))


def test_a_controller_that_cannot_be_trusted_is_told_with_the_reason(secured: Secured) -> None:
    other, url = secured.pki.ca("switch-ca"), secured.url
    assert refused("show", "--rest", url, "--cacert", other) == (
        f"Error: the certificate of {url} is not of the CA in {other}"
    )
    assert refused("show", "--rest", url) == (
        f"Error: the certificate of {url} is not of a CA of this system: use --cacert"
    )
    clear = refused("show", "--rest", url.replace("https", "http"))
    assert clear == "Error: this port uses TLS (write https://)"
    missing = refused("show", "--rest", url, "--cacert", "/none")
    assert missing == "Error: cannot read /none: no such file or directory"


def test_a_token_is_not_sent_in_clear_text_nor_one_that_is_none(secured: Secured, tmp_path: Path) -> None:
    clear = refused("show", "--rest", "http://192.0.2.1:8080", "--token-file", secured.token)
    assert clear == "Error: the token would reach http://192.0.2.1:8080 in clear text: use https"
    assert "cannot read the token in /none" in refused("show", *secured.trusting, "--token-file", "/none")
    (empty := tmp_path / "empty").touch(mode=0o600)
    assert "holds no token" in refused("show", *secured.trusting, "--token-file", str(empty))


def test_options_count_for_more_than_the_environment_and_that_for_more_than_the_file(
    secured: Secured, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = settings.path()
    file.parent.mkdir(parents=True)
    ca = secured.pki.ca("controller-ca")
    file.write_text(f"rest: {secured.url}\ncacert: {ca}\ntoken_file: {secured.token}\n")
    assert run("show").exit_code == 0

    monkeypatch.setenv("SDNAPP_TOKEN_FILE", "/environment")
    assert "/environment" in refused("show")
    assert "/option" in refused("show", "--token-file", "/option")
    monkeypatch.setenv("SDNAPP_URL", "https://127.0.0.1:1")
    assert "https://127.0.0.1:1" in run("show", "--token-file", secured.token).output
    assert run("show", "--rest", secured.url, "--token-file", secured.token).exit_code == 0


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("url: x", "unknown key 'url'. Known here: rest, token_file, cacert, cert, key."),
        ("- rest", "something else than keys with text"),
        ("rest: [", "config.yaml:1: this is not YAML"),
    ],
)
def test_a_settings_file_that_is_no_good_is_told(text: str, words: str) -> None:
    file = settings.path()
    file.parent.mkdir(parents=True)
    file.write_text(text)

    assert words in refused("show")


def test_a_renewed_certificate_counts_for_new_connections_and_old_ones_live_on(secured: Secured) -> None:
    context = client_context(ca=secured.pki.ca("controller-ca"))
    headers = {"Authorization": f"Bearer {Path(secured.token).read_text().strip()}"}
    living = http.client.HTTPSConnection("127.0.0.1", secured.port, timeout=20, context=context)
    living.request("GET", "/v1/status", headers=headers)
    assert living.getresponse().read()
    before, living_socket = secured.serial(), living.sock

    secured.install(secured.pki.make("controller", "controller"))
    end = time.monotonic() + 20
    while (after := secured.serial()) == before:
        assert time.monotonic() < end
        time.sleep(0.05)
    living.request("GET", "/v1/status", headers=headers)
    assert living.getresponse().status == 200
    assert living.sock is living_socket
    living.close()

    secured.key.write_text("nothing")
    secured.says('files.kept what="TLS of REST"')
    assert secured.serial() == after
    secured.install(secured.pki.make("controller", "controller"))
    os.kill(secured.process.pid, signal.SIGHUP)
    while secured.serial() == after:
        assert time.monotonic() < end
        time.sleep(0.05)


def test_silent_and_hostile_clients_hold_up_no_other(secured: Secured) -> None:
    silent = [socket.create_connection(("127.0.0.1", secured.port)) for _ in range(30)]
    for number, client in enumerate(silent):
        client.sendall(b"\x16\x03\x01\x02\x00"[: number % 6])

    began = time.monotonic()
    assert run("show", "--json", *secured.trusting, "--token-file", secured.token).exit_code == 0
    assert time.monotonic() - began < 5, "the handshake of others ends only then"
    for client in silent:
        client.close()


def test_a_controller_without_its_files_does_not_start_and_says_which(tmp_path: Path) -> None:
    rest = "{rest: 'https://127.0.0.1:1', tls: {key: /none.key, certificate: /none.crt}}"
    file = tmp_path / "overlay.yaml"
    file.write_text(TWO_HOSTS.replace('{target: "tcp:192.168.4.10:6653"}', rest))
    command = [str(MANAGER), "sdnapp.overlay", "--overlay-config", str(file)]

    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "cannot read /none.key: no such file or directory" in done.stderr


def test_files_may_be_in_a_directory_that_the_command_line_names(tmp_path: Path) -> None:
    pki, port = Pki.begin(tmp_path / "pki"), free_port()
    place = str(Path(pki.make("controller", "controller").key).parent)
    file, log = tmp_path / "overlay.yaml", tmp_path / "log"
    rest = f"{{target: 'tcp:127.0.0.1:{free_port()}', rest: 'https://127.0.0.1:{port}'}}"
    file.write_text(TWO_HOSTS.replace('{target: "tcp:192.168.4.10:6653"}', rest))
    command = [str(MANAGER), "sdnapp.overlay", "--overlay-config", str(file), "--tls-dir", place]
    with log.open("wb") as output:
        process = subprocess.Popen(command, stderr=output)
    try:
        until(lambda: "controller.listening" in log.read_text())
        asked = run("show", "--rest", f"https://127.0.0.1:{port}", "--cacert", pki.ca("controller-ca"))
        assert asked.exit_code == 0, asked.output
    finally:
        process.kill()
        process.wait()


def test_a_controller_on_every_host_listens_on_one_loopback_address_alone(tmp_path: Path) -> None:
    """Other machines, and workloads in their namespaces, reach neither OpenFlow nor REST."""
    openflow, rest = free_port(), free_port()
    settings_of = f"{{target: 'tcp:127.0.0.1:{openflow}', rest: 'http://127.0.0.1:{rest}'}}"
    file = tmp_path / "overlay.yaml"
    file.write_text(TWO_HOSTS.replace('{target: "tcp:192.168.4.10:6653"}', settings_of))
    command = [str(MANAGER), "sdnapp.overlay", "--overlay-config", str(file)]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(command, stderr=log)
    try:
        until(lambda: "controller.listening" in (tmp_path / "log").read_text())
        for port in (openflow, rest):
            until(partial(accepts, "127.0.0.1", port))
            assert not accepts("127.0.0.2", port), "it listens on every address"
    finally:
        process.kill()
        process.wait()


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def accepts(address: str, port: int) -> bool:
    try:
        socket.create_connection((address, port), timeout=5).close()
    except ConnectionRefusedError:
        return False
    return True
