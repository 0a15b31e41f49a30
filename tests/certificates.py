"""Certificates for tests: a small PKI, and the files of each of its parties."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path

from sdnapp.net.model import TlsFiles
from sdnapp.pki.authority import Kind, make_authorities, make_leaf

HERE = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, slots=True)
class Pki:
    """Authorities in ``directory``, and what they sign."""

    directory: Path

    @classmethod
    def begin(cls, directory: Path) -> Pki:
        """New authorities, which began a year ago, so that they may sign what ended since."""
        make_authorities(directory, now=datetime.now(timezone.utc) - timedelta(days=365))
        return cls(directory)

    def make(
        self, kind: Kind, name: str, *, addresses: Iterable[str] = HERE, since: float = 0, days: int = 1
    ) -> TlsFiles:
        """A leaf made ``since`` days ago for so many days; ``ca`` is the first that its holder trusts."""
        now = datetime.now(timezone.utc) - timedelta(days=since)
        folder = make_leaf(self.directory, kind, name, addresses=addresses, now=now, days=days, force=True)
        ca = {"host": "controller-ca", "controller": "switch-ca", "operator": "controller-ca"}[kind]
        return TlsFiles(*(str(folder / each) for each in (f"{kind}.key", f"{kind}.crt", f"{ca}.crt")))

    def ca(self, name: str) -> str:
        """The file of an authority."""
        return str(self.directory / "ca" / f"{name}.crt")
