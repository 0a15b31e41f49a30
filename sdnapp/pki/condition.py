"""What is the matter with certificates in files: ended, near the end, of another CA, a key open to others."""

from __future__ import annotations

import stat
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import NameOID


@dataclass(frozen=True, slots=True)
class Condition:
    """A certificate as found. ``left``: days until it ends, negative after that. ``faults``: sentences."""

    path: Path
    names: tuple[str, ...]
    ends: datetime | None
    left: int
    faults: tuple[str, ...]


def conditions(places: Iterable[Path], *, now: datetime, within: int | None = None) -> Iterator[Condition]:
    """Each certificate (``*.crt``) in these directories and files, in order.

    ``within``: days before its end from which a certificate is near it; None: a third of its lifetime.
    """
    paths = sorted({path for place in places for path in _certificates(place)})
    loaded = {path: _loaded(path) for path in paths}
    authorities = _authorities(loaded)
    for path, found in loaded.items():
        if isinstance(found, str):
            yield Condition(path, (), None, 0, (found,))
            continue
        faults = (*_age(found, now, within), *_issuer(found, authorities), *_key(path, found))
        ends = found.not_valid_after_utc
        yield Condition(path, _names(found), ends, (ends - now).days, faults)


def _authorities(loaded: Mapping[Path, x509.Certificate | str]) -> list[x509.Certificate]:
    """The CAs in force: those of 'ca' folders where there is one, or else all; others may be old copies."""
    found = {
        path: each for path, each in loaded.items() if isinstance(each, x509.Certificate) and _is_ca(each)
    }
    return [each for path, each in found.items() if path.parent.name == "ca"] or [*found.values()]


def _certificates(place: Path) -> Iterator[Path]:
    if place.is_dir():
        yield from (path for path in place.rglob("*.crt") if not _is_draft(path.relative_to(place)))
    else:
        yield place


def _is_draft(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def _loaded(path: Path) -> x509.Certificate | str:
    """The first certificate of a file, or what is wrong with the file."""
    try:
        return x509.load_pem_x509_certificates(path.read_bytes())[0]
    except OSError as error:
        return f"cannot be read: {(error.strerror or '').lower()}"
    except ValueError:
        return "holds no certificate in PEM"


def _names(certificate: x509.Certificate) -> tuple[str, ...]:
    common = (str(part.value) for part in certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME))
    try:
        also = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return tuple(common)
    listed = (*also.get_values_for_type(x509.DNSName), *also.get_values_for_type(x509.IPAddress))
    return tuple(dict.fromkeys((*common, *map(str, listed))))


def _is_ca(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False


def _age(certificate: x509.Certificate, now: datetime, within: int | None) -> Iterator[str]:
    begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    near = (ends - begins) / 3 if within is None else timedelta(days=within)
    if ends <= now:
        yield f"ended on {ends:%Y-%m-%d}: make it anew"
    elif ends - now < near:
        yield f"ends on {ends:%Y-%m-%d}: make it anew in time"
    if begins > now:
        yield f"begins on {begins:%Y-%m-%d %H:%M} UTC only: is this machine's clock right?"


def _issuer(certificate: x509.Certificate, authorities: list[x509.Certificate]) -> Iterator[str]:
    """Where a CA like its issuer is in force, one of these must have signed it."""
    like = [ca for ca in authorities if _kind(ca.subject) == _kind(certificate.issuer)]
    if like and not any(_signed(certificate, authority) for authority in like):
        yield "is of an authority that was made anew since: make what is in this folder anew, too"


def _kind(name: x509.Name) -> str:
    """What is common to the CAs that take each other's place: all of the name but its last word."""
    return " ".join(str(part.value) for part in name).rpartition(" ")[0]


def _signed(certificate: x509.Certificate, authority: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _key(path: Path, certificate: x509.Certificate) -> Iterator[str]:
    """What is wrong with the key beside it, if there is one that we may look at."""
    key = path.with_suffix(".key")
    try:
        mode, pem = key.stat().st_mode, key.read_bytes()
    except OSError:
        return
    if mode & (stat.S_IRWXO | stat.S_IWGRP):
        yield f"others may read {key.name}, or its group may write it: chmod 600 (or 640)"
    try:
        own = serialization.load_pem_private_key(pem, None).public_key()
    except (ValueError, TypeError):
        yield f"{key.name} is no private key in PEM without a password"
        return
    if own != certificate.public_key():
        yield f"{key.name} is not its key: replace both together"
