"""For every test: os-ken on its native hub, so that what is tested is not eventlet's patching; nothing of
what the caller's environment says of labs, files and controllers; and properties that hold however long an
example takes: a busy machine breaks none. Ctrl-C is not ignored, as in what a shell runs in the background:
what a test starts would ignore it, too.
"""

import os
import signal

from hypothesis import settings

for name in ("SDNAPP_LAB", "SDNAPP_CONFIG", "SDNAPP_REST", "STATE_DIRECTORY"):
    os.environ.pop(name, None)
os.environ["OSKEN_HUB_TYPE"] = "native"
signal.signal(signal.SIGINT, signal.default_int_handler)
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")
