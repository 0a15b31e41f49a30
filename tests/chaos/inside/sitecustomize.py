"""Loaded by the Python of a controller under test: writes down how much memory its objects take.

mallinfo2(3) counts what is in use. The resident set also counts the holes between: by 10 % more or less, as
chance has it.
"""

import ctypes
import os
import threading
import time

PATH = os.environ.get("SDNAPP_MEMORY", "")


class _MallInfo2(ctypes.Structure):
    """``struct mallinfo2`` of malloc.h."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost".split()  # noqa: SIM905
    ]


def _write_down() -> None:
    mallinfo2 = ctypes.CDLL(None).mallinfo2
    mallinfo2.restype = _MallInfo2
    while True:
        found = mallinfo2()
        with open(f"{PATH}.new", "w", encoding="ascii") as file:
            file.write(str(found.uordblks + found.hblkhd))
        os.replace(f"{PATH}.new", PATH)
        time.sleep(0.2)


if PATH:
    threading.Thread(target=_write_down, daemon=True).start()
