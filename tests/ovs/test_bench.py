"""What the benchmarks ask a real Open vSwitch."""

from __future__ import annotations

from pathlib import Path

from tests.bench.flow_count import flow_count
from tests.ovs.switchd import private_ovs


def test_flows_are_counted_as_ovs_ofctl_counts_them(tmp_path: Path) -> None:
    with private_ovs(tmp_path) as ovs:
        ovs.vsctl("add-br", "br", "--", "set", "bridge", "br", "fail_mode=secure", "protocols=OpenFlow13")
        with flow_count(tmp_path / "br.mgmt") as count:
            counts = [count()]
            for table in range(3):
                ovs.ofctl("add-flow", "br", f"table={table},actions=drop")
                counts.append(count())

        assert counts == [0, 1, 2, 3]
        assert len(ovs.flows("br")) == 3
