"""The configuration file: read with bounds, and watched through inotify(7) rather than by polling."""

from __future__ import annotations

import ctypes
import os
import select
import socket
import stat
import struct
import time
from hashlib import blake2b
from threading import Thread
from types import TracebackType

from sdnapp.config import Invalid, Problem, ResultCache, parse
from sdnapp.config.cache import CachedResults
from sdnapp.config.document import MAX_BYTES, too_big
from sdnapp.net.build import build
from sdnapp.net.model import Overlay

_SETTLE, _SETTLE_COMPLETE = 0.05, 0.002
"""Seconds without an event that end a burst: for an open file, and for one that was closed or moved in."""

# <sys/inotify.h>: modified, attributes, close after writing, moved from, moved to, created, deleted, and the
# watched directory itself deleted or moved. What was modified and is not closed yet is half a file.
_EVENTS = 0x002 | 0x004 | 0x008 | 0x040 | 0x080 | 0x100 | 0x200 | 0x400 | 0x800
_MODIFIED, _COMPLETE, _AWAY = 0x002, 0x008 | 0x080, 0x040 | 0x100 | 0x200
_ANOTHER = _AWAY | 0x080
_EXCL_UNLINK = 0x04000000  # not those of a file that has lost its name
_EVENT = struct.Struct("=iIII")  # struct inotify_event of inotify(7), less the name: its length is the last

_libc = ctypes.CDLL(None, use_errno=True)


class Loader:
    """Loader of a file that changes: unchanged parts are not computed again.

    ``text`` is what it held when it was last loaded and good. ``watch``, of the same file, is told of it.
    """

    def __init__(self, path: str | os.PathLike[str], watch: Watch | None = None) -> None:
        self.text = b""
        self._path = path
        self._watch = watch
        self._known: CachedResults | None = None

    def load(self) -> Overlay:
        """Load the overlay of the file; raises ``Invalid`` with all problems."""
        return self._understand(self._read())

    def load_aside(self) -> Overlay:
        """Load in a native thread, so that green threads of the hub are not blocked.

        A file of 10,000 ports takes half a second. Waits in ``recv``, which eventlet makes green and which
        takes files of any number; ``select`` takes none from 1,024 on. ``os.open`` is green, too: in that
        thread it would make a hub, and when a thread with greenlets ends, greenlet looks through all memory
        for what may still refer to them. Hence the file is read here.
        """
        data = self._read()
        outcome: list[Overlay | Exception] = []
        done, other = socket.socketpair()
        finish = other.detach()

        def work() -> None:
            try:
                outcome.append(self._understand(data))
            except Exception as error:  # raised again where it is waited for
                outcome.append(error)
            finally:
                os.close(finish)

        try:
            Thread(target=work, daemon=True).start()
            done.recv(1)
        finally:
            done.close()
        (loaded,) = outcome
        if isinstance(loaded, Exception):
            raise loaded
        return loaded

    def _read(self) -> bytes:
        return read(self._path) if self._watch is None else self._watch.read()

    def _understand(self, data: bytes) -> Overlay:
        results = ResultCache(self._known)
        overlay = build(parse(data, _shown(self._path), results), results)
        self._known, self.text = results.made, data
        return overlay


class ConfigSnapshot:
    """Copy of the configuration in force, in the state directory, for the next start of the controller.

    The file itself may have changed or be invalid by then. Without a directory nothing is saved.
    """

    def __init__(self, directory: str | None) -> None:
        self._path = os.path.join(directory, "in-force.yaml") if directory else None

    def load_unless(self, text: bytes) -> Overlay | None:
        """The saved configuration; None if it is this text, or if this version cannot read it."""
        if self._path is None:
            return None
        try:
            kept = read(self._path)
            return None if kept == text else build(parse(kept, _shown(self._path), former=True))
        except Invalid:
            return None

    def save(self, text: bytes) -> None:
        """Replace the saved configuration atomically. Raises OSError."""
        if self._path is not None:
            draft = f"{self._path}.new"
            with open(draft, "wb") as file:
                file.write(text)
            os.replace(draft, self._path)


def load(path: str | os.PathLike[str]) -> Overlay:
    """Load the overlay of the file; raises ``Invalid`` with all problems."""
    return build(parse(read(path), _shown(path)))


def read(path: str | os.PathLike[str]) -> bytes:
    """Read a regular file; raises ``Invalid`` if it is missing or too large."""
    try:
        with open(path, "rb", opener=_open) as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise _refusal(_shown(path), "is a pipe or device", "Name a regular file.")
            if status.st_size > MAX_BYTES:
                raise too_big(_shown(path))
            return file.read(MAX_BYTES + 1)
    except OSError as error:
        raise unreadable(_shown(path), error) from None


def unreadable(source: str, error: OSError) -> Invalid:
    """Error for a file that cannot be read."""
    return _refusal(source, (error.strerror or str(error)).lower(), "Check its path and permissions.")


def _open(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)  # or opening a FIFO would wait for a writer


def _refusal(source: str, reason: str, remedy: str) -> Invalid:
    return Invalid([Problem(source, 1, 1, "", f"cannot read the file: {reason}", remedy)])


def _shown(path: str | os.PathLike[str]) -> str:
    return os.fsencode(path).decode("utf-8", "replace")


class Watch:
    """Watch of a file by inotify: reports when its content has changed, in whatever way.

    It follows symbolic links, also where a link on the way is replaced (as Kubernetes does), and waits for
    what does not exist yet. Make the watch first and load the file afterwards; then no change is missed. To
    read a file that may be written just then, as on SIGHUP, use ``read``: what follows differs from that.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._given = path
        self._path = os.path.abspath(path)
        self._fd = _checked(_libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC))
        self._watched: set[int] = set()
        self._complete = self._writing = self._touched = False
        self._file = -1
        self._fresh: bytes | Invalid | None = None
        self._renew()
        self._seen: bytes | None = self._content()

    def fileno(self) -> int:
        """The file descriptor that becomes readable when something may have changed."""
        return self._fd

    def changed(self, timeout: float | None) -> bool:
        """Wait until the content differs from what was last seen or read; False after ``timeout`` seconds.

        A file that vanishes or becomes unreadable has changed, too. Waits in ``select.select``, which
        eventlet makes green.
        """
        end = None if timeout is None else time.monotonic() + timeout
        again = False
        while again or self._event(None if end is None else max(0.0, end - time.monotonic())):
            settled = time.monotonic() + 10 * _SETTLE
            while self._event(_SETTLE_COMPLETE if self._complete else _SETTLE) and time.monotonic() < settled:
                pass
            self._renew()
            again = False
            if self._writing:
                continue
            self._touched = False
            held, content = self._held()
            again = self._event(0.0) and self._touched  # while it was read
            if not again and content != self._seen:
                self._seen, self._fresh = content, held
                return True
        return False

    def read(self) -> bytes:
        """Return the file as ``changed`` saw it, once; otherwise as it is now, by ``read`` of this module.

        While it is read, whatever happens to it is a change; afterwards, whatever differs from what was read.
        """
        held, self._fresh = self._fresh, None
        if held is None:
            self._seen = None
            held, content = self._held()
            if self._seen is None:
                self._seen = content
        if isinstance(held, Invalid):
            raise held
        return held

    def close(self) -> None:
        """Stop watching."""
        os.close(self._fd)

    def __enter__(self) -> Watch:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _event(self, timeout: float | None) -> bool:
        """Read pending events. Their kind decides only how long to wait for more."""
        if not select.select([self._fd], [], [], timeout)[0]:
            return False
        position, events, own = 0, os.read(self._fd, 65536), os.fsencode(os.path.basename(self._path))
        while position < len(events):
            watch, mask, _, length = _EVENT.unpack_from(events, position)
            position += _EVENT.size + length
            named = events[position - length : position].rstrip(b"\0") == own
            if named or (length == 0 and watch == self._file):
                self._touched = True
                self._writing = bool(mask & _MODIFIED) or (self._writing and not mask & (_COMPLETE | _AWAY))
            if named or length == 0:
                self._complete = bool(mask & _COMPLETE) or (self._complete and not mask & _AWAY)
            if named and mask & _ANOTHER:
                self._file = -1  # until it is known which file has the name now
        return True

    def _content(self) -> bytes:
        return self._held()[1]

    def _held(self) -> tuple[bytes | Invalid, bytes]:
        """Content of the file, or the error of reading it; and a digest of either."""
        try:
            data = read(self._given)
        except Invalid as error:
            return error, str(error).encode()
        return data, blake2b(data).digest()

    def _renew(self) -> None:
        """Watch the file and every directory where replacing an entry would put another file in its place."""
        added = [self._add(place) for place in _places(self._path)]
        self._file, wanted = added[0], set(added) - {-1}
        for stale in self._watched - wanted:
            _libc.inotify_rm_watch(self._fd, stale)
        self._watched = wanted

    def _add(self, place: str) -> int:
        return int(_libc.inotify_add_watch(self._fd, os.fsencode(place), _EVENTS | _EXCL_UNLINK))


def _places(path: str) -> list[str]:
    """The file and the directories of the links on the way to it; where one is missing, the nearest above."""
    places = [path]
    for _ in range(40):  # as many links as Linux follows, path_resolution(7)
        directory = os.path.dirname(path)
        while not os.path.isdir(directory):
            directory = os.path.dirname(directory)
        places.append(directory)
        try:
            path = os.path.join(os.path.dirname(path), os.readlink(path))
        except OSError:
            break
    return places


def inotify(directory: str) -> int:
    """Return a descriptor that becomes readable when an entry of a directory comes or goes."""
    events = _checked(_libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC))
    _checked(_libc.inotify_add_watch(events, os.fsencode(directory), _EVENTS))
    return events


def _checked(result: int) -> int:
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result
