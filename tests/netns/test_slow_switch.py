"""An agent beside an ovs-vswitchd that is slow to notice new devices, as after the boot of a busy host."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sdnapp.provision.ovsdb import NOTICE_TIMEOUT
from tests.netns.provision_fixtures import BareHost, bare_host
from tests.overlays import TWO_HOSTS


@pytest.fixture(name="host")
def _host(tmp_path: Path) -> Iterator[BareHost]:
    with bare_host(tmp_path) as host:
        host.file.write_text(TWO_HOSTS)
        yield host


def switch(host: BareHost, signal: str) -> None:
    """Send ovs-vswitchd a signal."""
    host.run("sh", "-c", f"kill -{signal} $(cat /run/openvswitch/ovs-vswitchd.pid)")


def test_what_is_over_when_it_has_looked_is_no_error(host: BareHost) -> None:
    card = "  card:  {host: host1, network: red/web, attach: external, interface: card}\n"
    host.file.write_text(TWO_HOSTS + card)
    log = host.file.with_name("agent.log")

    with host.agent() as agent:
        agent.says("waits for its device")
        switch(host, "STOP")
        try:
            host.run("ip", "link", "add", "card", "type", "bridge")
            time.sleep(3 * NOTICE_TIMEOUT)  # this is the fault: it looks so late
        finally:
            switch(host, "CONT")
        agent.says("no more: port card on br-int waits for its device")
        assert "ERROR" not in log.read_text()
