"""For every test: os-ken on its native hub, so that what is tested is not eventlet's patching."""

import os

os.environ["OSKEN_HUB_TYPE"] = "native"
