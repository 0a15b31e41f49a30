"""Provisioning agent: converge, wait until the file, OVSDB or a device changes, converge again.

It waits in one poll(2), and looks at nothing in between but the flows that use a port which is to go. What it
is told only makes it look; what it then does depends on what it sees.
"""

from __future__ import annotations

import logging
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Collection, Iterable
from contextlib import suppress
from dataclasses import replace
from types import FrameType

from sdnapp.config import Invalid
from sdnapp.config_file import Loader, Watch, inotify
from sdnapp.net import agent_problems
from sdnapp.provision import drain, netns
from sdnapp.provision.converge import Goal, Outcome, converge, look
from sdnapp.provision.iface_id_thread import IfaceIdPublisher
from sdnapp.provision.ovs_library import Poller
from sdnapp.provision.ovsdb import Conflict, Database, Unreachable
from sdnapp.provision.tunnel_neighbors import TunnelNeighborRefresher
from sdnapp.provision.world import Port, World
from sdnapp.supervisor import Presence

log = logging.getLogger(__name__)

RETRY = 1.0
"""Seconds between attempts to reach an OVSDB that was not there at the start."""

RETRY_BACKOFF_MAX = 16.0
"""Seconds at most in which news of devices are no reason to try again what went wrong before, unless the host
is another than after the last try. Each time it is twice as long: trying may itself be what there is news of.
"""

GLANCE = 1.0
"""Seconds meanwhile between two looks at whether the host has changed."""

SETTLE = 30
"""Milliseconds without news after which a burst of them is over: no less than execute.PAUSE."""

CONTROLLER_HEAD_START = 0.1
"""Seconds for the controller to program what a changed file asks for, before devices change.

At the same moment they would make a userspace datapath lose packets (see execute.PAUSE).
"""

_GROUPS = 0x1 | 0x10 | 0x100  # links, IPv4 addresses, IPv6 addresses: RTMGRP_* of linux/rtnetlink.h
_SOL_NETLINK, _LISTEN_ALL_NSID = 270, 8  # linux/socket.h, linux/netlink.h


def watch(path: str, goal: Goal, remote: str) -> None:
    """Reconcile the host until SIGTERM or SIGINT; then exit with status 0 and leave it unchanged.

    ``goal`` holds what the file said last. Raises nothing: what is wrong is logged, and tried again when
    something changes.
    """
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _stop)
    signal.signal(signal.SIGHUP, _ignore_hangup)
    goal = replace(goal, noting=False)
    with Watch(path) as file:
        devices, loader, presence = _Devices(), Loader(path, file), Presence()
        goal = _reload(loader, goal)  # it may have changed before it was watched
        database = _connect(remote, presence)
        refresher, publisher = (
            TunnelNeighborRefresher(database.directory),
            IfaceIdPublisher(remote, goal.host),
        )
        outcome, backoff = Outcome(), 0.0
        since: dict[Port, float] = {}
        keys = _Keys()
        connected = ready = False
        provisioned = goal
        while True:
            seen = database.generation
            if database.connected != connected:
                connected = database.connected
                log.info("OVSDB at %s %s", remote, "answers" if connected else "is gone; waiting")
            publisher.follow(goal.overlay)
            if connected:
                time.sleep(CONTROLLER_HEAD_START if goal is not provisioned else 0)
                provisioned = goal
                now = time.monotonic()
                found = _converge(goal, database, drain.overdue(since, now), presence)
                before, outcome = outcome, found
                since = {port: since.get(port, now) for port in outcome.lingering}
                refresher.keep(_remotes(goal, database))
                database.acquaint()
                _log_outcome(outcome, before)
                _tell_controller(goal, database, outcome.problems)
                same = outcome.problems and outcome.problems == before.problems
                backoff = min(2 * backoff or 1.0, RETRY_BACKOFF_MAX) if same else 0.0
                if not ready:
                    log.info("ready")
                    ready = True
                devices.back_off(backoff, database)
            presence.ready(_status(remote, connected=connected, problems=outcome.problems))
            keys.follow(goal)
            for pause in drain.pauses():
                files = (file, *keys.watches)
                timeout = pause if since and connected else None
                if _wait(database, seen, files, devices, presence=presence, timeout=timeout):
                    break
                if drain.overdue(since, time.monotonic()) or drain.in_use(since, database)[0] != since.keys():
                    break
            keys.take_in()
            if file.changed(0):
                goal = _reload(loader, goal)


def _tell_controller(goal: Goal, database: Database, problems: Collection[str]) -> None:
    """Report problems to the controller in the description of the bridge."""
    if goal.overlay is not None:
        database.describe(goal.overlay.hosts[goal.host].bridge, agent_problems.description(problems))


def _stop(_number: int, _frame: FrameType | None) -> None:
    sys.exit(0)


def _ignore_hangup(_number: int, _frame: FrameType | None) -> None:
    """SIGHUP is accepted and ignored: the file is watched."""


def _status(remote: str, *, connected: bool, problems: Collection[str]) -> str:
    """Return a line for ``systemctl status``."""
    if not connected:
        return f"waits for OVSDB at {remote}"
    return f"{len(problems)} problems, see the journal" if problems else "the host is as the file says"


def _connect(remote: str, presence: Presence) -> Database:
    said = False
    while True:
        try:
            return Database(remote)
        except Unreachable as error:
            if not said:
                log.warning("%s Waiting for it", error)
                said = True
            presence.ready(_status(remote, connected=False, problems=()))
            presence.beat()
            time.sleep(RETRY)


def _converge(goal: Goal, database: Database, overdue: frozenset[Port], presence: Presence) -> Outcome:
    def done(step: str) -> None:
        log.info(step)
        presence.beat()

    try:
        return converge(goal, database, done, overdue)
    except Unreachable as error:
        return Outcome(problems=(str(error),))


def _remotes(goal: Goal, database: Database) -> list[str]:
    """Remote addresses of tunnels of the userspace datapath."""
    host = goal.overlay.hosts[goal.host] if goal.overlay else None
    bridge = database.read().bridges.get(host.bridge) if host else None
    userspace = bridge is not None and bridge.datapath_type == "netdev"
    tunnels = (*host.tunnels, *host.strangers) if host and userspace else ()
    return [str(tunnel.remote_ip) for tunnel in tunnels]


def _log_outcome(outcome: Outcome, before: Outcome) -> None:
    """Log problems and waits that are new since the previous pass, and those that have ended."""
    lines = [(logging.ERROR, problem) for problem in outcome.problems if problem not in before.problems]
    lines += [(logging.INFO, words) for words in outcome.waiting if words not in before.waiting]
    lingering = drain.words(outcome.lingering - before.lingering)
    lines += [(logging.INFO, words) for words in lingering]
    now = {*outcome.problems, *outcome.waiting}
    over = [words for words in (*before.problems, *before.waiting) if words not in now]
    lines += [(logging.INFO, f"no more: {words}") for words in over]
    for level, words in lines:
        log.log(level, words)


def _reload(loader: Loader, goal: Goal) -> Goal:
    """Read the file again; one that is invalid, or has lost this host, changes nothing."""
    try:
        overlay = loader.load()
    except Invalid as error:
        for problem in error.problems:
            log.error("%s", problem)
        log.error("the file is invalid: going on with what it said before")
        return replace(goal, outdated=True)
    if goal.host not in overlay.hosts:
        log.error(
            "no host %s in the file any more: going on with what it said before "
            "('sdnapp provision FILE --host %s --remove' takes down what is here)",
            goal.host,
            goal.host,
        )
        return replace(goal, outdated=True)
    if overlay != goal.overlay:
        log.info("the file has changed")
    elif goal.outdated:
        log.info("the file is valid again, and says what it said before")
    else:
        return goal
    return replace(goal, overlay=overlay, outdated=False)


class _Keys:
    """Watches the TLS files of the host while its bridge is to connect by ``ssl:``."""

    def __init__(self) -> None:
        self._by_path: dict[str, Watch] = {}

    @property
    def watches(self) -> Iterable[Watch]:
        """A watch for each file."""
        return self._by_path.values()

    def follow(self, goal: Goal) -> None:
        """Watch the files that the goal needs now, and no others."""
        paths = set(goal.tls_files)
        for path in self._by_path.keys() - paths:
            self._by_path.pop(path).close()
        self._by_path |= {path: Watch(path) for path in paths - self._by_path.keys()}

    def take_in(self) -> None:
        """Take in what happened to them."""
        for watch in self._by_path.values():
            watch.changed(0)


class _Devices:
    """Has news when a device or an address changes, here or in a namespace, or a namespace's name does.

    netlink(7) tells of the namespaces that a veth of this one leads to, as the kernel has numbers for them. A
    namespace that loses its name and has a process in it stays, and netlink says nothing: inotify(7) does.
    """

    def __init__(self) -> None:
        self._news = socket.socket(
            socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.NETLINK_ROUTE
        )
        self._news.setsockopt(_SOL_NETLINK, _LISTEN_ALL_NSID, 1)
        self._news.bind((0, _GROUPS))
        self._names = inotify(str(netns.directory()))
        self._listening = self._glance = 0.0
        self._kept: World | None = None
        self._unread = self._late = False

    def back_off(self, seconds: float, database: Database) -> None:
        """Defer device events for this time, as long as the host is unchanged."""
        self._listening, self._glance = (
            time.monotonic() + pause for pause in (seconds, min(seconds, GLANCE))
        )
        self._kept = _seen(database) if seconds else None
        self._unread = self._late = False

    def wait(self, poller: Poller) -> None:
        """Wake up for events, or when deferred ones are due."""
        poller.fd_wait(self._news.fileno(), select.POLLIN)
        poller.fd_wait(self._names, select.POLLIN)
        if self._unread or self._late:
            due = self._glance if self._unread else self._listening
            poller.timer_wait(max(0, round((due - time.monotonic()) * 1000)) + 1)

    def changed(self, database: Database) -> bool:
        """Read all there is, until nothing came for a while; whether there was any that matters now."""
        news = self._read()
        now = time.monotonic()
        if now >= self._listening:
            return news or self._unread or self._late
        self._unread |= news
        if self._unread and now >= self._glance:
            self._unread, self._late, self._glance = False, True, now + GLANCE
            return self._kept is None or _seen(database) != self._kept
        return False

    def _read(self) -> bool:
        news = False
        sources = [self._news.fileno(), self._names]
        while ready := select.select(sources, [], [], SETTLE / 1000 if news else 0)[0]:
            news = True
            with suppress(OSError):  # ENOBUFS: some were lost, which is news enough
                os.read(ready[0], 65536)
        return news


def _seen(database: Database) -> World | None:
    """State of this host; None if it changes meanwhile or cannot be read."""
    try:
        return look(database)
    except (Conflict, Unreachable):
        return None


def _wait(
    database: Database,
    seen: int,
    files: Collection[Watch],
    devices: _Devices,
    *,
    presence: Presence,
    timeout: float | None,
) -> bool:
    """Return True when OVSDB is another than ``seen``, or a device or a file has changed.

    False after ``timeout`` seconds.
    """
    end = None if timeout is None else time.monotonic() + timeout
    while True:
        presence.beat()
        poller = Poller()
        database.wait(poller)
        for file in files:
            poller.fd_wait(file.fileno(), select.POLLIN)
        devices.wait(poller)
        if end is not None:
            poller.timer_wait(max(0, round((end - time.monotonic()) * 1000)))
        if presence.pause is not None:
            poller.timer_wait(round(presence.pause * 1000))
        if database.generation == seen:
            poller.block()
        news = devices.changed(database)
        database.take_in()
        if news or database.generation != seen or select.select(files, [], [], 0)[0]:
            return True
        if end is not None and time.monotonic() >= end:
            return False
