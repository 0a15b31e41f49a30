"""``Config`` to ``Overlay``: what is derived, and from what."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address, ip_interface

import pytest

from sdnapp.config import parse
from sdnapp.net.build import build
from sdnapp.net.model import Attachment, Encapsulation, Listen, Overlay, Rest, TlsFiles
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
    assert controller.target == "tcp:127.0.0.1:6653"
    assert controller.listens == (Listen(tls=False, host="127.0.0.1", port=6653),)
    assert controller.rest == Rest(tls=False, host="127.0.0.1", port=8080, access=None, client_ca=None)


@pytest.mark.parametrize(
    ("target", "listen"),
    [
        ("tcp:192.168.4.10:6633", Listen(tls=False, host="0.0.0.0", port=6633)),
        ("tcp:[fd00:4::10]:6633", Listen(tls=False, host="::", port=6633)),
        ("ssl:192.168.4.10:6633", Listen(tls=True, host="0.0.0.0", port=6633)),
    ],
)
def test_central_controller_listens_on_every_address(target: str, listen: Listen) -> None:
    controller = overlay(head=f"controller: {{target: '{target}'}}").controller

    assert not controller.per_host
    assert (controller.target, controller.listens) == (target, (listen,))


def test_listeners_of_both_kinds_serve_a_migration() -> None:
    controller = overlay(
        head="controller: {listen: ['tcp:0.0.0.0:6653', 'ssl:[::]:6654'], target: 'ssl:192.168.4.10:6654'}"
    ).controller

    assert controller.listens == (Listen(False, "0.0.0.0", 6653), Listen(True, "::", 6654))


def test_a_bridge_has_the_certificate_and_the_source_addresses_of_its_host_by_default() -> None:
    host = overlay().hosts["host1"]

    assert host.certificate == "host1"
    assert list(map(str, host.accept_from)) == ["192.168.4.201/32", "127.0.0.0/8", "::1/128"]


def test_management_addresses_are_accepted_beside_the_vtep_and_accept_from_replaces_both() -> None:
    managed = TENANTS.replace("host1: {", "host1: {management: [10.0.0.11, fd00::11], ") + PORTS
    listed = "controller: {accept_from: {host1: [10.0.0.0/24, 10.1.0.1]}}\n" + managed

    def sources(text: str) -> list[str]:
        return list(map(str, build(parse(text.encode(), "f")).hosts["host1"].accept_from))

    assert sources(managed)[:3] == ["192.168.4.201/32", "10.0.0.11/32", "fd00::11/128"]
    assert sources(listed) == ["10.0.0.0/24", "10.1.0.1/32"]


def test_tls_files_have_usual_places_and_may_name_the_host() -> None:
    head = "controller: {tls: {key: /k}, bridge_tls: {certificate: '/pki/{host}.crt'}}"
    usual, named = overlay(), overlay(head=head)

    assert usual.controller.tls == TlsFiles(
        "/etc/sdnapp/tls/controller.key", "/etc/sdnapp/tls/controller.crt", "/etc/sdnapp/tls/switch-ca.crt"
    )
    assert usual.hosts["host1"].tls == TlsFiles(
        "/etc/sdnapp/tls/host.key", "/etc/sdnapp/tls/host.crt", "/etc/sdnapp/tls/controller-ca.crt"
    )
    assert named.controller.tls.key == "/k"
    assert named.hosts["host1"].tls.certificate == "/pki/host1.crt"


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
