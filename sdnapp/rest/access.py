"""Access file of REST: bearer tokens and certificate names with their scopes, one entry a line.

A line is ``NAME SCOPES CREDENTIAL``: scopes with commas between them, and as the credential ``sha256:`` with
the digest of a token in hexadecimal, or ``certificate`` for the client with a certificate of this name.
Tokens are 256 random bits, which a plain digest protects as well as a slow one would.
"""

from __future__ import annotations

import os
import re
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from hmac import compare_digest
from typing import Literal, get_args

from sdnapp.tls import Unusable

Scope = Literal["read", "operate"]
"""``read``: all GET requests. ``operate``: also the POST requests, such as unfreezing a MAC."""
SCOPES: tuple[Scope, ...] = get_args(Scope)

PREFIX = "sdnapp_"
"""Prefix of tokens, for secret scanners."""
_CERTIFICATE = "certificate"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_DIGEST = re.compile(r"sha256:([0-9a-f]{64})")
_BYTES = 1_000_000


@dataclass(frozen=True, slots=True)
class Entry:
    """A client. ``digest``: of its token, in hexadecimal; None: it has a certificate of this name."""

    name: str
    scopes: frozenset[Scope]
    digest: str | None

    def __str__(self) -> str:
        credential = _CERTIFICATE if self.digest is None else f"sha256:{self.digest}"
        return f"{self.name} {','.join(sorted(self.scopes))} {credential}"

    def allows(self, scope: Scope) -> bool:
        """Whether it has the scope, or one that includes it."""
        return scope in self.scopes or (scope == "read" and "operate" in self.scopes)


@dataclass(frozen=True, slots=True)
class Access:
    """All entries of a file."""

    entries: tuple[Entry, ...]

    def of_token(self, token: str) -> Entry | None:
        """Client of a token. Constant time: every entry is compared."""
        digest, found = digest_of(token), None
        for entry in self.entries:
            if compare_digest(entry.digest or "", digest):
                found = entry
        return found

    def of_names(self, names: frozenset[str]) -> Entry | None:
        """The client with one of these names in its verified certificate."""
        return next((e for e in self.entries if e.digest is None and e.name in names), None)


def digest_of(token: str) -> str:
    """Digest of a token, as stored."""
    return sha256(token.encode("utf-8", "surrogateescape")).hexdigest()


def new_token() -> str:
    """Generate a random token."""
    return PREFIX + secrets.token_urlsafe(32)


def parse(text: str, source: str) -> Access:
    """The entries in ``text``. Raises ``Unusable`` with the first line that is none."""
    entries: list[Entry] = []
    for number, line in enumerate(text.splitlines(), 1):
        words = line.partition("#")[0].split()
        if words:
            entries.append(_entry(words, f"{source}:{number}"))
            if any(_same(entries[-1], other) for other in entries[:-1]):
                raise Unusable(f"{source}:{number}: {entries[-1].name} is here twice: remove one of them")
    return Access(tuple(entries))


def read(path: str) -> Access:
    """The entries of a file. Raises ``Unusable``."""
    return parse(_text(path), path)


def add(path: str, entry: Entry) -> None:
    """Add an entry to the file, at once or not at all; there need be no file yet. Raises ``Unusable``."""
    text = _text(path) if os.path.exists(path) else _HEAD
    text += "" if text.endswith("\n") else "\n"
    parse(f"{text}{entry}\n", path)
    _replace(path, f"{text}{entry}\n")


def remove(path: str, name: str) -> int:
    """Remove the entries of this name; how many there were. Raises ``Unusable``."""
    text = _text(path)
    parse(text, path)
    lines = text.splitlines(keepends=True)
    kept = [line for line in lines if line.partition("#")[0].split()[:1] != [name]]
    if len(kept) < len(lines):
        _replace(path, "".join(kept))
    return len(lines) - len(kept)


_HEAD = "# name scopes credential; 'sdnapp token' changes this file\n"


def _same(one: Entry, other: Entry) -> bool:
    return one.name == other.name and (one.digest is None) == (other.digest is None)


def _entry(words: list[str], where: str) -> Entry:
    if len(words) != 3:
        raise Unusable(f"{where}: {len(words)} words instead of NAME SCOPES CREDENTIAL")
    name, scopes, credential = words
    if not _NAME.fullmatch(name):
        raise Unusable(f"{where}: {name!r} is not a name: letters, digits, '-', '_' and '.', 64 at most")
    for scope in scopes.split(","):
        if scope not in SCOPES:
            raise Unusable(f"{where}: {scope!r} is not a scope: use {' or '.join(SCOPES)}")
    digest = _DIGEST.fullmatch(credential)
    if digest is None and credential != _CERTIFICATE:
        # Not quoted: it may be a token in place of its digest.
        raise Unusable(f"{where}: the credential is neither sha256: with 64 digits nor certificate")
    return Entry(name, frozenset(_scopes(scopes)), digest[1] if digest else None)


def _scopes(text: str) -> Iterator[Scope]:
    return (scope for scope in SCOPES if scope in text.split(","))


def _text(path: str) -> str:
    try:
        with open(path, "rb") as file:
            data = file.read(_BYTES)
    except PermissionError:
        raise Unusable(f"cannot read {path}: permission denied; let the service read it") from None
    except OSError as error:
        remedy = ": 'sdnapp token new' makes it" if isinstance(error, FileNotFoundError) else ""
        raise Unusable(f"cannot read {path}: {(error.strerror or '').lower()}{remedy}") from None
    try:
        return data.decode("ascii")
    except UnicodeDecodeError:
        raise Unusable(f"{path} is not ASCII text: is it the right file?") from None


def _replace(path: str, text: str) -> None:
    """Write the file anew, with the owner and the permissions that it has; 0640 for a new one."""
    try:
        descriptor, draft = tempfile.mkstemp(prefix=f".{os.path.basename(path)}.", dir=os.path.dirname(path))
        try:
            with open(descriptor, "w", encoding="ascii") as file:
                before = os.stat(path) if os.path.exists(path) else None
                os.fchmod(descriptor, before.st_mode & 0o777 if before else 0o640)
                if before:
                    os.fchown(descriptor, before.st_uid, before.st_gid)
                file.write(text)
                file.flush()
                os.fsync(descriptor)
            os.replace(draft, path)
        except BaseException:
            with suppress(OSError):
                os.unlink(draft)
            raise
    except OSError as error:
        raise Unusable(f"cannot write {path}: {(error.strerror or '').lower()}") from None
