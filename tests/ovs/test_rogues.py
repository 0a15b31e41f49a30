"""Connections that claim to be a bridge which they are not are refused, counted and told of."""

from __future__ import annotations

import re
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress

import pytest

from sdnapp.tls import client_context
from tests.certificates import Pki
from tests.ovs.controller import until
from tests.ovs.load import Scene, scene
from tests.ovs.rogue import Rogue
from tests.ovs.test_load import ECHO, SECONDS

FOREIGN = "127.0.2.99"
CASES = {
    "other": ("127.0.2.1", "-", "certificate refused"),
    "expired": ("127.0.2.2", "-", "certificate has expired"),
    "neighbour": ("127.0.2.3", "host3,localhost", "its certificate has host3, localhost, not host1"),
    "none": ("127.0.2.4", "-", "no certificate"),
}
"""Source address, verified names, if any, and why it is refused."""


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return Pki.begin(tmp_path_factory.mktemp("pki"))


@pytest.fixture(scope="module", params=["eventlet", "native"])
def on(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, pki: Pki) -> Iterator[Scene]:
    with scene(tmp_path_factory.mktemp("rogues"), request.param, pki) as made:
        yield made


@pytest.fixture(scope="module")
def contexts(pki: Pki, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, ssl.SSLContext]:
    """What each client has to show."""
    ca = pki.ca("controller-ca")
    files = {
        "other": Pki.begin(tmp_path_factory.mktemp("other")).make("host", "host1"),
        "expired": pki.make("host", "late", since=3, days=2),
        "neighbour": pki.make("host", "host3"),
    }
    shown = {name: client_context(ca=ca, key=f.key, certificate=f.certificate) for name, f in files.items()}
    shown["none"] = client_context(ca=ca)
    for context in shown.values():
        context.check_hostname = False
    return shown


def attempt(port: int, dpid: int, source: str, tls: ssl.SSLContext | None = None) -> bool:
    """Take part in the handshake as this bridge; whether the controller hangs up."""
    try:
        one = Rogue(("127.0.0.1", port), dpid, source=source, tls=tls)
    except (ConnectionError, ssl.SSLError):
        return True
    with suppress(OSError):
        one.handshake()
    over = one.hung_up()
    one.close()
    return over


def impostors(on: Scene, address: str) -> list[str]:
    """What alarms say of this address."""
    alarms = on.controller.get("/v1/alarms")
    return [
        a["text"]
        for a in alarms
        if a["kind"] == "unauthorized-bridge" and a["text"].startswith(f"{address} ")
    ]


def connection(on: Scene) -> tuple[str, float]:
    """The connection that the bridge of host1 has."""
    host = on.controller.get("/v1/hosts/host1")
    return host["address"], host["since"]


@contextmanager
def beside(work: Callable[[], object]) -> Iterator[None]:
    """Do this again and again, in a thread, until the block ends."""
    over = threading.Event()

    def run() -> None:
        while not over.is_set():
            work()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    yield
    over.set()
    thread.join(20)


@pytest.mark.parametrize("case", list(CASES))
def test_a_certificate_that_proves_no_bridge_is_refused_counted_and_told(
    on: Scene, contexts: Mapping[str, ssl.SSLContext], case: str
) -> None:
    source, names, why = CASES[case]
    dpid, before = on.hosts["host1"].datapath_id, connection(on)

    for _ in range(2):
        assert attempt(on.controller.secured, dpid, source, contexts[case])

    until(lambda: impostors(on, source))
    (text,) = impostors(on, source)
    assert why in text
    assert text.endswith("2 times")
    assert names == "-" or f"({names})" in text
    log = on.controller.log.read_text(encoding="utf-8")
    assert len(re.findall(rf"bridge\.unauthorized .*address={source}:", log)) == 2
    assert connection(on) == before


def test_a_known_datapath_id_from_a_foreign_address_leaves_the_bridge_its_connection_echo_and_stream(
    on: Scene,
) -> None:
    dpid, before = on.hosts["host2"].datapath_id, connection(on)
    address = "{}:{}".format(*on.timed.socket.getsockname())

    with beside(lambda: attempt(on.controller.openflow, dpid, FOREIGN)):
        load = on.suffer(None, SECONDS)
        until(lambda: impostors(on, FOREIGN))

    assert load.echo(0.95).own < ECHO
    assert load.received == load.sent > 0
    (text,) = impostors(on, FOREIGN)
    assert f"{FOREIGN} is not among 127.0.0.1/32" in text
    assert "the bridge of host2" in text
    assert connection(on) == before
    assert on.controller.get("/v1/hosts/host2")["address"] == address
    assert on.in_sync("host1", "host2")
