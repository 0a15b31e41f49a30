"""``./run attack``: hostile frames from every kind of port for as long as asked, and what came of them."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import click
from rich.console import Console
from rich.table import Table

from sdnapp.lab import lifecycle
from tests.attack.arena import Arena, arena
from tests.attack.campaign import BATCH, Campaign
from tests.attack.ground import KINDS
from tests.attack.services import Services
from tests.netns.conftest import Running, new_name


@click.command()
@click.option("--seed", default=1, show_default=True, help="The same seed gives the same frames.")
@click.option("--minutes", default=1.0, show_default=True, help="How long, in all.")
@click.option("--kind", "kinds", multiple=True, type=click.Choice(list(KINDS)), help="Only from these.")
@click.option("--only", multiple=True, type=int, help="Only these shots, as a finding names them.")
def main(seed: int, minutes: float, kinds: tuple[str, ...], only: tuple[int, ...]) -> None:
    """Send hostile frames in a lab of three hosts with every feature on; exit code 1: a finding."""
    began = time.monotonic()
    with _lab() as there, ExitStack() as stack:
        services = Services(there, stack)
        campaigns = [Campaign(there, services, kind, seed) for kind in kinds or KINDS]
        if not only:
            _asides(campaigns)
        rounds = 1 if only else sys.maxsize
        for number in range(rounds):
            for campaign in campaigns:
                campaign.begin()
                campaign.batch(only or range(number * BATCH, (number + 1) * BATCH))
            done = time.monotonic() - began
            told = sum(len(campaign.tally.guilt) for campaign in campaigns)
            sent = sum(campaign.tally.frames for campaign in campaigns)
            click.echo(f"{done:6.0f} s  {sent:9,} frames  {told} findings", err=True)
            if done > minutes * 60:
                break
    sys.exit(report(campaigns))


def _asides(campaigns: list[Campaign]) -> None:
    """What is not by number: questions for listeners, and answers to DHCP clients."""
    for campaign in campaigns:
        campaign.begin()
        campaign.queries(BATCH)
        campaign.leases()


def report(campaigns: list[Campaign]) -> int:
    """Print findings and the table; the exit code."""
    for campaign in campaigns:
        for guilt in campaign.tally.guilt:
            click.echo(guilt.told())
            click.echo(f"  {campaign.tally.counts[guilt.signature]} times")
    table = Table("sender", "shots", "frames", "refused by its kernel", "came out", "findings")
    for campaign in campaigns:
        tally = campaign.tally
        numbers = (tally.shots, tally.frames, tally.refused, tally.seen, len(tally.guilt))
        table.add_row(campaign.kind, *(f"{number:,}" for number in numbers))
    Console().print(table)
    return int(any(campaign.tally.guilt for campaign in campaigns))


@contextmanager
def _lab() -> Iterator[Arena]:
    """A lab of its own, taken down whatever happens."""
    name = new_name()
    with TemporaryDirectory() as directory:

        def start(text: str) -> Running:
            file = Path(directory) / "overlay.yaml"
            file.write_text(text)
            return Running(lifecycle.up(name, file, lambda _: None).name)

        try:
            with arena(start) as there:
                yield there
        finally:
            lifecycle.down(name)


if __name__ == "__main__":
    main()
