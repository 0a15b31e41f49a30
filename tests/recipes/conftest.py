"""The labs of tests/netns, for recipes."""

from tests.netns.conftest import _as_users_do, bring_up  # noqa: F401
