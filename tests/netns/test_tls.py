"""A lab by TLS: bridges change over and back, and certificates are renewed, under a counted stream."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path

import pytest

from sdnapp.lab import identity, lifecycle, services
from sdnapp.pki.authority import make_leaf
from tests.netns.conftest import Running, new_name, sdnapp, until
from tests.netns.test_loss import Witness, edited, witness

pytestmark = pytest.mark.alone

TCP, SSL = "tcp:192.168.4.10:6653", "ssl:192.168.4.10:6654"
TEXT = f"""
overlay: {{encapsulation: vxlan, mtu: 1400}}
controller: {{listen: ["tcp:0.0.0.0:6653", "ssl:0.0.0.0:6654"], target: "{SSL}"}}
tenants:
  red:   {{networks: {{web: {{vlan: 10, vni: 5010, subnet: 10.1.1.0/24}}}}}}
hosts:
  host1: {{vtep: 192.168.4.201}}
  host2: {{vtep: 192.168.4.202}}
ports:
  red1:  {{host: host1, network: red/web, address: 10.1.1.1/24}}
  red2:  {{host: host2, network: red/web, address: 10.1.1.2/24}}
"""
RED = (("red1", "red2"), ("red2", "red1"))


@pytest.fixture(scope="module")
def secure(bring_up: Callable[..., Running]) -> Running:
    return bring_up(TEXT)


def connected(running: Running, target: str) -> bool:
    """Whether every bridge has this controller, and no other, and is connected to it."""
    show = ["--columns=target,is_connected", "-f", "csv", "-d", "bare", "--no-headings"]
    found = (running.run(host, "ovs-vsctl", *show, "list", "controller") for host in running.lab.hosts)
    return all(lines.split() == [f"{target},true"] for lines in found)


def serial(running: Running) -> str:
    """The serial number of the certificate that the controller shows to a bridge that connects now."""
    files = "-cert /etc/sdnapp/tls/host.crt -key /etc/sdnapp/tls/host.key"
    ask = f"openssl s_client -connect 192.168.4.10:6654 {files} < /dev/null | openssl x509 -noout -serial"
    return running.run("host1", "sh", "-c", ask)


def test_a_lab_by_tls_keeps_its_promises(secure: Running) -> None:
    until(lambda: connected(secure, SSL))
    assert "/etc/sdnapp/tls/host.key" in secure.run("host1", "ovs-vsctl", "get-ssl")
    assert secure.broken() == {}


def test_bridges_change_over_to_tcp_and_back_without_loss(secure: Running) -> None:
    """As README says: the controller listens for both, and the target changes."""
    with witness(secure, *RED) as seen, edited(seen, (f'target: "{SSL}"', f'target: "{TCP}"')):
        until(lambda: connected(secure, TCP))
        assert secure.run("host1", "ovs-vsctl", "get-ssl").strip() == ""
        seen.until_over()
    until(lambda: connected(secure, SSL))

    assert seen.lost(*RED) == 0
    assert seen.sent == {}
    assert seen.heard("bridge.up") >= 2 * len(secure.lab.hosts)


def renew(running: Running) -> None:
    """A new certificate for the controller and for each host, where they have theirs."""
    place, now = Path(identity.controller_files(running.lab)).parents[1], datetime.now(timezone.utc)
    make_leaf(place, "controller", "controller", now=now, force=True)
    for host in running.lab.hosts:
        made = make_leaf(place, "host", host, now=now, force=True)
        for path in sorted(made.iterdir()):
            target = running.lab.home(host) / "etc" / "tls" / path.name
            shutil.copy(path, target.with_suffix(".new"))
            target.with_suffix(".new").replace(target)


def test_renewed_certificates_end_no_connection_and_count_for_new_ones(secure: Running) -> None:
    before = serial(secure)
    with witness(secure, *RED) as seen:
        renew(secure)
        until(lambda: serial(secure) != before, 20, "the controller shows its old certificate")
        assert connected(secure, SSL)
        assert seen.heard("bridge.down") == 0
        _reconnect(seen)

    assert seen.lost(*RED) == 0
    assert seen.sent == {}


def _reconnect(seen: Witness) -> None:
    """Start the controller anew: bridges come back, with the certificates that they have now."""
    name = seen.running.name
    for end in ("kill", "start"):
        done = sdnapp("lab", "controller", end, "--name", name)
        assert done.returncode == 0, done.stdout + done.stderr
    until(lambda: connected(seen.running, SSL))
    assert seen.heard("bridge.unauthorized") == 0


def test_a_target_that_is_not_the_labs_is_replaced_by_one_that_has_tls_too(tmp_path: Path) -> None:
    """A controller on every host is one controller in a lab."""
    file, name = tmp_path / "overlay.yaml", new_name()
    listen = 'listen: ["tcp:0.0.0.0:6653", "ssl:0.0.0.0:6654"], '
    file.write_text(TEXT.replace(listen, "").replace("192.168.4.10", "127.0.0.1"))
    lab = lifecycle.up(name, file, print)
    try:
        running = Running(lab.name)
        assert set(running.lab.targets.values()) == {f"ssl:192.168.4.254:{services.OPENFLOW_PORT}"}
        until(lambda: connected(running, f"ssl:192.168.4.254:{services.OPENFLOW_PORT}"))
    finally:
        lifecycle.down(name)
