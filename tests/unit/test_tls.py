"""TLS: which peers are refused and why, what is said of files that cannot be used, two threads at once."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import astuple
from pathlib import Path
from typing import Any

import pytest

from sdnapp.net.model import TlsFiles
from sdnapp.tls import Credentials, Unusable, client_context, peer_names, server_context
from tests.certificates import Pki

SIZE = 3_000_000
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return Pki.begin(tmp_path_factory.mktemp("pki"))


class Server:
    """A process of ``tests.tls_server``."""

    def __init__(self, hub: str, files: TlsFiles) -> None:
        command = [sys.executable, "-m", "tests.tls_server", files.key, files.certificate, files.ca]
        environment = os.environ | {"OSKEN_HUB_TYPE": hub, "EVENTLET_NO_GREENDNS": "yes"}
        self.process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        self.port = self.said()["port"]

    def end(self) -> None:
        assert self.process.stdout is not None
        self.process.kill()
        self.process.stdout.close()
        self.process.wait()

    def said(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        said: dict[str, Any] = json.loads(self.process.stdout.readline())
        return said

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=10)


@pytest.fixture(scope="module", params=["native", "eventlet"])
def server(request: pytest.FixtureRequest, pki: Pki) -> Iterator[Server]:
    running = Server(request.param, pki.make("controller", "controller"))
    yield running
    running.end()


def exchange(client: ssl.SSLSocket, payload: bytes, wanted: int) -> int:
    """Send while receiving; the number of bytes received."""
    client.sendall(wanted.to_bytes(4, "big"))
    sender = threading.Thread(target=client.sendall, args=(payload,))
    sender.start()
    received = 0
    while received < wanted:
        received += len(client.recv(65536))
    sender.join()
    client.unwrap()
    client.close()
    return received


def handshake(server: Server, context: ssl.SSLContext) -> ssl.SSLSocket:
    return context.wrap_socket(server.connect(), server_hostname="localhost")


def refused(server: Server, context: ssl.SSLContext) -> str:
    """Why the server refuses a client with this context."""
    with suppress(ssl.SSLError, OSError), handshake(server, context) as client:
        client.recv(1)
    return str(server.said()["refused"])


def context_of(files: TlsFiles) -> ssl.SSLContext:
    return client_context(ca=files.ca, key=files.key, certificate=files.certificate)


def test_a_bridge_is_known_by_the_names_of_its_certificate(server: Server, pki: Pki) -> None:
    client = handshake(server, context_of(pki.make("host", "host1", addresses=["host1.example.net"])))

    assert exchange(client, b"x" * 10, 10) == 10
    said = server.said()
    assert (said["names"], said["version"]) == (["host1", "host1.example.net"], "TLSv1.3")


def test_one_thread_sends_while_another_receives(server: Server, pki: Pki) -> None:
    payload = os.urandom(SIZE)
    files = pki.make("host", "host1")

    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        context = context_of(files)
        context.maximum_version = version
        assert exchange(handshake(server, context), payload, SIZE) == SIZE
        said = server.said()
        assert (said["received"], said["digest"]) == (SIZE, hashlib.sha256(payload).hexdigest())


def test_no_certificate_is_refused(server: Server, pki: Pki) -> None:
    assert refused(server, client_context(ca=pki.ca("controller-ca"))) == "no certificate"


def test_a_certificate_of_another_authority_is_refused(server: Server, pki: Pki, tmp_path: Path) -> None:
    other = Pki.begin(tmp_path / "other").make("host", "host1")
    context = client_context(ca=pki.ca("controller-ca"), key=other.key, certificate=other.certificate)

    assert "certificate refused" in refused(server, context)


@pytest.mark.parametrize("kind", ["controller", "operator"])
def test_certificates_of_controllers_and_operators_make_no_bridge(
    server: Server, pki: Pki, kind: Any
) -> None:
    files = pki.make(kind, "host1")
    context = client_context(ca=pki.ca("controller-ca"), key=files.key, certificate=files.certificate)

    assert "certificate refused" in refused(server, context)


def test_a_certificate_that_has_ended_is_refused(server: Server, pki: Pki) -> None:
    ended = pki.make("host", "late", since=3, days=2)

    assert refused(server, context_of(ended)) == "certificate refused: certificate has expired"


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
def test_versions_below_1_2_are_refused(server: Server, pki: Pki) -> None:
    context = context_of(pki.make("host", "host1"))
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1

    assert refused(server, context) == "a version of TLS below 1.2"


def test_silence_ends_at_the_deadline_and_plain_bytes_at_once(server: Server) -> None:
    with server.connect() as silent:
        assert server.said() == {"refused": "no TLS handshake within 0.5 s"}
        assert silent.recv(1) == b""
    with server.connect() as plain:
        plain.sendall(bytes.fromhex("0400000800000001"))
        assert server.said() == {"refused": "not TLS"}
    with server.connect() as browser:
        browser.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert server.said() == {"refused": "not TLS, but HTTP"}
    server.connect().close()
    assert server.said() == {"refused": "closed during the handshake"}


def test_a_server_of_another_authority_or_name_is_refused(server: Server, pki: Pki) -> None:
    for ca, name, why in (("switch-ca", "localhost", "unable to get"), ("controller-ca", "else", "mismatch")):
        context = client_context(ca=pki.ca(ca))
        with pytest.raises(ssl.SSLCertVerificationError, match=why), server.connect() as plain:
            context.wrap_socket(plain, server_hostname=name)
        server.said()


def _directory(path: Path) -> str:
    path.mkdir()
    return str(path)


Break = Callable[[TlsFiles, Path], TlsFiles]


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        (lambda f, d: TlsFiles(str(d / "none"), f.certificate, f.ca), "/none: no such file"),
        (lambda f, d: TlsFiles(_directory(d / "dir"), f.certificate, f.ca), "/dir: is a directory"),
        (lambda f, _: TlsFiles(f.key, f.key, f.ca), "host.key holds no certificate in PEM"),
        (lambda f, _: TlsFiles(f.ca, f.certificate, f.ca), "ca.crt holds no private key in PEM"),
        (lambda f, _: TlsFiles(f.key, f.certificate, f.key), "host.key holds no certificate in PEM"),
        (lambda f, _: TlsFiles(f.key, f.ca, f.ca), "is not the key of"),
        (lambda f, d: TlsFiles(_encrypted(f.key, d), f.certificate, f.ca), "is encrypted"),
    ],
    ids=["none", "directory", "no certificate", "no key", "no ca", "mismatch", "encrypted"],
)
def test_what_is_wrong_with_a_file_is_said_with_its_name(
    pki: Pki, tmp_path: Path, broken: Break, words: str
) -> None:
    files = pki.make("host", "host1")

    with pytest.raises(Unusable, match=words):
        server_context(broken(files, tmp_path), client="required")


def _encrypted(key: str, directory: Path) -> str:
    path = directory / "encrypted.key"
    command = ["openssl", "pkey", "-in", key, "-aes256", "-passout", "pass:secret", "-out", str(path)]
    subprocess.run(command, check=True, capture_output=True)
    return str(path)


def test_new_files_count_for_new_connections_and_broken_ones_change_nothing(pki: Pki, tmp_path: Path) -> None:
    own = pki.make("controller", "controller")
    files = TlsFiles(*(str(shutil.copy(path, tmp_path)) for path in (own.key, own.certificate, own.ca)))
    credentials = Credentials(files, client="required")
    first = credentials.context

    Path(files.key).write_text("nothing")
    with pytest.raises(Unusable, match="no private key"):
        credentials.renew()
    assert credentials.context is first

    shutil.copy(own.key, files.key)
    assert not credentials.renew()
    assert credentials.context is first
    for new, path in zip(astuple(pki.make("controller", "controller")), astuple(files), strict=True):
        shutil.copy(new, path)
    assert credentials.renew()
    assert credentials.context is not first
    assert credentials.paths == (files.key, files.certificate, files.ca)


def test_a_connection_without_tls_has_no_names() -> None:
    with socket.socket() as plain:
        assert peer_names(plain) == frozenset()
