"""TLS files of Open vSwitch in the plan: before the target that needs them, and after it."""

from __future__ import annotations

from dataclasses import replace

from sdnapp.provision.desired import Wanted
from sdnapp.provision.plan import diff
from sdnapp.provision.world import Bridge, Tls
from tests.hosts import after, found, lines, wanted, world
from tests.overlays import TWO_HOSTS

SECURED = TWO_HOSTS.replace("tcp:192.168.4.10:6653", "ssl:192.168.4.10:6653")
FILES = "/etc/sdnapp/tls/host.key, /etc/sdnapp/tls/host.crt, /etc/sdnapp/tls/controller-ca.crt"
OTHERS = Tls(None, "/k", "/c", "/ca")


def bridge_target(want: Wanted) -> str:
    bridge = found(want, Bridge, "br-int")
    assert isinstance(bridge, Bridge)
    return bridge.controllers[0].target


def test_tls_files_come_before_the_target_that_needs_them_and_go_after_it() -> None:
    plain, secured = after(world(), wanted(world())), after(world(), wanted(world(), text=SECURED))

    assert lines(diff(wanted(plain, text=SECURED), plain, "host1")) == [
        f"create  TLS files ({FILES})",
        "change  bridge br-int: controllers tcp:192.168.4.10:6653 -> ssl:192.168.4.10:6653",
    ]
    assert lines(diff(wanted(secured), secured, "host1")) == [
        "change  bridge br-int: controllers ssl:192.168.4.10:6653 -> tcp:192.168.4.10:6653",
        "delete  TLS files",
    ]
    assert "delete  TLS files" in lines(diff(Wanted(), secured, "host1"))


def test_a_bridge_keeps_its_controller_while_its_tls_files_cannot_be_used() -> None:
    plain, secured = after(world(), wanted(world())), after(world(), wanted(world(), text=SECURED))

    for host, target in ((plain, "tcp:192.168.4.10:6653"), (secured, "ssl:192.168.4.10:6653")):
        want = wanted(host, text=SECURED, tls_fault="cannot read /k: no such file")
        assert bridge_target(want) == target
        assert want.problems[-1] == f"host1 keeps its controller {target}: cannot read /k: no such file"
        assert diff(want, host, "host1").steps == ()


def test_tls_files_of_others_stay_and_count_where_they_are_the_same() -> None:
    plain = after(world(), wanted(world()))
    want = wanted(replace(plain, tls=OTHERS), text=SECURED)
    same = replace(OTHERS, **dict(zip(("key", "certificate", "ca"), FILES.split(", "), strict=True)))

    assert bridge_target(want) == "tcp:192.168.4.10:6653"
    assert "Open vSwitch has other TLS files (/k, /c, /ca)" in want.problems[-1]
    assert diff(want, replace(plain, tls=OTHERS), "host1").steps == ()
    want = wanted(replace(plain, tls=same), text=SECURED)
    assert bridge_target(want) == "ssl:192.168.4.10:6653"
    assert not [thing for thing in want.things if isinstance(thing, Tls)]
