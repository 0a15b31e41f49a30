"""What a controller on every host cannot do, said before it is missed."""

from __future__ import annotations

import pytest

from sdnapp.net.config_warnings import remarks
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


def test_a_bridge_that_would_be_refused_for_its_ip_version_is_told() -> None:
    by_v6 = TWO_HOSTS.replace("tcp:192.168.4.10:6653", "tcp:[fd00::10]:6653")
    managed = by_v6.replace("202}", "202, management: fd00::2}")
    secured = by_v6.replace("tcp:[", "ssl:[")

    assert [remark.partition(":")[0] for remark in remarks(overlay(by_v6))] == ["host1", "host2"]
    (remark,) = remarks(overlay(managed))
    assert remark == (
        "host1: its bridge connects by IPv6, and the file gives it no such address: it will be refused; "
        "add it to hosts.*.management"
    )
    assert not list(remarks(overlay(secured)))
