"""For every test: os-ken on its native hub, so that what is tested is not eventlet's patching; nothing of
what the caller's environment says of labs, files and controllers; and properties that hold however long an
example takes: a busy machine breaks none.
"""

import os

from hypothesis import settings

for name in ("SDNAPP_LAB", "SDNAPP_CONFIG", "SDNAPP_REST", "STATE_DIRECTORY"):
    os.environ.pop(name, None)
os.environ["OSKEN_HUB_TYPE"] = "native"
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")
