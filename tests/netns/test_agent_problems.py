"""What the agent of a host cannot do reaches operators by the controller: in alarms, healthz, ``show``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.netns.conftest import Running, sdnapp, until

WRONG = "no such uplink eth9 on host1"


def test_what_the_agent_cannot_do_is_an_alarm_until_it_can(bring_up: Callable[..., Running]) -> None:
    running = bring_up("two-hosts.yaml")
    file = Path(running.lab.file)
    text = file.read_text(encoding="utf-8")
    assert "host1: {vtep: 192.168.4.201}" in text

    file.write_text(text.replace("{vtep: 192.168.4.201}", "{vtep: 192.168.4.201, uplink: eth9}"), "utf-8")
    until(lambda: any(WRONG in problem for problem in running.get("/healthz")["problems"]))
    (alarm,) = running.get("/v1/alarms")
    assert (alarm["kind"], alarm["host"]) == ("agent-error", "host1")
    assert WRONG in sdnapp("show", "--name", running.name).stdout
    assert WRONG in sdnapp("lab", "status", "--name", running.name).stdout

    file.write_text(text, "utf-8")
    until(lambda: running.get("/healthz")["status"] == "ok")
