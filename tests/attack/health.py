"""How the controller and the bridges fare after an attack."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from sdnapp.lab import services
from tests.netns.conftest import Running

EXPECTED_ALARMS = frozenset(
    {"duplicate-mac", "mac-blocked", "mac-limit-exceeded", "address-conflict", "loop"}
)
"""What ports that learn may bring about: their own stations' moves, claims and numbers."""
_TROUBLE = re.compile(r"Traceback|CRITICAL| failed\b")


def memory(running: Running) -> int:
    """What the controller holds, in bytes (proc(5), VmRSS)."""
    assert running.lab.controller is not None
    pid = running.lab.controller.services[services.CONTROLLER].pid
    (line,) = (
        line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS")
    )
    return int(line.split()[1]) * 1024


def is_of_this_kernel(alarm: dict[str, str]) -> bool:
    """Whether it says that the kernel of this machine has no VLAN devices, which trunk ports want."""
    return alarm["kind"] == "agent-error" and "8021q" in alarm["text"]


def problems(running: Running) -> Iterator[str]:
    """What is wrong and should not be."""
    for host in running.get("/v1/hosts"):
        if not host["connected"] or not host["in_sync"] or host["failures"] or host["drift"]:
            yield f"{host['name']} is not in sync: {host}"
    for alarm in running.get("/v1/alarms"):
        if alarm["kind"] not in EXPECTED_ALARMS and not is_of_this_kernel(alarm):
            yield f"alarm {alarm['kind']}: {alarm['text']}"
    log = running.lab.log(services.CONTROLLER, services.CONTROLLER).read_text()
    yield from (line for line in log.splitlines() if _TROUBLE.search(line))
