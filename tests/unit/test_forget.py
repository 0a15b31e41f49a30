"""What is worked out for several bridges is kept while bridges need it, and freed afterwards."""

from __future__ import annotations

from flows.compile import compile_bridge, forget
from flows.flow import shared
from tests.views import two_tenants


def test_flows_for_other_bridges_are_kept_as_long_as_any_are_worked_out() -> None:
    forget()
    forget()
    assert shared.cache_info().currsize == 0

    compile_bridge(two_tenants())
    kept = shared.cache_info().currsize
    assert kept > 0
    forget()
    assert shared.cache_info().currsize == kept  # others may need them just now
    forget()
    assert shared.cache_info().currsize == 0
