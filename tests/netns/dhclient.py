"""A DHCP client, run once, and what it was told."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from tests.netns.conftest import until

_SCRIPT = """#!/bin/sh
# What a client does with what it is told, and a record of that.
env | sort >> {record}
[ -z "$new_interface_mtu" ] || ip link set "$interface" mtu "$new_interface_mtu"
[ -z "$new_ip_address" ] || ip address replace "$new_ip_address/24" dev "$interface"
[ -z "$new_ip6_address" ] || ip address replace "$new_ip6_address/128" dev "$interface" nodad
"""

Run = Callable[..., str]
"""Runs a command where the device is, as ``Running.run`` does."""


def ask(
    run: Run, device: str, directory: Path, *version: str, check: bool = True, patience: int = 9
) -> tuple[float, str]:
    """Run a client once: the seconds until it had what it asked for, and what it was told.

    It ends without a word to the server.
    """
    record, script, leases, pid = (directory / name for name in ("told", "script", "leases", "pid"))
    record.write_text("")
    script.write_text(_SCRIPT.format(record=record))
    script.chmod(0o755)
    leases.unlink(missing_ok=True)
    began = time.monotonic()
    words = ("timeout", str(patience), "dhclient", *version, "-1", "-v", *_files(directory), device)
    run(*words, check=check)
    took = time.monotonic() - began
    if check:
        until(lambda: pid.exists() and pid.read_text() != "")
        run("kill", pid.read_text().strip())
        pid.unlink()
    return took, record.read_text()


def give_back(run: Run, device: str, directory: Path, *version: str) -> None:
    """Say that the address of the last lease is not needed any more."""
    run("dhclient", *version, "-r", *_files(directory), device)


def _files(directory: Path) -> tuple[str, ...]:
    script, leases, pid = (str(directory / name) for name in ("script", "leases", "pid"))
    return "-sf", script, "-lf", leases, "-pf", pid, "-cf", "/dev/null"
