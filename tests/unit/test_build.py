"""``Config`` to ``Overlay``: what is derived, and from what."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address, ip_interface

import pytest

from sdnapp.config import parse
from sdnapp.net.build import build
from sdnapp.net.model import Attachment, Encapsulation, Overlay
from sdnapp.net.mtu import overhead, workload_mtus

TENANTS = """
tenants:
  red:
    networks:
      web: {vlan: 10, vni: 5010, subnet: [10.1.1.0/24, fd00:1::/64]}
      db: {vni: 5011, subnet: 10.1.2.0/24}
  blue: {networks: {web: {vlan: 10, vni: 5020}}}
hosts:
  host3: {vtep: 192.168.4.203}
  host1: {vtep: 192.168.4.201}
  host2: {vtep: 192.168.4.202, vlans: {red/web: 30}}
ports:
"""
PORTS = """
  red2: {host: host2, network: red/web, address: [10.1.1.2, fd00:1::2]}
  red1: {host: host1, network: red/web, address: 10.1.1.1/24}
  blue3: {host: host3, network: blue/web}
"""


def overlay(ports: str = PORTS, head: str = "") -> Overlay:
    return build(parse((head + TENANTS + ports).encode(), "f"))


def test_tunnels_lead_only_to_hosts_that_share_a_network() -> None:
    hosts = overlay().hosts

    assert [tunnel.peer for tunnel in hosts["host1"].tunnels] == ["host2"]
    assert [tunnel.peer for tunnel in hosts["host2"].tunnels] == ["host1"]
    assert hosts["host3"].tunnels == ()


def test_both_ends_of_a_tunnel_agree() -> None:
    (there,), (back,) = (overlay().hosts[name].tunnels for name in ("host1", "host2"))

    assert (there.local_ip, there.remote_ip) == (back.remote_ip, back.local_ip)
    assert (there.encapsulation, there.dst_port, there.csum) == (back.encapsulation, back.dst_port, back.csum)
    assert (there.interface, back.interface) == ("vxlan-host2", "vxlan-host1")


@pytest.mark.parametrize(
    ("host1", "host2", "kind"),
    [
        ("", "", "vxlan"),
        ("gre", "", "gre"),
        ("", "gre", "gre"),
        ("gre", "gre", "gre"),
        ("gre", "{host1: geneve}", "geneve"),
        ("{'*': gre, host2: geneve}", "gre", "geneve"),
        ("{host3: gre}", "", "vxlan"),
    ],
)
def test_a_pair_of_hosts_agrees_on_its_encapsulation(host1: str, host2: str, kind: Encapsulation) -> None:
    text = TENANTS + PORTS
    for number, said in (("201", host1), ("202", host2)):
        if said:
            text = text.replace(
                f"vtep: 192.168.4.{number}", f"vtep: 192.168.4.{number}, encapsulation: {said}"
            )
    whole = build(parse(text.encode(), "f"))

    assert [t.encapsulation for h in ("host1", "host2") for t in whole.hosts[h].tunnels] == [kind] * 2
    assert workload_mtus(whole, whole.hosts["host3"], 1500)["blue3"] == 1500 - overhead(kind, 4, csum=False)


@pytest.mark.parametrize(
    ("kind", "underlay", "port", "csum"),
    [
        ("vxlan", "192.168.4.20", 4789, False),
        ("geneve", "192.168.4.20", 6081, False),
        ("gre", "192.168.4.20", None, False),
        ("vxlan", "fd00:4::20", 4789, True),
        ("geneve", "fd00:4::20", 6081, True),
        ("gre", "fd00:4::20", None, False),
    ],
)
def test_tunnel_defaults(kind: Encapsulation, underlay: str, port: int | None, csum: bool) -> None:
    text = f"overlay: {{encapsulation: {kind}}}\n{TENANTS}{PORTS}".replace("192.168.4.20", underlay)
    (tunnel,) = build(parse(text.encode(), "f")).hosts["host1"].tunnels

    assert (tunnel.dst_port, tunnel.csum) == (port, csum)


def test_tunnel_settings_of_the_file_win() -> None:
    (tunnel,) = overlay(head="overlay: {dst_port: 8472, csum: true}").hosts["host1"].tunnels

    assert (tunnel.dst_port, tunnel.csum) == (8472, True)


def test_everything_is_sorted_so_that_the_order_in_the_file_does_not_matter() -> None:
    turned = "\n".join(reversed(PORTS.splitlines()))

    assert overlay() == overlay(turned)
    assert list(overlay().ports) == ["blue3", "red1", "red2"]
    assert list(overlay().hosts) == ["host1", "host2", "host3"]
    assert overlay().tenants == ("blue", "red")


def test_access_port_has_the_tag_of_its_host_and_the_prefix_length_of_its_subnet() -> None:
    ports = overlay().ports

    assert ports["red1"].attachments[0].vlan == 10
    assert ports["red2"].attachments == (
        Attachment("red/web", 30, False, (ip_interface("10.1.1.2/24"), ip_interface("fd00:1::2/64"))),
    )


def test_trunk_has_its_untagged_network_first_and_each_address_in_the_network_whose_subnet_holds_it() -> None:
    port = overlay(
        "  router: {host: host1, network: red/db, trunk: {red/web: 7, blue/web: 9}, "
        "address: [10.1.1.1, fd00:1::1, 10.1.2.1]}"
    ).ports["router"]

    assert port.attachments == (
        Attachment("red/db", None, False, (ip_interface("10.1.2.1/24"),)),
        Attachment("blue/web", 9, True, ()),
        Attachment("red/web", 7, True, (ip_interface("10.1.1.1/24"), ip_interface("fd00:1::1/64"))),
    )


def test_port_defaults() -> None:
    port = overlay().ports["red1"]

    assert (port.interface, port.namespace, port.device) == ("red1", "red1", "eth0")
    assert port.mac


def test_device_in_a_namespace_of_the_file_is_named_like_the_interface() -> None:
    port = overlay("  red1: {host: host1, network: red/web, namespace: router, interface: to-red}").ports[
        "red1"
    ]

    assert (port.interface, port.namespace, port.device) == ("to-red", "router", "to-red")


def test_external_port_has_no_namespace_and_no_mac_of_ours() -> None:
    port = overlay("  vm: {host: host1, network: red/web, attach: external, interface: tap0}").ports["vm"]

    assert (port.interface, port.namespace, port.device, port.mac) == ("tap0", None, None, None)


def test_controller_on_every_host_by_default() -> None:
    controller = overlay().controller

    assert controller.per_host
    assert (controller.target, controller.listen_host, controller.listen_port) == (
        "tcp:127.0.0.1:6653",
        "127.0.0.1",
        6653,
    )
    assert (controller.rest_host, controller.rest_port) == ("127.0.0.1", 8080)


@pytest.mark.parametrize(
    ("target", "listen"), [("tcp:192.168.4.10:6633", "0.0.0.0"), ("tcp:[fd00:4::10]:6633", "::")]
)
def test_central_controller_listens_on_every_address(target: str, listen: str) -> None:
    controller = overlay(head=f"controller: {{target: '{target}'}}").controller

    assert not controller.per_host
    assert (controller.target, controller.listen_host, controller.listen_port) == (target, listen, 6633)


def test_overhead_is_that_of_the_headers() -> None:
    kinds: tuple[Encapsulation, ...] = ("vxlan", "geneve", "gre")

    assert [overhead(kind, 4, csum=False) for kind in kinds] == [50, 50, 42]
    assert [overhead(kind, 6, csum=False) for kind in kinds] == [70, 70, 62]
    assert [overhead(kind, 4, csum=True) for kind in kinds] == [50, 50, 46]


def test_workload_mtu_is_that_of_the_file_or_what_the_underlay_leaves() -> None:
    whole = overlay()
    host = whole.hosts["host1"]
    alone = replace(host, vtep=ip_address("fd00::1"), tunnels=())

    assert workload_mtus(whole, host, 1500)["red1"] == 1450
    assert workload_mtus(whole, alone, 9000)["red1"] == 8930
    assert workload_mtus(replace(whole, mtu=1400), host, 1500)["red1"] == 1400
