"""Limit of open files."""

from __future__ import annotations

import resource


def raise_file_limit() -> int:
    """Raise the soft limit of open files to the hard one; that limit.

    systemd's soft limit is 1,024 for programs that use select(2) (systemd.exec(5), LimitNOFILE).
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard
