"""Authentication of REST clients: TLS, and a token or a certificate, by files that may be replaced."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address

from sdnapp.net.model import Rest, TlsFiles
from sdnapp.renewal import Renewable
from sdnapp.rest import access
from sdnapp.rest.access import Access, Entry, Scope
from sdnapp.rest.routes import Problem
from sdnapp.tls import Credentials

OPEN_ON_LOOPBACK = "/healthz"
"""Answered without credentials on the machine itself: probes there need none."""


@dataclass(frozen=True, slots=True)
class Visitor:
    """Client of a request: address, ``Authorization`` header, names of the verified certificate."""

    address: str
    authorization: str | None
    names: frozenset[str]


class Door:
    """Authenticator of requests; without ``rest_access`` in the file, all are admitted."""

    def __init__(self, rest: Rest, tls: TlsFiles) -> None:
        """Read all files. Raises ``Unusable``."""
        self._path = rest.access
        self._access: Access | None = access.read(rest.access) if rest.access else None
        self.credentials: Credentials | None = None
        if rest.tls:
            files = TlsFiles(tls.key, tls.certificate, rest.client_ca or "")
            self.credentials = Credentials(files, client="optional" if rest.client_ca else "none")

    def admit(self, visitor: Visitor, path: str) -> Entry | None:
        """Authenticate a client; None without ``rest_access``. Raises ``Problem`` 401 or 403."""
        if self._access is None or (path == OPEN_ON_LOOPBACK and _is_loopback(visitor.address)):
            return None
        scheme, _, token = (visitor.authorization or "").partition(" ")
        if scheme.lower() == "bearer":
            if (entry := self._access.of_token(token.strip())) is not None:
                return entry
            raise Problem(401, "this token is not known here", "'sdnapp token new' makes one")
        if visitor.names:
            if (entry := self._access.of_names(visitor.names)) is not None:
                return entry
            names = " ".join(sorted(visitor.names))
            raise Problem(
                403, f"the certificate of {names} has no scope", "'sdnapp token allow' gives it one"
            )
        remedy = "send Authorization: Bearer TOKEN; 'sdnapp token new' makes one, --token-file uses it"
        raise Problem(401, "this needs a token", remedy)

    @property
    def files(self) -> tuple[Renewable, ...]:
        """What may be renewed while it serves."""
        secure, path = self.credentials, self._path
        tls = () if secure is None else (Renewable("TLS of REST", secure.paths, secure.renew),)
        return tls if path is None else (*tls, Renewable("access to REST", (path,), self._renew_access))

    def _renew_access(self) -> bool:
        assert self._path is not None
        before, self._access = self._access, access.read(self._path)
        return self._access != before


def demand(entry: Entry | None, scope: Scope) -> None:
    """Raise ``Problem`` 403 where a client lacks the scope; None: it needs none."""
    if entry is not None and not entry.allows(scope):
        has = " and ".join(sorted(entry.scopes))
        raise Problem(403, f"{entry.name} may {has}, this needs {scope}", f"use a token of scope {scope}")


def _is_loopback(address: str) -> bool:
    try:
        ip = ip_address(address)
    except ValueError:
        return False
    return (getattr(ip, "ipv4_mapped", None) or ip).is_loopback
