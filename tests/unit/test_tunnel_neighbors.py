"""What ovs-vswitchd is told of its neighbours."""

from __future__ import annotations

from sdnapp.provision.tunnel_neighbors import Hop, amends

PEER, ROUTER = Hop("br-phy", "192.0.2.2"), Hop("br-phy", "192.0.2.1")
MAC, OTHER = "02:00:00:00:00:02", "02:00:00:00:00:22"


def test_it_is_told_what_it_has_forgotten_and_the_kernel_knows() -> None:
    assert list(amends([PEER, ROUTER], {}, {PEER: MAC}, refresh=False)) == [(PEER, MAC)]


def test_it_is_told_when_a_neighbour_has_another_mac() -> None:
    assert list(amends([PEER], {PEER: OTHER}, {PEER: MAC}, refresh=False)) == [(PEER, MAC)]


def test_what_it_knows_is_told_only_to_keep_it_from_forgetting() -> None:
    assert not list(amends([PEER], {PEER: MAC}, {PEER: MAC}, refresh=False))
    assert list(amends([PEER], {PEER: MAC}, {PEER: MAC}, refresh=True)) == [(PEER, MAC)]
