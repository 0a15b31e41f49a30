"""Disks of Debian machines, built from the Debian archive by mmdebstrap(1) and mke2fs(8), without a mount.

What does not depend on the checkout is kept in ~/.cache/sdnapp/vm, under a digest of how it is made.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from pack import deb

SUITES = {"bookworm": "12", "trixie": "13"}
"""The releases of Debian that machines can have, by name."""
SUITE = os.environ.get("SDNAPP_VM_SUITE", "bookworm")
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
SOURCES = (
    f"deb [signed-by={KEYRING}] http://deb.debian.org/debian {SUITE} main",
    f"deb [signed-by={KEYRING}] http://deb.debian.org/debian {SUITE}-updates main",
    f"deb [signed-by={KEYRING}] http://deb.debian.org/debian-security {SUITE}-security main",
)
BUILD = ("python3", "python3-venv", "dpkg-dev", "binutils", "git", "ca-certificates")
"""What a package is built with, where this machine has another release."""
ROOT = Path(__file__).parents[2]
PACKAGES = (
    *("systemd-sysv", "dbus", "udev", "kmod", "linux-image-cloud-amd64", "initramfs-tools", "openssh-server"),
    *("openvswitch-switch", "python3", "iproute2", "ifupdown", "procps", "less", "ca-certificates"),
    *("tcpdump", "ethtool", "iperf3", "iputils-ping", "isc-dhcp-client", "curl"),  # what tests look with
)
KEPT = "srv/openvswitch-switch.deb"
"""The package of Open vSwitch, for a reinstallation, below the root of a machine."""

_HOOK = f'chroot "$1" sh -c "cd /srv && apt-get download openvswitch-switch && mv *.deb /{KEPT}"'
_BARE = ("doc", "man", "locale")
_SIZE = "2G"

TOOLS: Mapping[str, str] = {
    "qemu-system-x86_64": "qemu-system-x86",
    "mmdebstrap": "mmdebstrap",
    "mke2fs": "e2fsprogs",
    "ssh": "openssh-client",
    "ssh-keygen": "openssh-client",
    "tcpdump": "tcpdump",
    "ip": "iproute2",
    "dpkg-deb": "dpkg",
    KEYRING: "debian-archive-keyring",
}
"""The packages that have what machines are made and run with, by tool."""


def missing() -> list[str]:
    """Return the packages that this machine lacks."""
    return sorted(
        {package for tool, package in TOOLS.items() if not (shutil.which(tool) or Path(tool).is_file())}
    )


def base() -> Path:
    """Return the tar of a machine without sdnapp; make it where it is not kept: about three minutes."""
    return _tar(PACKAGES, f"--customize-hook={_HOOK}")


def package(directory: Path) -> Path:
    """Build the Debian package of this checkout for the release of the machines, in ``directory``."""
    here = platform.freedesktop_os_release()
    if (here["ID"], here.get("VERSION_ID")) == ("debian", SUITES[SUITE]):
        return deb.build(directory)
    tree = directory / "builder"
    tree.mkdir()
    subprocess.run(["tar", "-xf", str(_tar(BUILD)), "-C", str(tree)], check=True)
    for name in ("etc/resolv.conf", "etc/ssl/certs/ca-certificates.crt"):  # this machine's way to PyPI
        shutil.copy(Path("/") / name, tree / name)
    away = shutil.ignore_patterns(".venv", "__pycache__", ".*_cache", "dist")
    shutil.copytree(ROOT, tree / "srv/sdnapp", symlinks=True, ignore=away)
    build = (
        "python3 -m venv /srv/venv && /srv/venv/bin/pip install --quiet /srv/sdnapp && "
        "cd /srv/sdnapp && /srv/venv/bin/python -m pack.deb --output /srv/made"
    )
    subprocess.run(["chroot", str(tree), "sh", "-c", build], check=True, stdout=subprocess.DEVNULL)
    (made,) = (tree / "srv/made").glob("*.deb")
    path = Path(shutil.move(made, directory / made.name))
    shutil.rmtree(tree)
    return path


def _tar(packages: Sequence[str], *options: str) -> Path:
    """Return the tar of a machine with these packages, from the cache or from the Debian archive."""
    command = [
        *("mmdebstrap", "--quiet", "--mode=root", "--variant=minbase", '--aptopt=Acquire::Languages "none"'),
        *(f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in _BARE),
        *(f"--include={','.join(packages)}", *options, SUITE),
    ]
    digest = hashlib.blake2b(json.dumps([command, SOURCES]).encode(), digest_size=8).hexdigest()
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "sdnapp" / "vm"
    kept = cache / f"{SUITE}-{digest}.tar"
    if not kept.exists():
        print(f"building Debian {SUITE}: about three minutes, once", flush=True)
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache, prefix="new-") as scratch:
            sources = Path(scratch) / "sources.list"
            sources.write_text("\n".join(SOURCES) + "\n", encoding="ascii")
            draft = Path(scratch) / kept.name
            subprocess.run([*command, str(draft), str(sources)], check=True)
            draft.rename(kept)
    return kept


def root(package: Path, directory: Path) -> None:
    """Unpack a machine and install sdnapp from its package, as apt-get does; both hosts are copies of it."""
    directory.mkdir(parents=True)
    subprocess.run(["tar", "-xf", str(base()), "-C", str(directory)], check=True)
    shutil.copy(package, directory / "srv" / "sdnapp.deb")
    subprocess.run(
        ["chroot", str(directory), "dpkg", "-i", "/srv/sdnapp.deb"], check=True, stdout=subprocess.DEVNULL
    )
    # Nothing of the project: an emulated processor takes minutes for what these do or wait for.
    _chroot(
        directory,
        "systemctl",
        "--quiet",
        "mask",
        "e2scrub_reap.service",
        "apt-daily.timer",
        "apt-daily-upgrade.timer",
    )
    patience = directory / "etc/systemd/system/ovsdb-server.service.d/patience.conf"
    patience.parent.mkdir(parents=True)
    patience.write_text("[Service]\nTimeoutStartSec=900\n", encoding="ascii")


def disk(tree: Path, files: Mapping[str, str], path: Path) -> None:
    """Make an ext4 file system of a machine's root, with these files of its own, by their paths below it."""
    for name, content in files.items():
        place = tree / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(content, encoding="utf-8")
    with path.open("wb") as file:
        file.truncate(int(_SIZE[:-1]) << 30)
    subprocess.run(["mke2fs", "-q", "-t", "ext4", "-d", str(tree), "-L", "root", "-F", str(path)], check=True)


def _chroot(directory: Path, *words: str) -> None:
    subprocess.run(["chroot", str(directory), *words], check=True, stderr=subprocess.DEVNULL)
