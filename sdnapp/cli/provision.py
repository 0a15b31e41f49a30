"""``sdnapp provision``: make this machine what the file says of one host."""

from __future__ import annotations

import os
import re
import socket
import sys
from typing import NoReturn

import click

from sdnapp import log
from sdnapp.cli.output import echo
from sdnapp.config import Invalid
from sdnapp.config_file import load
from sdnapp.provision import drain
from sdnapp.provision.agent import watch
from sdnapp.provision.converge import Goal, Outcome, converge_patiently, look, plan
from sdnapp.provision.ovsdb import DEFAULT_REMOTE, Conflict, Database, Unreachable
from sdnapp.provision.single import Taken, only_one

TARGET = re.compile(r"(tcp|ssl|unix):.+")


@click.command()
@click.argument("file", type=click.Path())
@click.option("--host", help="Which host of FILE this machine is; by default that of the machine's name.")
@click.option("--ovsdb", default=DEFAULT_REMOTE, show_default=True, help="Where OVSDB is.")
@click.option("--controller", help="Where the bridge connects, instead of where FILE says.")
@click.option("--userspace", is_flag=True, help="Let 'datapath: auto' mean netdev, as labs do.")
@click.option("--watch", "watching", is_flag=True, help="Stay, and follow the file and the host.")
@click.option("--dry-run", is_flag=True, help="Print what would be done, and do nothing.")
@click.option("--remove", is_flag=True, help="Take down all that was provisioned here.")
def provision(
    *,
    file: str,
    host: str | None,
    ovsdb: str,
    controller: str | None,
    userspace: bool,
    watching: bool,
    dry_run: bool,
    remove: bool,
) -> None:
    """Make this machine what FILE says of one of its hosts.

    That is bridges, tunnels, namespaces, veths and addresses. A second run changes nothing. What FILE no
    longer wants is removed, what others made is never touched. Exit status 0 if all is as it should be, 1 if
    something cannot be, 2 for a mistake in the call or in FILE.
    """
    if watching and (dry_run or remove):
        _refuse("--watch goes with neither --dry-run nor --remove")
    if controller is not None and not TARGET.fullmatch(controller):
        _refuse(f"--controller {controller}: expected something like tcp:192.0.2.1:6653")
    if os.geteuid() != 0:
        _refuse("provisioning a host needs root: use sudo")
    try:
        overlay = load(file)
    except Invalid as error:
        echo(error, err=True)
        sys.exit(2)
    name = host or socket.gethostname().partition(".")[0]
    if name not in overlay.hosts and not (remove and host):
        remedy = "" if host else ". Name one with --host"
        _refuse(f"no host {name} in {file}: it has {', '.join(overlay.hosts)}{remedy}")

    goal = Goal(name, None if remove else overlay, controller, userspace)
    try:
        if watching:
            log.to_stderr("text")
            with only_one(ovsdb):
                watch(file, goal, ovsdb)
        else:
            _once(goal, ovsdb, dry_run)
    except Taken as taken:
        _refuse(f"{taken}. Stop it first, or leave --watch out")
    except (Conflict, Unreachable) as error:
        raise click.ClickException(str(error)) from None


def _once(goal: Goal, remote: str, dry_run: bool) -> NoReturn:
    """Do or print the plan, then exit."""
    database = Database(remote, lambda words: echo(words, err=True))
    if dry_run:
        planned = plan(goal, look(database))
        steps = (*planned.steps, *planned.ends)
        for step in steps:
            echo(step)
        outcome = Outcome(steps, planned.problems)
    else:
        outcome = converge_patiently(goal, database, echo)
    for words in outcome.waiting:
        echo(words)
    for words in drain.words(outcome.lingering):
        echo(f"{words}; run again or use --watch")
    for problem in outcome.problems:
        echo(problem, err=True)
    if not outcome.steps and not outcome.lingering:
        click.echo("nothing to do")
    sys.exit(1 if outcome.problems else 0)


def _refuse(words: str) -> NoReturn:
    echo(f"Error: {words}", err=True)
    sys.exit(2)
