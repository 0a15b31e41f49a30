"""Certificates of a lab: for a file with ``ssl:`` that names no files of its own.

The hosts find theirs in ``/etc/sdnapp/tls``, where ``controller.bridge_tls`` has them by default; the
controller, which has no ``/etc`` of its own, is told by ``--tls-dir``.
"""

from __future__ import annotations

import shutil
from datetime import datetime, timezone
from pathlib import Path

from sdnapp.config.schema import BridgeTls, ControllerTls
from sdnapp.lab.model import Lab, directory
from sdnapp.net.model import Overlay, TlsFiles

DAYS = 365
"""Lifetime of certificates in days: longer than any lab."""


def wanted(overlay: Overlay) -> bool:
    """Whether bridges connect by TLS, with files of which the file says nothing."""
    controller, bridges, own = overlay.controller, BridgeTls(), ControllerTls()
    usual = TlsFiles(bridges.key, bridges.certificate, bridges.ca)
    return (
        any(listen.tls for listen in controller.listens)
        and controller.tls == TlsFiles(own.key, own.certificate, own.ca)
        and all(host.tls == usual for host in overlay.hosts.values())
    )


def controller_files(lab: Lab) -> Path:
    """The directory of the controller's files, whether or not there are any."""
    return directory(lab.name) / "pki" / "controllers" / "controller"


def make(lab: Lab, overlay: Overlay) -> None:
    """Make authorities, and a certificate for the controller and for each host."""
    from sdnapp.pki.authority import make_authorities, make_leaf  # its library is slow to load

    place, now = directory(lab.name) / "pki", datetime.now(timezone.utc)
    make_authorities(place, now=now)
    make_leaf(place, "controller", "controller", now=now, days=DAYS)
    for host in overlay.hosts.values():
        made = make_leaf(place, "host", host.certificate, now=now, days=DAYS)
        shutil.copytree(made, lab.home(host.name) / "etc" / "tls")
