"""A connection is let in as a host's bridge by its address or certificate, never by its datapath id."""

from __future__ import annotations

import pytest

from sdnapp.net.admission import Accepted, Admission, Peer, Refused, replaces
from tests.overlays import overlay

FILE = """
controller: {target: "tcp:192.168.4.10:6653", accept_from: {host2: 203.0.113.0/24}}
tenants:
  red:  {networks: {web: {vlan: 10, vni: 5010}}}
hosts:
  host1: {vtep: 192.168.4.201, management: 10.0.0.11}
  host2: {vtep: 192.168.4.202, certificate: two.example.net}
ports:
  red1:  {host: host1, network: red/web}
  red2:  {host: host2, network: red/web}
"""
ADMISSION = Admission(overlay(FILE))
HOST1, HOST2 = ADMISSION.overlay.hosts["host1"], ADMISSION.overlay.hosts["host2"]


@pytest.mark.parametrize("ip", ["192.168.4.201", "10.0.0.11", "127.0.0.1", "::1", "::ffff:10.0.0.11"])
def test_a_host_connects_from_its_own_addresses_and_from_loopback(ip: str) -> None:
    assert ADMISSION.admit(HOST1.datapath_id, Peer(ip)) == Accepted(HOST1)


@pytest.mark.parametrize("ip", ["192.168.4.202", "203.0.113.7", "fe80::1%eth0", "/run/socket", ""])
def test_no_other_address_is_its_bridge(ip: str) -> None:
    verdict = ADMISSION.admit(HOST1.datapath_id, Peer(ip))

    assert isinstance(verdict, Refused)
    assert (verdict.host, verdict.reason) == ("host1", "address")
    assert "controller.accept_from" in verdict.text


def test_what_the_file_accepts_counts_instead_of_the_usual_addresses() -> None:
    assert ADMISSION.admit(HOST2.datapath_id, Peer("203.0.113.7")) == Accepted(HOST2)
    assert isinstance(ADMISSION.admit(HOST2.datapath_id, Peer("192.168.4.202")), Refused)
    assert isinstance(ADMISSION.admit(HOST2.datapath_id, Peer("127.0.0.1")), Refused)


def test_with_tls_the_certificate_counts_and_no_address_does() -> None:
    anywhere = "198.51.100.1"
    assert ADMISSION.admit(HOST1.datapath_id, Peer(anywhere, frozenset({"host1"}))) == Accepted(HOST1)
    right = Peer(anywhere, frozenset({"two.example.net", "x"}))
    assert ADMISSION.admit(HOST2.datapath_id, right) == Accepted(HOST2)
    for names in (frozenset({"host2"}), frozenset({"host1"}), frozenset[str]()):
        verdict = ADMISSION.admit(HOST2.datapath_id, Peer("203.0.113.7", names))
        assert isinstance(verdict, Refused)
        assert verdict.reason == "certificate"


def test_a_datapath_id_of_no_host_is_let_in_as_such() -> None:
    assert ADMISSION.admit(0xDEAD, Peer("198.51.100.1")) == Accepted(None)


def test_hosts_that_may_connect_from_an_address_are_counted() -> None:
    assert [ADMISSION.homes(ip) for ip in ("127.0.0.1", "203.0.113.9", "192.168.4.202", "x")] == [1, 1, 0, 0]


@pytest.mark.parametrize(
    ("newer", "older", "known", "plainly"),
    [
        (Peer("10.0.0.1"), Peer("10.0.0.1"), True, True),
        (Peer("10.0.0.1"), Peer("10.0.0.2"), True, False),
        (Peer("10.0.0.1", frozenset({"host1"})), Peer("10.0.0.2", frozenset({"host1"})), True, True),
        (Peer("10.0.0.1", frozenset({"host1"})), Peer("10.0.0.2"), True, True),
        (Peer("10.0.0.1"), Peer("10.0.0.1", frozenset({"host1"})), True, False),
        (Peer("10.0.0.1", frozenset({"any"})), Peer("10.0.0.2", frozenset({"any"})), False, False),
    ],
)
def test_a_second_connection_is_from_where_the_first_is(
    newer: Peer, older: Peer, known: bool, plainly: bool
) -> None:
    assert replaces(newer, older, known=known) is plainly
