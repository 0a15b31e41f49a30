"""What a file would change, told before it does."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from pydantic import TypeAdapter

from flows.tables import Table
from sdnapp.cli.main import main
from sdnapp.config_file import load
from sdnapp.net.mesh import with_tunnels
from sdnapp.net.model import Overlay
from sdnapp.net.overlay_diff import differences, flow_differences
from tests.overlays import TWO_HOSTS, overlay

CONFIGS = Path(__file__).parents[2] / "configs"


def told(*changes: tuple[str, str]) -> list[str]:
    """In words, what these changes of the text change."""
    return list(map(str, differences(overlay(), changed(*changes))))


def changed(*changes: tuple[str, str]) -> Overlay:
    text = TWO_HOSTS
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    return overlay(text)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("vni: 5010", "vni: 6010"), ["~ network red/web: vni 5010 -> 6010"]),
        (
            ("encapsulation: gre", "encapsulation: vxlan"),
            ["~ overlay: encapsulation gre -> vxlan, UDP port none -> 4789"],
        ),
        (
            ("vtep: 192.168.4.201", "vtep: 192.168.4.201, encapsulation: vxlan"),
            [
                "~ overlay: UDP port none -> 4789",
                "~ tunnel host1 to host2: encapsulation of its own none -> vxlan",
                "~ tunnel host2 to host1: encapsulation of its own none -> vxlan",
            ],
        ),
        (("red2:  {host: host2", "red2:  {host: host1"), ["~ port red2: host host2 -> host1"]),
        (("{encapsulation: gre}", "{encapsulation: gre, mtu: 1400}"), ["~ overlay: mtu none -> 1400"]),
        (
            ("red:  {networks: {web: {vlan: 10", "red:  {networks: {web: {vlan: 11"),
            [
                "~ network red/web: vlan 10 -> 11",
                "~ port red1: in red/web untagged 10 10.1.1.1/24 -> untagged 11 10.1.1.1/24",
                "~ port red2: in red/web untagged 10 10.1.1.2/24 -> untagged 11 10.1.1.2/24",
            ],
        ),
    ],
)
def test_each_difference_is_a_line(change: tuple[str, str], words: list[str]) -> None:
    assert told(change) == words


def test_what_comes_and_goes_is_told_with_all_that_is_known_of_it() -> None:
    (host,) = told(("hosts:", "hosts:\n  host0: {vtep: 192.168.4.200}"))
    (port,) = told(("  red1:  {host: host1, network: red/web,  address: 10.1.1.1/24}\n", ""))

    assert host.startswith("+ host host0: vtep 192.168.4.200, bridge br-int, datapath id 0000")
    assert port.startswith("- port red1: host host1, interface red1, mac 02:")
    assert port.endswith("in red/web untagged 10 10.1.1.1/24")


def test_a_host_that_shares_its_last_network_no_more_loses_its_tunnels() -> None:
    words = told(
        ("red2:  {host: host2", "red2:  {host: host1"), ("blue2: {host: host2", "blue2: {host: host1")
    )

    assert {"- tunnel host1 to host2", "- tunnel host2 to host1"} <= set(words)


def test_the_order_of_a_file_is_no_difference() -> None:
    head, ports = TWO_HOSTS.split("ports:\n")
    turned = overlay(head + "ports:\n" + "".join(reversed(ports.splitlines(keepends=True))))

    assert differences(overlay(), turned) == ()
    assert flow_differences(overlay(), turned) == ()


def test_flow_by_flow_it_is_what_the_bridges_would_get_and_lose() -> None:
    found = {of.host: of for of in flow_differences(overlay(), changed(("vni: 5010", "vni: 6010")))}

    assert found.keys() == {"host1", "host2"}
    for of_host in found.values():
        assert len(of_host.add) == len(of_host.remove)
        assert all("5010" in str(flow) for flow in of_host.remove)
        assert all("6010" in str(flow) for flow in of_host.add)
        assert Table.TUNNEL_TO_NETWORK in {flow.table for flow in of_host.add}


def test_a_new_setting_of_devices_changes_no_flow() -> None:
    assert (
        flow_differences(overlay(), changed(("{encapsulation: gre}", "{encapsulation: gre, mtu: 1400}")))
        == ()
    )


@pytest.mark.parametrize("example", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.stem)
def test_what_rest_serves_of_an_overlay_is_that_overlay(example: Path) -> None:
    there, adapter = load(example), TypeAdapter(Overlay)

    assert adapter.validate_python(json.loads(adapter.dump_json(with_tunnels(there)))) == there


def test_the_command_compares_two_files(tmp_path: Path) -> None:
    old, new = tmp_path / "old.yaml", tmp_path / "new.yaml"
    old.write_text(TWO_HOSTS)
    new.write_text(TWO_HOSTS.replace("vni: 5010", "vni: 6010"))

    same = CliRunner().invoke(main, ["diff", str(old), str(old), "--flows"])
    other = CliRunner().invoke(main, ["diff", str(old), str(new), "--flows"])
    as_json = CliRunner().invoke(main, ["diff", str(old), str(new), "--flows", "--json"])

    assert (same.exit_code, same.output) == (0, "")
    assert other.exit_code == 1
    assert other.output.startswith("~ network red/web: vni 5010 -> 6010\n\nhost1: ")
    assert "+ tunnel-to-network 100" in other.output
    answer = json.loads(as_json.output)
    assert answer["differences"][0]["name"] == "red/web"
    assert answer["flows"].keys() == {"host1", "host2"}


def test_the_command_says_what_is_wrong_and_exits_with_2(tmp_path: Path) -> None:
    file = tmp_path / "file.yaml"
    file.write_text("overlay: 7")

    assert CliRunner().invoke(main, ["diff", str(file), str(file)]).exit_code == 2
    file.write_text(TWO_HOSTS)
    nobody = CliRunner().invoke(main, ["diff", str(file), "--rest", "http://127.0.0.1:9"])
    assert nobody.exit_code == 2
    assert "no controller answers" in nobody.output
