"""An application beside the controller's that counts greenlets when it is asked to, by a file.

``osken-manager sdnapp.overlay tests.ovs.census``, with the file's path in the environment as ``CENSUS``.
"""

from __future__ import annotations

import gc
import os
from pathlib import Path
from typing import Any

import greenlet  # type: ignore[import-untyped]
from os_ken.base.app_manager import OSKenApp
from os_ken.lib import hub

ASKED = "asked"


class Census(OSKenApp):  # type: ignore[misc]  # os-ken has no types
    """Replaces ``asked`` in the file by the number of greenlets that have begun and not ended."""

    def start(self) -> Any:
        """Begin to look."""
        super().start()
        return hub.spawn(self._look, Path(os.environ["CENSUS"]))

    def _look(self, file: Path) -> None:
        while True:
            hub.sleep(0.05)
            if file.exists() and file.read_text() == ASKED:
                found = (each for each in gc.get_objects() if isinstance(each, greenlet.greenlet))
                file.write_text(str(sum(map(bool, found))))
