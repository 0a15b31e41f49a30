"""A run: step after step on one lab, each with its streams, judged before the next."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from random import Random

from sdnapp.config import parse
from sdnapp.lab import model
from sdnapp.lab.errors import LabError
from sdnapp.lab.packet_loss import Count
from sdnapp.lab.stream import Stream
from sdnapp.net.build import build
from sdnapp.net.model import Overlay
from tests.chaos import files, judge
from tests.chaos.catalogue import FAULTS
from tests.chaos.document import GUEST_ADDRESS, GUEST_HOST, GUEST_INTERFACE, GUEST_MAC, STREAMS, text
from tests.chaos.plan import Step, randomness
from tests.chaos.resources import Ledger
from tests.chaos.scope import Scope
from tests.chaos.subject import Subject
from tests.chaos.taps import Taps
from tests.netns.guest import Guest
from tests.netns.test_loss import starved

RATE = 100
"""Packets a second in each direction of each stream."""
PATIENCE = 75.0
"""Seconds after the last fault is over in which all must be in sync and right. With a controller on every
host, a key that changes hands takes 40 of them (``SETTLE`` and ``RELEASE`` of ``sdnapp.engine.engine``).
"""
_AGE, _AGES = 120.0, {"unauthorized-bridge": 660.0, "duplicate-datapath-id": 660.0}
"""Seconds until an alarm is over that a fault left, and of those that last longer (``QUIET`` of
``sdnapp.engine.refusals``).
"""
CALM = 0.3
"""Seconds between two looks while it is not."""


@dataclass
class Outcome:
    """What came of a step. ``lost``: packets of streams that may lose some; ``seconds``: until all was right.

    ``waited``: what was last not right before that.
    ``violations``: what must not be, in words; none, and the step is good.
    """

    step: Step
    words: str = ""
    lost: int = 0
    gap_ms: float = 0.0
    seconds: float = 0.0
    waited: str = ""
    violations: list[str] = field(default_factory=list)


class Run:
    """One lab and what is known of it. The guest lives as long as the stack."""

    def __init__(self, subject: Subject, stack: ExitStack, ledger: Ledger) -> None:
        self.subject, self.ledger = subject, ledger
        machine = subject.machine(GUEST_HOST)
        self._guest = Guest(machine, GUEST_INTERFACE, GUEST_MAC, ip_address(GUEST_ADDRESS))
        stack.enter_context(self._guest.running())
        subject.run(GUEST_HOST, "ip", "link", "set", GUEST_INTERFACE, "up")
        self._footings = {host: judge.footing(subject, host) for host in subject.hosts}
        self._allowed: dict[str, float] = {}

    def begin(self) -> list[str]:
        """Wait until all is right for the first time; return what is not."""
        complaints, _, _ = self._settle(self.subject.overlay, frozenset(), PATIENCE)
        self.ledger.take(self.subject, 0)
        return complaints

    def step(self, step: Step, seed: int) -> Outcome:
        """Do one step and judge it."""
        outcome = Outcome(step)
        random = randomness(seed, step)
        before = self.subject.overlay
        lost_by_kernels = starved(self.subject.running)
        stream = Stream(self.subject.lab, [p for a, b in STREAMS for p in ((a, b), (b, a))], RATE)
        taps = Taps(self.subject)
        scopes: list[Scope] = []
        try:
            stream.start()
            self._disturb(step, random, scopes)
            allowed = frozenset(kind for scope in scopes for kind in scope.alarms) | self._recent()
            self._remember(scopes)
            outcome.violations, outcome.waited, outcome.seconds = self._settle(
                self.subject.overlay, allowed, PATIENCE
            )
        except (LabError, OSError, AssertionError, subprocess.TimeoutExpired) as error:
            outcome.violations.append(f"{type(error).__name__}: {error}")
        finally:
            stream.stop()
            stream.close()
            outcome.violations += taps.strays(stream.marks)
            taps.close()
        outcome.words = "; ".join(scope.words for scope in scopes)
        more = max(0, starved(self.subject.running) - lost_by_kernels)
        self._count(outcome, stream.counts(), scopes, (before, self.subject.overlay), more)
        self.ledger.take(self.subject, step.number)
        outcome.violations += self.ledger.growth(self.subject)
        return outcome

    def _disturb(self, step: Step, random: Random, scopes: list[Scope]) -> None:
        with ExitStack() as stack:
            for name in step.faults:
                scopes.append(stack.enter_context(FAULTS[name].inflict(self.subject, random)))
            if step.change is not None:
                content = text(step.after).encode()
                how = files.write(self.subject.file, content, random)
                self.subject.overlay = build(parse(content, "chaos"))
                wire = step.change.wire and not self.subject.central
                apart = step.change.wire and any(scope.forgets for scope in scopes)
                blips = frozenset(self.subject.hosts if apart else ())
                words = f"{step.change.name} ({how})"
                scopes.append(Scope(words, ports=step.change.ports, everything=wire, blips=blips))
            time.sleep(step.hold)

    def _settle(
        self, overlay: Overlay, allowed: frozenset[str], patience: float
    ) -> tuple[list[str], str, float]:
        began, waited = time.monotonic(), ""
        while True:
            self.subject.supervise()
            try:
                found = judge.complaints(self.subject, overlay, self._footings, allowed)
                found = found or list(self.ledger.files(self.subject))
            except (AssertionError, LabError, subprocess.TimeoutExpired) as error:
                found = [f"{type(error).__name__}: {error}"]
            took = time.monotonic() - began
            if not found or took > patience:
                return found, waited, took
            waited = found[0]
            time.sleep(CALM)

    def _remember(self, scopes: list[Scope]) -> None:
        """Alarms stay until what they are about has aged."""
        now = time.monotonic()
        for kind in (kind for scope in scopes for kind in scope.alarms):
            self._allowed[kind] = now + _AGES.get(kind, _AGE)

    def _recent(self) -> frozenset[str]:
        return frozenset(kind for kind, until in self._allowed.items() if until > time.monotonic())

    def _count(
        self,
        outcome: Outcome,
        counts: tuple[Count, ...],
        scopes: list[Scope],
        overlays: tuple[Overlay, Overlay],
        spare: int,
    ) -> None:
        for count in counts:
            covered = any(scope.covers(count, overlay) for scope in scopes for overlay in overlays)
            if count.duplicates and not covered:
                outcome.violations.append(
                    f"{count.duplicates} packets from {count.source} to {count.destination} came twice"
                )
            if not count.lost:
                continue
            if covered:
                outcome.lost += count.lost
                outcome.gap_ms = max(outcome.gap_ms, count.gap_ms)
            elif count.lost > spare:
                outcome.violations.append(
                    f"{count.lost} of {count.sent} packets from {count.source} to {count.destination} lost, "
                    f"the longest gap {count.gap_ms} ms; none may be"
                )
            else:
                spare -= count.lost


def keep_evidence(subject: Subject, outcome: Outcome, directory: Path) -> None:
    """Copy what an analysis needs: logs, the file, and what bridges and controllers say."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "violations.txt").write_text("\n".join([outcome.words, *outcome.violations, ""]))
    shutil.copytree(model.directory(subject.name) / "log", directory / "log", dirs_exist_ok=True)
    with suppress(OSError):
        shutil.copy(subject.file, directory / "overlay.yaml")
    for controller in subject.controllers:
        for path in ("/healthz", "/v1/hosts", "/v1/ports", "/v1/alarms", "/v1/locations"):
            with suppress(LabError):
                answer = str(subject.get(path, controller))
                (directory / f"{controller}{path.replace('/', '-')}.txt").write_text(answer)
    for host in subject.hosts:
        for name, command in _EVIDENCE.items():
            with suppress(AssertionError):
                (directory / f"{host}-{name}.txt").write_text(subject.run(host, *command, check=False))


_EVIDENCE: Mapping[str, tuple[str, ...]] = {
    "flows": ("ovs-ofctl", "-O", "OpenFlow13", "dump-flows", "br-int"),
    "vsctl": ("ovs-vsctl", "--timeout=5", "show"),
    "interfaces": (
        "ovs-vsctl",
        "--timeout=5",
        "--columns=name,ofport,error,ifindex,link_state",
        "list",
        "interface",
    ),
    "links": ("ip", "-d", "link"),
    "namespaces": ("ip", "netns"),
    "dpif": ("ovs-appctl", "dpctl/dump-flows"),
    "ports": ("ovs-appctl", "dpif/show"),
}
