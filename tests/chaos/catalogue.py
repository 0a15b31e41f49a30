"""All faults: each module enters its own when it is imported."""

from tests.chaos import devices, files, intruders, processes
from tests.chaos.fault import FAULTS

__all__ = ["FAULTS", "devices", "files", "intruders", "processes"]
