"""What a controller on every host cannot do, said before it is missed."""

from __future__ import annotations

import pytest

from sdnapp.net.placement import remarks
from tests.overlays import LEARNING, TWO_HOSTS, overlay

DROPPING = LEARNING.replace("vni: 5010,", "vni: 5010, unknown_unicast: drop,")
EVERYWHERE = ("192.168.4.10:6653", "127.0.0.1:6653")


def test_stations_that_other_hosts_do_not_know_are_not_reached_where_unknown_ones_are_dropped() -> None:
    (remark,) = remarks(overlay(DROPPING.replace(*EVERYWHERE)))

    assert remark == (
        "red/web: with a controller on every host, stations behind red1, red2 are unknown to other hosts "
        "until they speak to them, and unknown_unicast: drop drops what is for them"
    )


@pytest.mark.parametrize(
    "text",
    [
        DROPPING,
        LEARNING.replace(*EVERYWHERE),
        TWO_HOSTS.replace("vni: 5010,", "vni: 5010, unknown_unicast: drop,").replace(*EVERYWHERE),
        DROPPING.replace(*EVERYWHERE).replace("host: host2", "host: host1"),
    ],
    ids=["one controller", "flooding", "strict ports", "one host"],
)
def test_there_is_nothing_to_say(text: str) -> None:
    assert not list(remarks(overlay(text)))
