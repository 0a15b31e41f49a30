"""TLS contexts from PEM files, with messages that name the file and the remedy, and names of peers.

Nothing here reads from or writes to a connection; ``sdnapp.tls.stream`` does. Each connection begins with the
context that is newest then, so files may be replaced while connections live.
"""

from __future__ import annotations

import os
import ssl
from hashlib import sha256
from typing import Any, Literal, NoReturn

from sdnapp.net.model import TlsFiles

ClientCertificate = Literal["required", "optional", "none"]
"""Whether a client must present a certificate of the CA, may, or is not asked for one."""

_MODES = {"required": ssl.CERT_REQUIRED, "optional": ssl.CERT_OPTIONAL, "none": ssl.CERT_NONE}
_MOST = 1_000_000
"""Bytes of a file that are looked at."""
_PERMISSION = "let the service read it (group, or LoadCredential= of systemd.exec(5))"


class Unusable(Exception):
    """A key, certificate or CA cannot be used; the text names the file and the remedy."""


def server_context(files: TlsFiles, *, client: ClientCertificate) -> ssl.SSLContext:
    """A context of TLS 1.2 or newer: ``files.certificate`` for us, and ``files.ca`` to verify clients.

    Sessions are not resumed: a resumed one would be accepted after its certificate has expired (RFC 8446,
    section 4.6.1). Raises ``Unusable``.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.options |= ssl.OP_NO_TICKET | ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE
    context.num_tickets = 0
    context.verify_mode = _MODES[client]
    _load(context, files, ca=client != "none")
    return context


def client_context(
    *, ca: str | None, key: str | None = None, certificate: str | None = None
) -> ssl.SSLContext:
    """A context that verifies the server's chain and host name; by the system's CAs where ``ca`` is None.

    With ``key`` and ``certificate`` it answers a server that asks for one. Raises ``Unusable``.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if ca is None:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    else:
        _load_ca(context, ca)
    if certificate is not None:
        _load_chain(context, certificate, key or certificate)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


class Credentials:
    """The context of files that may be replaced: connections keep theirs, new ones begin with the newest."""

    def __init__(self, files: TlsFiles, *, client: ClientCertificate) -> None:
        """Read the files. Raises ``Unusable``."""
        self.files = files
        self._client = client
        self._digest = self._contents()
        self.context = server_context(files, client=client)

    def renew(self) -> bool:
        """Read the files again; whether they changed. Raises ``Unusable``: what was read before counts."""
        digest = self._contents()  # first: what changes meanwhile is found the next time
        context = server_context(self.files, client=self._client)
        changed = digest != self._digest
        if changed:
            self.context, self._digest = context, digest
        return changed

    def _contents(self) -> bytes:
        return b"".join(sha256(_read(path)).digest() for path in self.paths)

    @property
    def paths(self) -> tuple[str, ...]:
        """The files that are read."""
        files = (self.files.key, self.files.certificate, self.files.ca)
        return files[:2] if self._client == "none" else files


def peer_names(connection: Any) -> frozenset[str]:
    """Names of the verified peer: DNS names of its subject alternative name, and its common name.

    None for a connection without TLS, and for a peer without a certificate.
    """
    describe = getattr(connection, "getpeercert", None)
    certificate = (describe() if describe else None) or {}
    alternative = {value for kind, value in certificate.get("subjectAltName", ()) if kind == "DNS"}
    subject = (part for parts in certificate.get("subject", ()) for part in parts)
    return frozenset(alternative | {value for kind, value in subject if kind == "commonName"})


def _load(context: ssl.SSLContext, files: TlsFiles, *, ca: bool) -> None:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    _load_chain(context, files.certificate, files.key)
    if ca:
        _load_ca(context, files.ca)


def _load_ca(context: ssl.SSLContext, path: str) -> None:
    _read(path)
    try:
        context.load_verify_locations(path)
    except (ssl.SSLError, OSError):
        raise Unusable(f"{path} holds no certificate in PEM: is it the right file?") from None


def _load_chain(context: ssl.SSLContext, certificate: str, key: str) -> None:
    _read(certificate)
    _read(key)

    def refuse() -> NoReturn:
        raise Unusable(f"{key} is encrypted, and a service has no password for it; decrypt it")

    try:
        context.load_cert_chain(certificate, key, password=refuse)
    except ssl.SSLError as error:
        if "MISMATCH" in (error.reason or ""):
            raise Unusable(f"{key} is not the key of {certificate}: replace both together") from None
        raise Unusable(_unread(certificate, key)) from None
    except OSError as error:  # gone since
        raise Unusable(f"cannot read {certificate} or {key}: {(error.strerror or '').lower()}") from None


def _unread(certificate: str, key: str) -> str:
    """Which of the two files OpenSSL could not read; it does not say."""
    for path, mark in ((certificate, b"-----BEGIN CERTIFICATE"), (key, b"PRIVATE KEY-----")):
        if mark not in _read(path):
            what = "certificate" if path == certificate else "private key"
            return f"{path} holds no {what} in PEM: is it the right file?"
    return f"{certificate} and {key} cannot be used: OpenSSL refuses them (a broken file, or a key too short)"


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(_MOST)
    except PermissionError:
        raise Unusable(f"cannot read {path}: permission denied; {_PERMISSION}") from None
    except OSError as error:
        reason = (error.strerror or os.strerror(error.errno or 0)).lower()
        raise Unusable(f"cannot read {path}: {reason}") from None
