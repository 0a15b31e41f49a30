"""Keys that a service reads by its group alone, as README says: the kernel judges, hence root."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from sdnapp.net.model import TlsFiles
from sdnapp.rest import access
from sdnapp.tls import Unusable, server_context
from tests.certificates import Pki

USER, GROUP, OTHER = 64_001, 64_002, 64_003


@contextmanager
def user(group: int) -> Iterator[None]:
    """This thread as a user of no rights, in one group."""
    before = os.getgroups()
    os.setgroups([])
    os.setegid(group)
    os.seteuid(USER)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)
        os.setgroups(before)


@pytest.fixture
def target() -> Iterator[Path]:
    """A directory that all may enter: pytest's own are root's alone."""
    with TemporaryDirectory() as made:
        Path(made).chmod(0o755)
        yield Path(made)


@pytest.fixture
def files(tmp_path: Path, target: Path) -> TlsFiles:
    """A controller's files in a directory that all may enter."""
    made = Pki.begin(tmp_path / "pki").make("controller", "controller")
    paths = []
    for path in (made.key, made.certificate, made.ca):
        copy = target / Path(path).name
        copy.write_bytes(Path(path).read_bytes())
        copy.chmod(0o600 if path == made.key else 0o644)
        paths.append(str(copy))
    return TlsFiles(*paths)


def test_the_group_of_the_service_reads_the_key_and_no_other_does(files: TlsFiles) -> None:
    with user(GROUP), pytest.raises(Unusable, match="permission denied; let the service read it"):
        server_context(files, client="required")

    os.chown(files.key, 0, GROUP)
    Path(files.key).chmod(0o640)
    with user(GROUP):
        assert server_context(files, client="required")
    with user(OTHER), pytest.raises(Unusable, match="permission denied"):
        server_context(files, client="required")


def test_a_changed_access_file_is_still_the_groups(files: TlsFiles) -> None:
    path = str(Path(files.key).with_name("access"))
    entry = access.Entry("a", frozenset({"read"}), "0" * 64)
    access.add(path, entry)
    with user(GROUP), pytest.raises(Unusable, match="permission denied"):
        access.read(path)

    os.chown(path, 0, GROUP)
    access.add(path, access.Entry("b", frozenset({"read"}), None))
    with user(GROUP):
        assert [each.name for each in access.read(path).entries] == ["a", "b"]
