"""For every test: os-ken on its native hub, so that what is tested is not eventlet's patching; and properties
hold however long an example takes: a busy machine breaks none.
"""

import os

from hypothesis import settings

os.environ["OSKEN_HUB_TYPE"] = "native"
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")
