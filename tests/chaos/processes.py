"""Faults of processes: ended, stopped, started again, as by crashes, upgrades and supervisors."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from random import Random

from sdnapp.lab import services
from tests.chaos.fault import fault
from tests.chaos.scope import Scope, of_host
from tests.chaos.subject import Subject


@fault("controller", loses="nothing")
def controller_killed(subject: Subject, random: Random) -> Iterator[Scope]:
    where = random.choice(subject.controllers)
    subject.end(where, services.CONTROLLER)
    yield Scope(f"controller killed ({where})")
    subject.start(where, services.CONTROLLER)


@fault("controller", loses="nothing")
def controller_terminated(subject: Subject, random: Random) -> Iterator[Scope]:
    where = random.choice(subject.controllers)
    subject.end(where, services.CONTROLLER, signal.SIGTERM)
    yield Scope(f"controller terminated ({where})")
    subject.start(where, services.CONTROLLER)


@fault("controller", loses="nothing")
def controller_stopped(subject: Subject, random: Random) -> Iterator[Scope]:
    """It may be for longer than a watchdog takes: then it ends itself, and its supervisor starts it."""
    where, seconds = random.choice(subject.controllers), random.choice([0.5, 2.0, 2.0, 7.0, 14.0])
    subject.signal(where, services.CONTROLLER, signal.SIGSTOP)
    try:
        time.sleep(seconds)
        yield Scope(f"controller stopped for {seconds:.1f} s ({where})")
    finally:
        subject.signal(where, services.CONTROLLER, signal.SIGCONT)
    time.sleep(1.0)  # for a watchdog to end it
    subject.start(where, services.CONTROLLER)


@fault("controller", loses="nothing")
def controller_killed_again_and_again(subject: Subject, random: Random) -> Iterator[Scope]:
    """It ends at any point of its start."""
    where, times = random.choice(subject.controllers), random.randrange(2, 6)
    for _ in range(times):
        subject.end(where, services.CONTROLLER)
        subject.start(where, services.CONTROLLER)
        time.sleep(random.uniform(0.2, 2.0))
    yield Scope(f"controller killed {times} times ({where})")


@fault("agent", loses="nothing")
def agent_killed(subject: Subject, random: Random) -> Iterator[Scope]:
    host = random.choice(subject.hosts)
    subject.end(host, services.AGENT)
    yield Scope(f"agent killed ({host})")
    subject.start(host, services.AGENT)


@fault("agent", loses="nothing")
def agent_stopped(subject: Subject, random: Random) -> Iterator[Scope]:
    host, seconds = random.choice(subject.hosts), random.choice([0.5, 2.0, 5.0])
    subject.signal(host, services.AGENT, signal.SIGSTOP)
    try:
        time.sleep(seconds)
        yield Scope(f"agent stopped for {seconds:.1f} s ({host})")
    finally:
        subject.signal(host, services.AGENT, signal.SIGCONT)


@fault("agent", loses="nothing")
def agent_killed_again_and_again(subject: Subject, random: Random) -> Iterator[Scope]:
    host, times = random.choice(subject.hosts), random.randrange(2, 6)
    for _ in range(times):
        subject.end(host, services.AGENT)
        subject.start(host, services.AGENT)
        time.sleep(random.uniform(0.2, 1.5))
    yield Scope(f"agent killed {times} times ({host})")


@fault("openvswitch", loses="streams of its host")
def switch_killed(subject: Subject, random: Random) -> Iterator[Scope]:
    host = random.choice(subject.hosts)
    subject.end(host, services.VSWITCHD)
    yield of_host(f"ovs-vswitchd killed ({host})", host)
    subject.start(host, services.VSWITCHD)


@fault("openvswitch", loses="streams of its host")
def switch_terminated(subject: Subject, random: Random) -> Iterator[Scope]:
    host = random.choice(subject.hosts)
    subject.end(host, services.VSWITCHD, signal.SIGTERM)
    yield of_host(f"ovs-vswitchd terminated ({host})", host)
    subject.start(host, services.VSWITCHD)


@fault("openvswitch", loses="streams of its host")
def switch_stopped(subject: Subject, random: Random) -> Iterator[Scope]:
    """Long enough, sometimes, for the controller to give its connection up."""
    host, seconds = random.choice(subject.hosts), random.choice([0.5, 2.0, 5.0, 12.0])
    subject.signal(host, services.VSWITCHD, signal.SIGSTOP)
    try:
        time.sleep(seconds)
        yield of_host(f"ovs-vswitchd stopped for {seconds:.1f} s ({host})", host)
    finally:
        subject.signal(host, services.VSWITCHD, signal.SIGCONT)


@fault("openvswitch", loses="streams of its host")
def database_killed(subject: Subject, random: Random) -> Iterator[Scope]:
    """A userspace datapath forwards nothing without its database; see ``sdnapp.lab.sockets``."""
    host = random.choice(subject.hosts)
    subject.end(host, services.OVSDB)
    yield of_host(f"ovsdb-server killed ({host})", host)
    subject.start(host, services.OVSDB)


@fault("openvswitch", loses="streams of its host")
def database_stopped(subject: Subject, random: Random) -> Iterator[Scope]:
    host, seconds = random.choice(subject.hosts), random.choice([0.5, 2.0, 6.0])
    subject.signal(host, services.OVSDB, signal.SIGSTOP)
    try:
        time.sleep(seconds)
        yield of_host(f"ovsdb-server stopped for {seconds:.1f} s ({host})", host)
    finally:
        subject.signal(host, services.OVSDB, signal.SIGCONT)


@fault("openvswitch", loses="streams of its host")
def open_vswitch_upgraded(subject: Subject, random: Random) -> Iterator[Scope]:
    """Both daemons end, and come back in order."""
    host = random.choice(subject.hosts)
    subject.end(host, services.VSWITCHD, signal.SIGTERM)
    subject.end(host, services.OVSDB, signal.SIGTERM)
    yield of_host(f"Open vSwitch restarted ({host})", host)
    subject.start(host, services.OVSDB)
    subject.start(host, services.VSWITCHD)
