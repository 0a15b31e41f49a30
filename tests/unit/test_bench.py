"""The frame of the benchmarks: what a figure says, and that both sides are measured alike."""

from __future__ import annotations

from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from flows.compile import compile_bridge
from flows.view import BridgeView
from sdnapp.config_file import load
from sdnapp.lab.errors import LabError
from sdnapp.net.model import Overlay
from tests.bench import __main__ as bench_command
from tests.bench import charts, faucet, features, ovn, programs, sides
from tests.bench.figure import (
    Curve,
    Figure,
    absolute,
    as_good,
    at_least,
    beside,
    by_turns,
    flat,
    interleaved,
    line,
    no_later,
    plain,
    table,
)
from tests.bench.pace import pace, work
from tests.bench.pulse import Pulse, Wait

EXAMPLES = sorted((Path(__file__).parents[2] / "configs").glob("*.yaml"))


def test_a_median_within_its_bar_meets_it_whatever_a_single_sample_does() -> None:
    assert absolute("lab up", [2.0, 30.0, 4.0], "s", at_most=8) == Figure(
        "lab up", 4.0, None, "s", None, "≤ 8 s", met=True, limit=8
    )
    assert not absolute("lab up", [9.0, 8.01, 1.0], "s", at_most=8).met


def test_a_bar_in_time_is_wider_on_a_slower_machine_and_that_of_a_count_is_not() -> None:
    slow = absolute("lab up", [12.0], "s", at_most=8)
    assert not slow.met
    assert slow.at_pace(2.0).met
    assert slow.at_pace(2.0).bar == "≤ 8 s * 2"
    assert not at_least("rate", [3000], "/s", bar=5000).met
    assert at_least("rate", [3000], "/s", bar=5000).at_pace(2.0).met

    memory = absolute("memory", [90.0], "MB", at_most=80)
    ratio = as_good("rate", ([2], [1]), "/s", at_least=1)
    assert memory.at_pace(2.0) == memory
    assert ratio.at_pace(2.0) == ratio
    curve = Curve("c", "n", "s", "time", {1: slow})
    assert curve.at_pace(2.0).points[1].met


def test_a_figure_is_a_line_as_soon_as_it_is_measured() -> None:
    assert line(absolute("lab up", [9.5], "s", at_most=8)) == "lab up: 9.5 s, ≤ 8 s: NOT met"
    assert line(plain("lost", [0.0], "", [1.0])) == "lost: 0, beside 1"


def test_plain_work_is_the_same_each_time() -> None:
    assert work() == work()
    assert pace() > 0


def test_a_ratio_above_one_means_that_ours_is_better() -> None:
    """Of a rate more is better, of a time less."""
    rate = as_good("rate", ([2.0, 2.0, 9.0], [1.0, 1.0, 1.0]), "Gbit/s", at_least=0.95)
    time = as_good("time", ([2.0], [1.0]), "ms", at_least=0.95, less_is_better=True)

    assert (rate.ratio, rate.met) == (2.0, True)
    assert (time.ratio, time.met) == (0.5, False)


def test_what_is_only_compared_has_no_bar() -> None:
    assert beside("time", ([2.0], [1.0]), "ms", less_is_better=True) == Figure("time", 2.0, 1.0, "ms", 0.5)


def test_a_machine_that_gets_slower_does_so_for_both_sides() -> None:
    """Each turn is compared with itself: medians of the sides alone could come from different times."""
    assert as_good("rate", ([10.0, 4.0, 1.0], [10.0, 5.0, 1.0]), "Gbit/s", at_least=0.95).ratio == 1.0


def test_both_sides_are_measured_by_turns_and_each_goes_first_as_often() -> None:
    order: list[str] = []

    def measured(side: str) -> float:
        order.append(side)
        return float(len(order))

    samples = interleaved(lambda: measured("a"), lambda: measured("b"), 4)

    assert "".join(order) == "abbaabba"
    assert samples == ([1.0, 4.0, 5.0, 8.0], [2.0, 3.0, 6.0, 7.0])


def test_any_number_of_sides_is_measured_by_turns() -> None:
    order: list[str] = []
    by_turns([lambda name=name: order.append(name) for name in "abc"], 2)  # type: ignore[misc]

    assert "".join(order) == "abccba"


def test_a_constant_more_than_the_reference_is_allowed() -> None:
    assert no_later("outage", ([250.0], [160.0]), "ms", by=100).met
    assert not no_later("outage", ([270.0], [160.0]), "ms", by=100).met


def test_a_reference_that_loses_nothing_gives_no_ratio() -> None:
    assert plain("packets lost", [0.0], "", [0.0]).ratio is None


def test_the_table_shows_every_figure_and_what_is_missed() -> None:
    console = Console(width=120, record=True, file=StringIO())
    console.print(
        table([absolute("lab up", [9.5], "s", at_most=8), as_good("rate", ([2], [1]), "", at_least=1)])
    )
    lines = console.export_text().splitlines()

    assert any("lab up" in line and "9.5 s" in line and "≤ 8 s" in line and "no" in line for line in lines)
    assert any("rate" in line and "2" in line and "≥ 1" in line and "yes" in line for line in lines)


def test_json_has_the_keys_of_the_table() -> None:
    found = absolute("lab up", [2.0], "s", at_most=8).as_json()

    assert found == {
        "figure": "lab up",
        "ours": 2.0,
        "reference": None,
        "unit": "s",
        "ratio": None,
        "bar": "≤ 8 s",
        "met": True,
    }


def test_without_a_bar_there_is_nothing_to_be_met() -> None:
    figure = plain("memory", [60.0], "MB")

    assert figure.met is None
    assert figure.as_json()["bar"] == ""


def test_a_curve_compares_the_cost_of_each_of_many_with_each_of_few() -> None:
    points = {10: plain("10", [1.0], "s"), 100: plain("100", [20.0], "s")}
    curve = Curve("flows", "program", "flows", "time", points)
    each = curve.each(10, 100, times=1.5)

    assert (each.unit, each.reference, each.ours, each.met) == ("µs", 1e5, 2e5, False)
    assert list(flat([curve, each])) == [*points.values(), each]


def test_only_waits_that_fell_into_the_time_count() -> None:
    felt = Pulse(port=0)
    felt.waits += [Wait(1.0, 1.9), Wait(2.0, 2.25), Wait(2.9, 3.4), Wait(4.0, 4.8)]

    assert felt.longest(2.1, 3.0) == pytest.approx(500)


def test_a_chart_says_what_it_shows_and_is_a_file(tmp_path: Path) -> None:
    points = {1000: plain("few", [0.1], "s", [0.2]), 10_000: absolute("many", [0.82], "s", at_most=1)}
    curve = Curve("flows", "program", "flows", "time", points, "ovs-ofctl")

    assert charts.finding(curve) == "10 times the flows, 8.2 times the time"
    assert [file.name for file in charts.draw([curve], tmp_path, "2 processors")] == ["flows.png"]
    assert (tmp_path / "flows.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("networks", [1, 2, 50])
def test_a_bridge_needs_no_more_flows_than_it_may(networks: int) -> None:
    view = programs.bridge(networks)

    assert len(compile_bridge(view).flows) <= programs.allowed(view)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda file: file.stem)
def test_the_parts_of_an_example_need_no_more_flows_than_they_may(example: Path) -> None:
    """Networks mostly need fewer, and so make up for what is fixed: with one or none, it counts as it is."""
    overlay = load(example)
    fixed = len(compile_bridge(BridgeView((), (), False, 0, 0)).flows)

    for host in overlay.hosts:
        view = programs.complete(overlay, host)
        parts = programs.allowed(view) - programs.FIXED + len(view.tunnels)
        assert len(compile_bridge(view).flows) <= fixed + parts


@pytest.mark.parametrize("number", [0, 499, 999])
def test_every_side_gives_a_port_the_addresses_of_the_file(number: int, tmp_path: Path) -> None:
    """OVN is told them apart from the file."""
    file = tmp_path / "overlay.yaml"
    file.write_text(sides.text(1000))
    port = load(file).ports[f"p{number}"]

    assert (port.mac, str(port.attachments[0].addresses[0].ip)) == sides.addresses(number)


@pytest.mark.parametrize("setting", features.FEATURES, ids=lambda setting: setting.name)
def test_each_feature_is_measured_alone_and_all_but_the_first_together(
    setting: features.Setting, tmp_path: Path
) -> None:
    """The file is sound with it, and another one than without."""
    file = tmp_path / "overlay.yaml"

    def loaded(said: features.Setting) -> Overlay:
        file.write_text(features.text(said))
        return load(file)

    everything = features.EVERYTHING
    assert loaded(setting) != loaded(features.PLAIN)
    if setting is not features.FEATURES[0]:
        assert loaded(everything) == loaded(features.together(everything, setting, name="with it"))


def test_a_peer_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(ovn, "environment", lambda: {"PATH": str(tmp_path)})
    with pytest.raises(LabError, match="OVN is not installed: apt-get install ovn-central ovn-host"):
        ovn.require()

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr("venv.create", lambda home, **_: failing(home / "bin" / "pip"))
    with pytest.raises(LabError, match=r"Faucet is not installed: pip install faucet==.*: it is not there"):
        faucet.installed()


def failing(program: Path) -> None:
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\necho it is not there >&2\nexit 1\n")
    program.chmod(0o755)


def test_every_family_has_a_usual_time() -> None:
    assert bench_command._SECONDS.keys() == bench_command.FAMILIES.keys()
