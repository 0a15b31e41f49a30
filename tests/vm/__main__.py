"""``./run vm``: the tests in virtual machines, each result printed as it is known, and written down."""

from __future__ import annotations

import argparse
import os
import platform
import re
import signal
import subprocess
import sys
import time
from datetime import datetime, timezone
from pathlib import Path

import pytest

HERE = Path(__file__).parent
SUITE = "SDNAPP_VM_SUITE"
KEEP = "SDNAPP_VM_KEEP"


class Results:
    """Collects what became of each test, and prints it at once."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, str, float]] = []
        self._machines = ""
        self._commit = _commit()
        self._began = time.monotonic()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take in one phase of a test: its call, or a set-up or tear-down that failed."""
        if report.when != "call" and report.passed:
            return
        name = report.nodeid.rpartition("::")[2].removeprefix("test_").replace("_", " ")
        self.rows.append((re.sub(r"\[(.*)\]$", r" (\1)", name), report.outcome, report.duration))
        shown = f"{time.monotonic() - self._began:6.0f} s  {report.outcome:7}  {self.rows[-1][0]}"
        print(f"\r{shown}  ({report.duration:.0f} s)", flush=True)

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        """Say which test begins, in a terminal: some take minutes."""
        if sys.stdout.isatty():
            print(f"          ...     {nodeid.rpartition('::')[2]}", end="", flush=True)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Remember what the machines were."""
        self._machines = getattr(session.config, "machines", "")

    def document(self) -> str:
        """Return it as Markdown."""
        now = datetime.now(tz=timezone.utc)
        minutes = (time.monotonic() - self._began) / 60
        lines = [
            "# On real hosts: the last run",
            "",
            f"Written by `sudo ./run vm --document` on {now:%Y-%m-%d}, commit {self._commit}.",
            f"It took {minutes:.0f} minutes; the machines were emulated on {platform.machine()}.",
            *(["", self._machines] if self._machines else []),
            "",
            "| what was tried | result | seconds |",
            "|---|---|---|",
            *(f"| {name} | {outcome} | {seconds:.0f} |" for name, outcome, seconds in self.rows),
        ]
        return "\n".join(lines) + "\n"


def _commit() -> str:
    """Return the commit that is tested; without git it is not known."""
    command = ["git", "describe", "--always", "--dirty"]
    try:
        done = subprocess.run(command, cwd=HERE, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return "unknown"
    return done.stdout.strip() or "unknown"


def main() -> int:
    """Run them all, or those that are named; return pytest's exit status, 2 where something is missing."""
    parser = argparse.ArgumentParser(prog="./run vm", description=__doc__)
    parser.add_argument("--document", action="store_true", help="write the results to RESULTS.md")
    parser.add_argument("--suite", choices=("bookworm", "trixie"), help="Debian 12 (bookworm), or 13")
    parser.add_argument(
        "--keep",
        metavar="DIRECTORY",
        help="leave the machines running, with their files there; the next run takes them as they are",
    )
    options, arguments = parser.parse_known_args()
    if options.keep:
        os.environ[KEEP] = str(Path(options.keep).absolute())
    if options.suite:
        os.environ[SUITE] = options.suite
    from tests.vm import image  # here: it reads the release from the environment, as the tests do

    if lacking := image.missing():
        print(f"vm: please install {' '.join(lacking)}", file=sys.stderr)
        return 2
    signal.signal(
        signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT)
    )  # fixtures end what they began
    results = Results()
    status = int(pytest.main(["-q", *(arguments or [str(HERE)])], plugins=[results]))
    if options.document:
        name = "RESULTS.md" if image.SUITE == "bookworm" else f"RESULTS-{image.SUITE}.md"
        (HERE / name).write_text(results.document(), encoding="utf-8")
    return status


if __name__ == "__main__":
    sys.exit(main())
