"""Which addresses the underlay of a lab gets."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest

from sdnapp.config import parse
from sdnapp.lab import identity
from sdnapp.lab.errors import LabError
from sdnapp.lab.underlay import as_in_file, controller_for, plan, target
from sdnapp.net.build import build
from sdnapp.net.model import Overlay


def overlay(*vteps: str, controller: str = "tcp:127.0.0.1:6653") -> Overlay:
    hosts = "\n".join(f"  h{n}: {{vtep: '{vtep}'}}" for n, vtep in enumerate(vteps))
    text = f"controller: {{target: '{controller}'}}\ntenants: {{red: {{networks: {{web: {{vni: 1}}}}}}}}\n"
    return build(parse(f"{text}hosts:\n{hosts}\nports: {{}}\n".encode(), "test.yaml"))


def test_vteps_of_one_subnet_share_it_with_the_controller_of_the_file() -> None:
    (segment,) = plan(overlay("192.168.4.201", "192.168.4.202", controller="tcp:192.168.4.10:6653"))

    assert segment.subnet == ip_network("192.168.4.0/24")
    assert segment.controller == ip_address("192.168.4.10")


@pytest.mark.parametrize("unfit", ["tcp:127.0.0.1:6653", "tcp:192.168.4.254:6653", "tcp:[fd00::1]:6653"])
def test_a_controller_that_does_not_fit_gets_a_free_address(unfit: str) -> None:
    (segment,) = plan(overlay("192.168.4.254", "192.168.4.202", controller=unfit))

    assert segment.controller == ip_address("192.168.4.253")


def test_the_subnet_is_as_wide_as_the_vteps_need() -> None:
    (segment,) = plan(overlay("10.0.0.1", "10.0.3.1"))

    assert segment.subnet == ip_network("10.0.0.0/22")


def test_each_address_family_has_a_segment_of_its_own() -> None:
    four, six = plan(overlay("10.0.0.1", "fd00::1"))

    assert controller_for(ip_address("10.0.0.1"), (four, six)) == four.controller
    assert controller_for(ip_address("fd00::1"), (four, six)) == six.controller
    assert six.subnet == ip_network("fd00::/64")


def test_vteps_without_a_common_subnet_are_refused() -> None:
    with pytest.raises(LabError, match=r"10\.0\.0\.1 to 192\.168\.4\.1"):
        plan(overlay("10.0.0.1", "192.168.4.1"))


def test_targets_are_as_open_vswitch_writes_them() -> None:
    assert target(ip_address("10.0.0.1"), 6653) == "tcp:10.0.0.1:6653"
    assert target(ip_address("fd00::1"), 6653) == "tcp:[fd00::1]:6653"


@pytest.mark.parametrize(
    ("controller", "same"),
    [
        ("ssl:192.168.4.10:6653", True),
        ("tcp:192.168.4.10:6653", False),  # as it always was: port 6653, whatever the file says
        ("ssl:192.168.4.202:6653", False),
        ("ssl:127.0.0.1:6653", False),
    ],
)
def test_with_tls_bridges_connect_as_the_file_says_where_the_lab_has_its_target(
    controller: str, same: bool
) -> None:
    secure = overlay("192.168.4.201", "192.168.4.202", controller=controller)

    assert as_in_file(secure, plan(secure)) is same
    assert identity.wanted(secure) is controller.startswith("ssl:")


def test_a_target_may_have_tls() -> None:
    assert target(ip_address("fd00::1"), 6653, tls=True) == "ssl:[fd00::1]:6653"


def test_a_file_that_names_its_own_tls_files_gets_no_certificates() -> None:
    text = b"""
controller: {target: "ssl:192.168.4.10:6653", bridge_tls: {key: "/pki/{host}.key"}}
tenants: {red: {networks: {web: {vni: 1}}}}
hosts: {h1: {vtep: 192.168.4.201}}
ports: {}
"""
    assert not identity.wanted(build(parse(text, "test.yaml")))
