"""Certificates for OpenFlow and REST: a CA for controllers, one for bridges, and one for operators.

Controllers trust the switch CA alone, bridges the controller CA alone: the stolen key of a host makes no
controller. Operators have a CA of their own: none of their keys makes a bridge. The names of a leaf are its
common name and the DNS names and IP addresses of its subject alternative name (RFC 5280, section 4.2.1.6).
Keys are ECDSA P-256.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from secrets import token_hex
from typing import Literal

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

Kind = Literal["host", "controller", "operator"]

CA_DAYS, LEAF_DAYS = 3650, 90
SKEW = timedelta(hours=1)
"""A certificate is valid from so long before it was made: clocks differ."""


@dataclass(frozen=True, slots=True)
class Role:
    """What a kind of leaf is for: the CA that signs it, its use in TLS, and the CAs that its holder needs."""

    folder: str
    signer: str
    usage: ObjectIdentifier
    trusts: tuple[str, ...]


CONTROLLER_CA, SWITCH_CA, OPERATOR_CA = "controller-ca", "switch-ca", "operator-ca"
AUTHORITIES = (CONTROLLER_CA, SWITCH_CA, OPERATOR_CA)
ROLES: Mapping[Kind, Role] = {
    "host": Role("hosts", SWITCH_CA, ExtendedKeyUsageOID.CLIENT_AUTH, (CONTROLLER_CA,)),
    "controller": Role(
        "controllers", CONTROLLER_CA, ExtendedKeyUsageOID.SERVER_AUTH, (SWITCH_CA, OPERATOR_CA)
    ),
    "operator": Role("operators", OPERATOR_CA, ExtendedKeyUsageOID.CLIENT_AUTH, (CONTROLLER_CA,)),
}


class PkiError(Exception):
    """Nothing was made; the text says why and what to do."""


def make_authorities(directory: Path, *, now: datetime, days: int = CA_DAYS, force: bool = False) -> Path:
    """Make all three CAs in ``directory``/ca, and return that. Raises ``PkiError``."""
    folder = directory / "ca"
    with _replacing(folder, force=force) as draft:
        for name in AUTHORITIES:
            key = ec.generate_private_key(ec.SECP256R1())
            # Distinct from those of an earlier set: peers look for an issuer by its name.
            subject = _name(f"sdnapp {name} {token_hex(4)}")
            certificate = (
                _begun(subject, subject, key.public_key(), now, days)
                .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
                .add_extension(_usage(signs_certificates=True), critical=True)
                .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
                .sign(key, hashes.SHA256())
            )
            _write(draft / f"{name}.key", _pem_of(key), 0o600)
            _write(draft / f"{name}.crt", certificate.public_bytes(serialization.Encoding.PEM), 0o644)
    return folder


def make_leaf(  # all of them have names
    directory: Path,
    kind: Kind,
    name: str,
    *,
    addresses: Iterable[str] = (),
    now: datetime,
    days: int = LEAF_DAYS,
    force: bool = False,
) -> Path:
    """Make a key and a certificate for ``name``, and return the folder that its holder needs, whole.

    ``addresses``: IP addresses and DNS names beside ``name``. Raises ``PkiError``.
    """
    role = ROLES[kind]
    signer, signing = _authority(directory, role.signer)
    if signer.not_valid_after_utc < now + timedelta(days=days):
        left = (signer.not_valid_after_utc - now).days
        raise PkiError(
            f"{role.signer}.crt ends in {left} days: make new authorities, or ask for fewer --days"
        )
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = (
        _begun(_name(name), signer.subject, key.public_key(), now, days)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([role.usage]), critical=False)
        .add_extension(x509.SubjectAlternativeName([*map(_alternative, (name, *addresses))]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signing.public_key()), critical=False
        )
        .sign(signing, hashes.SHA256())
    )
    folder = directory / role.folder / name
    with _replacing(folder, force=force) as draft:
        _write(draft / f"{kind}.key", _pem_of(key), 0o600)
        _write(draft / f"{kind}.crt", certificate.public_bytes(serialization.Encoding.PEM), 0o644)
        for trusted in role.trusts:
            _write(draft / f"{trusted}.crt", (directory / "ca" / f"{trusted}.crt").read_bytes(), 0o644)
    return folder


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    """The key usage of an authority, or of a leaf (RFC 5280 section 4.2.1.3)."""
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _begun(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: datetime, days: int
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - SKEW)
        .not_valid_after(now + timedelta(days=days))
    )


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _authority(directory: Path, name: str) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    """A CA's certificate and key."""
    try:
        certificate = x509.load_pem_x509_certificate((directory / "ca" / f"{name}.crt").read_bytes())
        key = serialization.load_pem_private_key((directory / "ca" / f"{name}.key").read_bytes(), None)
    except FileNotFoundError as error:
        raise PkiError(f"there is no {error.filename}: run 'sdnapp pki init' first") from None
    except OSError as error:
        raise PkiError(f"cannot read {error.filename}: {(error.strerror or '').lower()}") from None
    except (ValueError, TypeError):
        raise PkiError(f"{directory / 'ca' / name}.crt or .key is not what 'sdnapp pki init' made") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != certificate.public_key():
        raise PkiError(f"{directory / 'ca' / name}.key is not the key of its certificate")
    return certificate, key


def _pem_of(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _write(path: Path, data: bytes, mode: int) -> None:
    """Write a file that never was readable by more than ``mode`` allows."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with open(descriptor, "wb") as file:
        os.fchmod(descriptor, mode)
        file.write(data)
        file.flush()
        os.fsync(descriptor)


@contextmanager
def _replacing(folder: Path, *, force: bool) -> Iterator[Path]:
    """A draft of a folder that takes its place when all of it is there, or leaves nothing behind."""
    if folder.exists() and not force:
        raise PkiError(f"{folder} exists: --force makes all of it anew")
    try:
        folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    except OSError as error:
        raise PkiError(f"cannot write to {folder.parent}: {(error.strerror or '').lower()}") from None
    try:
        yield draft
        if folder.exists():
            before = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
            folder.rename(before / folder.name)
            draft.rename(folder)
            shutil.rmtree(before)
        else:
            draft.rename(folder)
    except OSError as error:
        raise PkiError(f"cannot write {folder}: {(error.strerror or '').lower()}") from None
    finally:
        shutil.rmtree(draft, ignore_errors=True)
