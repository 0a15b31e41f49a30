"""What is worked out of a network's stations is freed with them."""

from __future__ import annotations

import gc
import weakref

from sdnapp.net.fdb import FdbEntry, PortRef
from sdnapp.net.network_facts import HostFdb


def test_stations_that_are_replaced_are_freed_without_the_cycle_collector() -> None:
    """Each learned MAC makes a new table: of 64,000, those that wait for the collector were 100 MB."""
    resident = HostFdb({"02:aa:00:00:00:01": FdbEntry(PortRef("host1", "eth0"))}, learned=True)
    assert resident.behind[7, 5010][0].macs == ("02:aa:00:00:00:01",)
    replaced = weakref.ref(resident)
    gc.disable()
    try:
        del resident
        assert replaced() is None
    finally:
        gc.enable()
