"""The sdist and the wheel, built as pip builds them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = (
    "sdnapp",
    "flows",
    "configs",
    "setup.py",
    "pyproject.toml",
    "MANIFEST.in",
    "README.md",
    "CHANGELOG.md",
    "LICENSE",
)
EXAMPLES = {path.name for path in ROOT.glob("configs/*.yaml")}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the directory of an sdist and of the wheel that was built from it."""
    out = tmp_path_factory.mktemp("dist")
    source = tmp_path_factory.mktemp("source")
    for name in SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, source)
    done = subprocess.run(
        [sys.executable, "-m", "build", "--outdir", str(out), str(source)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"},
        check=False,
    )
    assert done.returncode == 0, done.stdout
    lowered = done.stdout.lower()
    assert "deprecat" not in lowered, done.stdout
    assert not re.search(r"\bwarning\b", lowered), done.stdout
    return out


def test_the_wheel_has_examples_and_units(built: Path) -> None:
    (wheel,) = built.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())

    assert {f"sdnapp/examples/{name}" for name in EXAMPLES} <= names
    assert {"sdnapp/systemd/sdnapp-provision.service", "sdnapp/systemd/sdnapp-controller.service"} <= names
    assert {"sdnapp/py.typed", "flows/py.typed"} <= names
    assert not [name for name in names if "broken" in name or name.startswith("tests/")]


def test_the_sdist_has_what_the_wheel_is_made_of(built: Path) -> None:
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}

    assert {f"configs/{name}" for name in EXAMPLES} <= names
    assert {"pyproject.toml", "setup.py", "README.md", "LICENSE", "CHANGELOG.md"} <= names


def test_examples_work_without_a_checkout(built: Path, tmp_path: Path) -> None:
    (wheel,) = built.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(tmp_path)
    done = subprocess.run(
        [sys.executable, "-m", "sdnapp", "examples", "two-hosts"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    where = "import sdnapp.cli.demo as d; print(d.EXAMPLE)"
    example = subprocess.run(
        [sys.executable, "-c", where],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout == (ROOT / "configs" / "two-hosts.yaml").read_text()
    assert example.stdout.strip() == str(tmp_path / "sdnapp" / "examples" / "two-hosts.yaml")
