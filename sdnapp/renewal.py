"""Reload of keys and credentials when their files change, and on SIGHUP.

One that cannot be used changes nothing: what was read before stays in force, and the log says why.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from os_ken.lib import hub

from sdnapp.config_file import Watch
from sdnapp.log import event
from sdnapp.tls import Unusable

LOG = logging.getLogger("sdnapp")


@dataclass(frozen=True, slots=True)
class Renewable:
    """What is read of some files. ``renew`` says whether it changed, and raises ``Unusable``."""

    what: str
    paths: tuple[str, ...]
    renew: Callable[[], bool]


def renew(parts: Sequence[Renewable]) -> None:
    """Read all of them again."""
    for part in parts:
        try:
            changed = part.renew()
        except Unusable as error:
            event(LOG, "files.kept", level=logging.WARNING, what=part.what, reason=str(error))
        else:
            if changed:
                event(LOG, "files.renewed", what=part.what)


def follow(parts: Sequence[Renewable]) -> None:
    """Read each again whenever one of its files changes, from now on, in the background."""
    for part in parts:
        for path in part.paths:
            hub.spawn(_follow, Watch(path), part)


def _follow(watch: Watch, part: Renewable) -> None:
    while True:
        if watch.changed(None):
            renew([part])
