"""Configuration in force in a lab: its file, or the controller's snapshot while the file is invalid."""

from __future__ import annotations

from sdnapp.config import Invalid
from sdnapp.config_file import ConfigSnapshot, load
from sdnapp.lab.model import Lab, directory
from sdnapp.net.model import Overlay


def in_force(lab: Lab) -> tuple[Overlay, Invalid | None]:
    """Return the overlay in force, and the error of the file, if any.

    Raises ``sdnapp.config.Invalid`` for a broken file where there is no copy.
    """
    try:
        return load(lab.file), None
    except Invalid as invalid:
        kept = ConfigSnapshot(str(directory(lab.name))).load_unless(b"")
        if kept is None:
            raise
        return kept, invalid
