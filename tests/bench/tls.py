"""What TLS costs: a bridge by ``ssl:`` beside the same bridge by ``tcp:``, at one controller, by turns."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from statistics import median

from sdnapp.net.model import TlsFiles
from sdnapp.tls import client_context
from tests.bench import bridges, programming
from tests.bench.bridges import Fleet
from tests.bench.figure import Effort, Figure, by_turns, plain
from tests.bench.ground import until
from tests.bench.pulse import pulse
from tests.certificates import Pki

NETWORKS = 20
"""Of 500 flows each on the bridge."""
ECHOES = 300
NOWHERE = "tcp:127.0.0.1:1"

Taken = tuple[float, float, int]
"""Seconds until in sync, seconds of the controller's processor, and flows."""


def figures(effort: Effort) -> Iterator[Figure]:
    """Connect to in sync, with all to send and with nothing to send; processor time; an echo."""
    with tempfile.TemporaryDirectory() as directory:
        pki = Pki.begin(Path(directory) / "pki")
        own, bridge = pki.make("controller", "controller"), pki.make("host", bridges.host(0))
        with bridges.fleet(programming.text(NETWORKS), switches=1, tls=own) as fleet:
            fleet.build([bridges.host(0)])
            fleet.secure(bridge)
            fleet.start()
            fleet.in_sync(1)
            yield from _connections(fleet, effort.rounds)
            yield _echo(fleet, bridge)


def _connections(fleet: Fleet, rounds: int) -> Iterator[Figure]:
    for words, empty in (("all of them to send", True), ("nothing to send", False)):
        sides = [partial(_connect, fleet, target, empty=empty) for target in (fleet.target, fleet.secured)]
        plainly, securely = by_turns(sides, rounds)
        name = f"a bridge by ssl:, tcp: beside it: {securely[0][2]:,} flows, {words}"
        yield plain(f"{name}: connect to in sync", [t[0] for t in securely], "s", [t[0] for t in plainly])
        yield plain(f"{name}: processor", [t[1] for t in securely], "s", [t[1] for t in plainly])


def _connect(fleet: Fleet, target: str, *, empty: bool) -> Taken:
    """Give the bridge this controller anew."""
    name = bridges.host(0)
    if empty:
        programming.empty(fleet)
    else:
        fleet.employ(name, controlled=True, target=NOWHERE)
    fleet.watch(lambda seen: any(line.event == "bridge.down" for line in seen), "the bridge stays")
    began, spent = time.time(), _spent(fleet)
    fleet.employ(name, controlled=True, target=target)
    (*_, last) = (line for line in fleet.in_sync(1) if line.event == "bridge.in_sync")
    return last.at - began, _spent(fleet) - spent, int(last.fields["flows"])


def _spent(fleet: Fleet) -> float:
    """Seconds of processor that the controller has spent (proc(5), stat)."""
    assert fleet.controller.process is not None
    words = Path(f"/proc/{fleet.controller.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def _echo(fleet: Fleet, bridge: TlsFiles) -> Figure:
    """A client of its own asks, which says nothing else, and the controller has nothing else to do."""
    context = client_context(ca=bridge.ca, key=bridge.key, certificate=bridge.certificate)
    with pulse(fleet.controller.secured, context) as secure, pulse(fleet.controller.openflow) as clear:
        felt = (secure, clear)
        until(lambda: all(len(one.waits) > ECHOES for one in felt), "no echo", bridges.PATIENCE)
        ours, reference = (median(1000 * (w.answered - w.asked) for w in one.waits) for one in felt)
    return plain("a bridge by ssl:, tcp: beside it: echo", [ours], "ms", [reference])
