"""Runner of the demo: commands, their output, and the claims that they prove."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console

from sdnapp.lab import services

_PATIENCE = 30.0  # seconds for any command but `lab up`
_LINGER = 0.5  # seconds that a command in the background goes on after what it was there for


@dataclass
class DemoRun:
    """State of a demo: its lab, working directory and claims, each with its result."""

    console: Console
    name: str
    directory: Path
    exported: dict[str, str] = field(default_factory=dict)
    claims: list[tuple[str, bool]] = field(default_factory=list)

    def chapter(self, title: str) -> None:
        """Begin a part of the story."""
        self.console.print()
        self.console.rule(f"[bold]{title}[/]", align="left", characters="─")

    def say(self, text: str) -> None:
        """Print an explanation."""
        self.console.print(text, style="italic", markup=False)

    def claim(self, sentence: str, holds: bool) -> None:
        """Record what has just been shown."""
        self.claims.append((sentence, holds))
        mark = "[green]✓[/]" if holds else "[bold red]✗[/]"
        self.console.print(f"{mark} {sentence}")

    def run(self, command: str, patience: float = _PATIENCE) -> tuple[bool, str]:
        """Run a command as it would be typed, show it and its output; say whether it went well."""
        self.prompt(command)
        try:
            done = subprocess.run(shlex.split(command), timeout=patience, check=False, **self._how())
        except subprocess.TimeoutExpired as late:
            output = (late.stdout or b"").decode(errors="replace")
            self.show(f"{output}(no end after {patience:.0f} s)")
            return False, output
        self.show(done.stdout)
        return done.returncode == 0, done.stdout

    @contextmanager
    def meanwhile(self, command: str, until: str) -> Iterator[list[str]]:
        """Run a command in the background, from the moment it prints ``until``; then show what it printed.

        The list has its lines once the block has ended. Unless the command has ended by itself by then, it
        gets a Ctrl-C after a moment in which the last of it may come out.
        """
        self.prompt(f"{command} &")
        process = subprocess.Popen(shlex.split(command), start_new_session=True, **self._how())
        assert process.stdout is not None
        lines: list[str] = []
        try:
            for line in process.stdout:
                lines.append(line)
                if until in line:
                    break
            yield lines
            with suppress(subprocess.TimeoutExpired):
                process.wait(_LINGER)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGINT)
            lines += process.stdout.readlines()
            process.stdout.close()
            process.wait()
        self.show("".join(lines))

    def export(self, name: str, value: str, remark: str) -> None:
        """Set a variable for the commands that follow."""
        self.exported[name] = value
        self.prompt(f"export {name}={value}   # {remark}")

    def prompt(self, command: str) -> None:
        """Print a command line."""
        self.console.print(f"$ {command}", style="bold cyan", markup=False, soft_wrap=True)

    def show(self, output: str) -> None:
        """Print what a command printed."""
        if output:
            self.console.print(output.rstrip("\n"), markup=False, soft_wrap=True)

    def _how(self) -> dict[str, Any]:
        """How commands run: our own on PATH, in this terminal's width, with what was exported."""
        path = f"{beside_us()}:{os.environ['PATH']}"
        return {
            "cwd": self.directory,
            "env": os.environ | {"PATH": path, "COLUMNS": str(self.console.width)} | self.exported,
            "stdin": subprocess.DEVNULL,
            "stdout": subprocess.PIPE,
            "stderr": subprocess.STDOUT,
            "text": True,
        }


def beside_us() -> Path:
    """Return the directory of our own command."""
    return Path(services.script("sdnapp")).parent
