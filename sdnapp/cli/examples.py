"""``sdnapp examples``: the example files that come with the package."""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path

import click

from sdnapp.shipped import examples as shipped


@click.command()
@click.argument("name", required=False)
def examples(name: str | None) -> None:
    """List the example files, or print the one that is called NAME.

    For a file of your own to begin with: sdnapp examples two-hosts > overlay.yaml
    """
    known = shipped()
    if name is None:
        width = max(map(len, known))
        for each, path in known.items():
            click.echo(f"{each:{width}}  {_summary(path)}")
        return
    wanted = name.removesuffix(".yaml")
    if wanted not in known:
        meant = get_close_matches(name, known, 1)
        remedy = f"Did you mean '{meant[0]}'?" if meant else f"There are {', '.join(known)}."
        raise click.UsageError(f"there is no example '{name}'. {remedy}")
    click.echo(known[wanted].read_text(encoding="utf-8"), nl=False)


def _summary(path: Path) -> str:
    """Return the first sentence of the comment at the top of a file."""
    words: list[str] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            break
        words.append(line.removeprefix("#").strip())
    sentence, dot, _ = " ".join(words).partition(". ")
    return sentence + ("." if dot else "")
