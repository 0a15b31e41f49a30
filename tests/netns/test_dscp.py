"""The DSCP of the outer header on the wire: what the file says, or that of the frame inside."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.netns.conftest import Running, until
from tests.netns.wire import underlay_tap

FILE = """
overlay: {encapsulation: vxlan, dscp: 0}
tenants:
  red: {networks: {web: {vlan: 10, vni: 5010, subnet: [10.1.1.0/24, "fd00:1::/64"]}}}
hosts:
  host1: {vtep: VTEP1}
  host2: {vtep: VTEP2}
ports:
  red1: {host: host1, network: red/web, address: [10.1.1.1, "fd00:1::1"]}
  red2: {host: host2, network: red/web, address: [10.1.1.2, "fd00:1::2"]}
"""
INSIDE, SET = 10, 46
"""AF11 and EF (RFC 2597, RFC 3246)."""


@pytest.fixture(scope="module", params=["192.168.4.20", "fd00:4::20"], ids=["IPv4", "IPv6"])
def running(request: pytest.FixtureRequest, bring_up: Callable[..., Running]) -> Running:
    return bring_up(FILE, [(f"VTEP{n}", f"{request.param}{n}") for n in (1, 2)])


def on_the_wire(running: Running, encapsulation: str, address: str) -> set[int]:
    """The DSCPs of what the tunnels of host1 carry while red1 pings with its own, both ways."""
    with underlay_tap(running, "host1") as seen:
        running.run(
            "red1", "ping", "-Q", str(INSIDE << 2), "-c", "2", "-i", "0.1", "-W", "1", address, check=False
        )
        carried = [outer for outer in seen() if outer.encapsulation == encapsulation]
    echoes = [o.dscp for o in carried if o.inner[12:14] in {b"\x08\x00", b"\x86\xdd"} and is_echo(o.inner)]
    return set(echoes) if len(echoes) == 4 else set()


def is_echo(inner: bytes) -> bool:
    return inner[23] == 1 if inner[12:14] == b"\x08\x00" else inner[20] == 58 and inner[54] in {128, 129}


@pytest.mark.parametrize("encapsulation", ["vxlan", "geneve", "gre"])
@pytest.mark.parametrize(("written", "carried"), [("0", 0), (str(SET), SET), ("inherit", INSIDE)])
def test_the_outer_header_has_the_dscp_that_the_file_says(
    running: Running, encapsulation: str, written: str, carried: int
) -> None:
    file = Path(running.lab.file)
    lines = file.read_text().splitlines()
    lines[1] = f"overlay: {{encapsulation: {encapsulation}, dscp: {written}}}"
    file.write_text("\n".join(lines) + "\n")

    for address in ("10.1.1.2", "fd00:1::2"):
        until(lambda address=address: on_the_wire(running, encapsulation, address) == {carried})  # type: ignore[misc]
        assert on_the_wire(running, encapsulation, address) == {carried}
