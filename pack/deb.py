"""``./run deb``: a Debian package with a Python environment of its own, built from a tree by dpkg-deb(1).

It is for the Python of the machine that builds it (/usr/bin/python3), and so for this release of Debian or
Ubuntu. Wheels are kept in ~/.cache/sdnapp/wheels: a second build needs no network.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from importlib.metadata import version as installed_version
from pathlib import Path

from pack import complete, man
from sdnapp.cli.main import main as command

ROOT = Path(__file__).parents[1]
PARTS = Path(__file__).parent / "deb"
PYTHON = "/usr/bin/python3"
HOME = "usr/lib/sdnapp"
"""The environment, below the root of a machine."""

COMMANDS = ("sdnapp", "osken-manager")
SOURCES = ("sdnapp", "flows", "configs")
ALONE = ("setup.py", "pyproject.toml", "MANIFEST.in", "README.md", "CHANGELOG.md", "LICENSE")


class BuildError(Exception):
    """The package cannot be built; the words say why."""


def main() -> None:
    """Build the package, and print its path."""
    parser = argparse.ArgumentParser(
        prog="./run deb", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--output", type=Path, default=ROOT / "dist", help="directory of the package (dist/)")
    parser.add_argument("--revision", default="1", help="Debian revision: 2 is an upgrade of 1")
    options = parser.parse_args()
    try:
        print(build(options.output, options.revision))
    except BuildError as error:
        sys.exit(f"deb: {error}")


def build(output: Path, revision: str = "1") -> Path:
    """Build sdnapp_VERSION-REVISION_ARCHITECTURE.deb in ``output``; return its path. Raises BuildError."""
    for tool, package in (
        ("dpkg-deb", "dpkg"),
        ("dpkg-shlibdeps", "dpkg-dev"),
        ("strip", "binutils"),
        (PYTHON, "python3-venv"),
    ):
        if shutil.which(tool) is None:
            raise BuildError(f"{tool} is missing: apt-get install {package}")
    version = f"{installed_version('sdnapp')}-{revision}+{_release()}"
    architecture = _run("dpkg", "--print-architecture").strip()
    output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="sdnapp-deb-") as scratch:
        tree = Path(scratch) / "tree"
        _environment(tree / HOME, _wheels(Path(scratch)))
        _documents(tree, version)
        _control(tree, version, architecture, Path(scratch))
        path = output / f"sdnapp_{version}_{architecture}.deb"
        _run("dpkg-deb", "--root-owner-group", "-Zxz", "-z2", "--build", str(tree), str(path))
    return path


def _release() -> str:
    """Return the release that it is for: deb12, ubuntu24.04."""
    fields = dict(
        line.partition("=")[::2] for line in Path("/etc/os-release").read_text(encoding="utf-8").splitlines()
    )
    name = fields.get("ID", "linux").strip('"')
    return {"debian": "deb"}.get(name, name) + fields.get("VERSION_ID", "").strip('"')


def _wheels(scratch: Path) -> Path:
    """Return a directory of wheels: sdnapp, made now, and all that it needs, from the cache or PyPI."""
    source, venv, wheels = scratch / "source", scratch / "build", scratch / "wheels"
    for name in SOURCES:
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ALONE:
        shutil.copy(ROOT / name, source)
    _run(PYTHON, "-m", "venv", str(venv))
    wheel = (str(venv / "bin/python"), "-m", "pip", "--disable-pip-version-check", "wheel", "--quiet")
    _run(*wheel, "--no-deps", "--wheel-dir", str(wheels), str(source))
    (own,) = wheels.glob("sdnapp-*.whl")
    kept = _cache() / "wheels" / _digest(own)
    if not kept.exists():
        draft = Path(tempfile.mkdtemp(prefix=f"{kept.name}.", dir=_made(kept.parent)))
        _run(*wheel, "--wheel-dir", str(draft), str(own))
        (draft / own.name).unlink(missing_ok=True)
        draft.rename(kept)
    shutil.copytree(kept, wheels, dirs_exist_ok=True)
    return wheels


def _digest(wheel: Path) -> str:
    """Name what a wheel needs, for the Python that it is to run on."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        metadata = archive.read(name).decode()
    needs = sorted(
        line for line in metadata.splitlines() if line.startswith("Requires-Dist") and "extra" not in line
    )
    return hashlib.blake2b("\n".join([*needs, _run(PYTHON, "-VV")]).encode(), digest_size=8).hexdigest()


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "sdnapp"


def _environment(home: Path, wheels: Path) -> None:
    """Make the environment as it will be at /usr/lib/sdnapp, without compiled files and others' tests."""
    _run(PYTHON, "-m", "venv", "--without-pip", str(home))
    pip = (str(wheels.parent / "build/bin/python"), "-m", "pip", "--disable-pip-version-check")
    flags = (
        "--quiet",
        "--no-index",
        "--no-compile",
        "--no-warn-script-location",
        "--find-links",
        str(wheels),
    )
    _run(*pip, "--python", str(home / "bin/python"), "install", *flags, "sdnapp")
    for script in (home / "bin").iterdir():
        if script.name in COMMANDS:
            _, _, body = script.read_text(encoding="utf-8").partition("\n")
            script.write_text(f"#!/{HOME}/bin/python3\n{body}", encoding="utf-8")
        elif not script.name.startswith("python"):
            script.unlink()
    (home / "lib64").unlink(missing_ok=True)
    shutil.rmtree(home / "include", ignore_errors=True)
    shutil.rmtree(home / "share", ignore_errors=True)
    config = home / "pyvenv.cfg"
    lines = config.read_text(encoding="utf-8").splitlines(keepends=True)
    config.write_text("".join(line for line in lines if not line.startswith("command")), encoding="utf-8")
    for tests in [path for path in (home / "lib").rglob("tests") if path.is_dir()]:
        shutil.rmtree(tests)
    modules = [str(path) for path in home.rglob("*.so")]
    _run("strip", "--strip-unneeded", "--remove-section=.comment", "--remove-section=.note", *modules)
    for path in home.rglob("*"):
        if path.is_file() and not path.is_symlink():
            path.chmod(0o755 if path.parent == home / "bin" else 0o644)


def _documents(tree: Path, version: str) -> None:
    """Add what the system looks for at places of its own: commands, units, manual, completion, copyright."""
    for name in COMMANDS:
        _link(tree / "usr/bin" / name, f"../lib/sdnapp/bin/{name}")
    for unit in (ROOT / "sdnapp/systemd").glob("*.service"):
        _write(tree / "usr/lib/systemd/system" / unit.name, unit.read_bytes())
    for name, text in man.pages(command, version).items():
        _write(tree / "usr/share/man/man1" / f"{name}.gz", _gzip(text.encode()))
    for place, text in complete.scripts(command).items():
        _write(tree / place, text.encode())
    _write(tree / "usr/share/sdnapp/overlay.yaml", (ROOT / "configs/two-hosts.yaml").read_bytes())
    (tree / "etc/sdnapp").mkdir(parents=True)
    documents = tree / "usr/share/doc/sdnapp"
    for path in sorted((ROOT / "configs").glob("*.yaml")):
        _write(documents / "examples" / path.name, path.read_bytes())
    _write(documents / "copyright", (PARTS / "copyright").read_bytes())
    _write(documents / "README.md.gz", _gzip((ROOT / "README.md").read_bytes()))
    _write(documents / "changelog.gz", _gzip((ROOT / "CHANGELOG.md").read_bytes()))
    dated = _run("date", "-u", "-R", "-d", f"@{_epoch()}").strip()
    entry = f"sdnapp ({version}) stable; urgency=medium\n\n  * See changelog.gz.\n\n"
    signature = f" -- sdnapp developers <sdnapp@localhost>  {dated}\n"
    _write(documents / "changelog.Debian.gz", _gzip((entry + signature).encode()))
    _write(tree / "usr/share/lintian/overrides/sdnapp", (PARTS / "lintian-overrides").read_bytes())


def _control(tree: Path, version: str, architecture: str, scratch: Path) -> None:
    """Add DEBIAN/: what the package is, what it needs, and its scripts."""
    python = re.match(r"3\.(\d+)", _run(PYTHON, "-c", "import platform; print(platform.python_version())"))
    assert python is not None
    files = sorted(path for path in tree.rglob("*") if path.is_file() and not path.is_symlink())
    sums = [
        f"{hashlib.md5(p.read_bytes(), usedforsecurity=False).hexdigest()}  {p.relative_to(tree)}\n"
        for p in files
    ]
    control = (PARTS / "control").read_text(encoding="utf-8")
    fields = {
        "version": version,
        "architecture": architecture,
        "size": str(sum(-(-path.stat().st_size // 1024) for path in files)),
        "python": f"3.{python[1]}",
        "next_python": f"3.{int(python[1]) + 1}",
        "libraries": _libraries(files, scratch),
    }
    _write(tree / "DEBIAN/control", control.format(**fields).encode())
    _write(tree / "DEBIAN/md5sums", "".join(sums).encode())
    for name in ("postinst", "prerm", "postrm"):
        _write(tree / "DEBIAN" / name, (PARTS / name).read_bytes(), 0o755)
    for path in [tree, *tree.rglob("*")]:
        if path.is_dir():
            path.chmod(0o755)


def _libraries(files: list[Path], scratch: Path) -> str:
    """Return the packages of the libraries that compiled modules are linked with: dpkg-shlibdeps(1)."""
    _write(scratch / "debian/control", b"Source: sdnapp\n\nPackage: sdnapp\nArchitecture: any\n")
    modules = [str(path) for path in files if re.search(r"\.so(\.\d+)*$", path.name)]
    said = _run("dpkg-shlibdeps", "-O", "--ignore-missing-info", "--warnings=0", *modules, cwd=scratch)
    return said.partition("shlibs:Depends=")[2].strip() or "libc6"


def _epoch() -> str:
    """Return the time that the package is of: that of the last commit, or of now without git."""
    done = subprocess.run(
        ["git", "log", "-1", "--format=%ct"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return done.stdout.strip() or _run("date", "+%s").strip()


def _run(*words: str, cwd: Path | None = None) -> str:
    done = subprocess.run(words, cwd=cwd, capture_output=True, text=True, check=False, env=dict(_variables()))
    if done.returncode:
        raise BuildError(f"{' '.join(words)}: exit status {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def _variables() -> Iterator[tuple[str, str]]:
    """Yield the environment of commands: in C, and without what is meant for this Python alone."""
    yield from ((name, value) for name, value in os.environ.items() if not name.startswith("PYTHON"))
    yield "LC_ALL", "C.UTF-8"


def _write(path: Path, data: bytes, mode: int = 0o644) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    path.chmod(mode)


def _link(path: Path, target: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(target)


def _gzip(data: bytes) -> bytes:
    return gzip.compress(data, 9, mtime=0)


def _made(directory: Path) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    return directory


if __name__ == "__main__":
    main()
