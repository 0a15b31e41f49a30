"""Network namespaces by name, as ``ip netns`` knows them: list, enter, publish, withdraw.

A namespace of ours says so itself, through the alias of its ``lo``, and becomes visible only after it does:
it is made without a name, marked, and then bound to its name. The file that it is bound to has the mark too,
so that a run killed in between leaves nothing that looks unmanaged. System calls alone: to
import pyroute2 takes longer than most commands that need no more than this.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
from collections.abc import Iterator
from pathlib import Path

from sdnapp.provision import netlink

DIRECTORY = Path("/run/netns")
OWN = "/proc/thread-self/ns/net"

LOOPBACK = 1
"""The index of ``lo`` in every namespace."""

_MARK = "sdnapp:"
_ALIAS = 20  # IFLA_IFALIAS of linux/if_link.h
_CLONE_NEWNET = 0x40000000
_MS_BIND, _MS_REC, _MS_SHARED, _MNT_DETACH = 0x1000, 0x4000, 0x100000, 2

_libc = ctypes.CDLL(None, use_errno=True)


def names() -> list[str]:
    """Names of all network namespaces."""
    with contextlib.suppress(FileNotFoundError):
        return sorted(os.listdir(DIRECTORY))
    return []


def directory() -> Path:
    """Return the directory of the names, which is made if there is none. Raises OSError."""
    DIRECTORY.mkdir(parents=True, exist_ok=True)
    return DIRECTORY


@contextlib.contextmanager
def inside(name: str) -> Iterator[None]:
    """Be in namespace ``name``; sockets that are opened there stay there. Raises OSError if there is none."""
    with entered(DIRECTORY / name):
        yield


@contextlib.contextmanager
def entered(path: Path) -> Iterator[None]:
    """Have this thread be in the namespace that is the file ``path``. Raises OSError if there is none."""
    with _returning():
        there = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            _enter(there)
        finally:
            os.close(there)
        yield


def owner(lo_alias: str | None) -> str | None:
    """Owner of a namespace by the alias of its ``lo``; None: unmanaged."""
    return lo_alias[len(_MARK) :] if lo_alias and lo_alias.startswith(_MARK) else None


def leftover(name: str) -> str | None:
    """Whose unfinished namespace ``name`` is; None where it is a namespace, or not ours."""
    path = DIRECTORY / name
    try:
        if path.stat().st_dev == os.stat(OWN).st_dev or not path.is_file():
            return None
        with path.open("rb") as file:
            return owner(file.read(256).decode(errors="replace"))
    except FileNotFoundError:
        return None


def create(name: str, of: str) -> None:
    """Make namespace ``name`` that belongs to host ``of``, with ``lo`` up. Raises OSError."""
    _share_directory()
    path = DIRECTORY / name
    if leftover(name) == of:
        path.unlink()
    _link_marked_file(path, _MARK + of)
    with _returning():
        _check(_libc.unshare(_CLONE_NEWNET), "unshare")
        with netlink.rtnetlink() as here:
            netlink.set_link(here, LOOPBACK, netlink.attribute(_ALIAS, (_MARK + of).encode()))
        _mount(OWN, path, _MS_BIND)


def remove(name: str) -> None:
    """Withdraw the name; the namespace goes with its last process."""
    path = DIRECTORY / name
    _libc.umount2(os.fsencode(path), _MNT_DETACH)  # an unfinished one is no mount: that is no error
    path.unlink()


def _enter(namespace: int) -> None:
    _check(_libc.setns(namespace, _CLONE_NEWNET), "setns")


@contextlib.contextmanager
def _returning() -> Iterator[None]:
    """Come back to the namespace of now, whatever happens."""
    home = os.open(OWN, os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield
    finally:
        _enter(home)
        os.close(home)


def _link_marked_file(path: Path, mark: str) -> None:
    """Make a file that has its content from its first moment on."""
    nameless = os.open(path.parent, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o444)
    try:
        os.write(nameless, mark.encode())
        # Python asks linkat(2) to follow only when it is given a directory, which an absolute path ignores.
        os.link(f"/proc/self/fd/{nameless}", path, src_dir_fd=nameless, follow_symlinks=True)
    finally:
        os.close(nameless)


def _share_directory() -> None:
    """Let other mount namespaces see what is mounted in the directory, as ip-netns(8) does."""
    DIRECTORY.mkdir(parents=True, exist_ok=True)
    try:
        _mount("", DIRECTORY, _MS_SHARED | _MS_REC)
    except OSError:
        _mount(DIRECTORY, DIRECTORY, _MS_BIND | _MS_REC)
        _mount("", DIRECTORY, _MS_SHARED | _MS_REC)


def _mount(source: str | Path, target: Path, flags: int) -> None:
    result = _libc.mount(os.fsencode(source), os.fsencode(target), b"none", ctypes.c_ulong(flags), None)
    _check(result, f"mount {target}")


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
