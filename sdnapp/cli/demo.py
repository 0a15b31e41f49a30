"""``sdnapp demo``: a scripted demonstration with real commands and their output."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import click
from rich.table import Table

from sdnapp.cli.demo_runner import DemoRun, beside_us
from sdnapp.cli.terminal import interrupted_by_sigterm, on_labs, screen
from sdnapp.lab import lifecycle, model, services
from sdnapp.lab.errors import LabError
from sdnapp.lab.machine import environment
from sdnapp.lab.process import alive
from sdnapp.shipped import examples

EXAMPLE = examples()["two-hosts"]

RED, BLUE = 5010, 5020
_SWITCHED = 20.0  # seconds for the running lab to follow the file


@click.command()
@click.option("--keep", is_flag=True, help="Leave the lab up at the end, and say how to look around.")
@click.option("--name", default="demo", show_default=True, help="How to name the lab.")
def demo(keep: bool, name: str) -> None:
    """Watch two tenants talk over GRE, then VXLAN.

    They have the same addresses, on two hosts that this machine runs as a lab.
    """
    console = screen()
    began = time.monotonic()
    with on_labs(), interrupted_by_sigterm():
        services.require("ovs-vswitchd", "ovs-vsctl", "tcpdump", "iperf3", "ping", "nsenter")
        if model.directory(name).exists():
            raise LabError(f"a lab named '{name}' exists: sdnapp lab down --name {name}")
        story = DemoRun(console, name, Path(tempfile.mkdtemp(prefix="sdnapp-demo-")))
        try:
            tell(story)
            if not keep:
                take_down(story)
        finally:
            if not keep:
                lifecycle.down(name)
                shutil.rmtree(story.directory, ignore_errors=True)
        summary(story, time.monotonic() - began)
        if keep:
            look_around(story)
    if not all(holds for _, holds in story.claims):
        raise SystemExit(1)


def tell(story: DemoRun) -> None:
    """Run all parts, from the file to the flows. Raises LabError without a working lab."""
    build(story)
    bridges(story, "gre")
    tenants_talk(story, "gre", "ip proto 47", "GREv0, key={key:#x}")
    tenants_stay_apart(story, "gre")
    tcp(story)
    switch(story)
    bridges(story, "vxlan")
    tenants_talk(story, "vxlan", "udp port 4789", "VXLAN, flags [I] (0x08), vni {key}")
    tenants_stay_apart(story, "vxlan")
    flows(story)


def build(story: DemoRun) -> None:
    """Bring the lab up from a copy of the example."""
    story.chapter("Two hosts, two tenants, the same addresses, one file")
    shutil.copy(EXAMPLE, story.directory / EXAMPLE.name)
    story.export("SDNAPP_LAB", story.name, "the lab that the commands below use")
    story.run(f"cat {EXAMPLE.name}")
    began = time.monotonic()
    well, _ = story.run(f"sdnapp lab up {EXAMPLE.name}", patience=90)
    if not well:
        raise LabError("the lab does not come up: see above")
    story.claim(f"a lab of two hosts came up from the file in {time.monotonic() - began:.1f} s", well)


def bridges(story: DemoRun, encapsulation: str) -> None:
    """Show both bridges as Open vSwitch knows them."""
    story.chapter(f"What Open vSwitch says ({encapsulation})")
    for host, peer in (("host1", "192.168.4.202"), ("host2", "192.168.4.201")):
        _, output = story.run(f"sdnapp lab exec {host} -- ovs-vsctl show")
        holds = (
            "fail_mode: secure" in output
            and output.count("tag: 10") == 2
            and f"type: {encapsulation}" in output
            and f'remote_ip="{peer}"' in output
        )
        story.claim(f"{host}: br-int is secure, both tenants have tag 10, {encapsulation} to {peer}", holds)


def tenants_talk(story: DemoRun, encapsulation: str, filters: str, header: str) -> None:
    """Let each tenant ping, and look at the underlay meanwhile."""
    for tenant, key in (("red", RED), ("blue", BLUE)):
        story.chapter(f"{tenant}1 pings {tenant}2 over {encapsulation}")
        wire = f"sdnapp lab capture host2 -- -l {filters}"
        with story.meanwhile(wire, until="listening on") as lines:
            well, output = story.run(f"sdnapp lab exec {tenant}1 -- ping -c 2 -i 0.2 10.1.1.2")
        story.claim(
            f"{tenant}1 (10.1.1.1) reaches {tenant}2 (10.1.1.2) over {encapsulation}",
            well and " 0% packet loss" in output,
        )
        echoes = [(before, line) for before, line in pairwise(lines) if "ICMP echo" in line]
        marked = all(header.format(key=key) in before + line for before, line in echoes)
        tagged = any("vlan" in line for _, line in echoes)
        story.claim(
            f"the underlay shows {header.format(key=key)} for {tenant} ({key}), and no inner tag",
            len(echoes) >= 4 and marked and not tagged,
        )


def tenants_stay_apart(story: DemoRun, encapsulation: str) -> None:
    """Probe every pair and compare with the file."""
    story.chapter("Red cannot reach blue")
    story.say("Addresses are equal, so a reply proves nothing: each probe is looked for in every namespace.")
    well, _ = story.run("sdnapp lab ping")
    story.claim(
        f"over {encapsulation} each tenant reaches itself, and no frame of one comes out at the other", well
    )


def tcp(story: DemoRun) -> None:
    """Measure throughput."""
    story.chapter("TCP, not only ping")
    with story.meanwhile("sdnapp lab exec red2 -- iperf3 -s -1 --forceflush", until="listening on"):
        well, output = story.run("sdnapp lab exec red1 -- iperf3 -c 10.1.1.2 -t 2")
    rate = re.search(r"([\d.]+ [KMG]?bits/sec) +receiver", output)
    moved = well and rate is not None and not rate.group(1).startswith("0.00")
    story.claim(f"TCP runs between red1 and red2: {rate.group(1) if rate else 'nothing arrives'}", moved)


def switch(story: DemoRun) -> None:
    """Change the file; everything follows."""
    story.chapter("The file changes; nothing is restarted")
    before = _pids(story.name)
    story.run(f"sed -i 's/encapsulation: gre/encapsulation: vxlan/' {EXAMPLE.name}")
    story.run(f"grep encapsulation {EXAMPLE.name}")
    began = time.monotonic()
    lab = model.read(story.name)
    followed = False
    while not followed and time.monotonic() < began + _SWITCHED:
        hosts = lifecycle.get(lab, "/v1/hosts")
        followed = all(_follows(host, "vxlan") for host in hosts) and not _tunnels(lab, "gre")
        time.sleep(0.02)
    took = f"{time.monotonic() - began:.1f} s"
    story.claim(f"both hosts use vxlan, and the last gre tunnel is gone, after {took}", followed)
    story.claim("no process was restarted", before == _pids(story.name) and all(map(alive, before)))


def _tunnels(lab: model.Lab, kind: str) -> list[str]:
    """Remaining tunnel ports of this kind: a tunnel is removed when no flow uses it any more."""
    left: list[str] = []
    for host in lab.hosts:
        command = ["ovs-vsctl", f"--db={lab.database(host)}", "list-ports", "br-int"]
        listed = subprocess.run(command, capture_output=True, text=True, env=environment(), check=False)
        left += (port for port in listed.stdout.split() if port.startswith(f"{kind}-"))
    return left


def flows(story: DemoRun) -> None:
    """Show the flows of a bridge, as names and as REST has them."""
    story.chapter("The flows, as REST dumps them")
    lab = model.read(story.name)
    named, _ = story.run("sdnapp flows host1")
    story.claim("sdnapp flows shows the flows of host1, with the names of tables", named)
    host = next(h for h in lifecycle.get(lab, "/v1/hosts") if h["name"] == "host1")
    dpid = int(host["datapath_id"], 16)
    path = f"/stats/flow/{dpid}"
    dump = lifecycle.get(lab, path)[str(dpid)]
    story.prompt(f"GET {lab.rest}{path}   # the first two of {len(dump)} flows")
    story.show(json.dumps(dump[:2], indent=2))
    keyed = [flow for flow in dump if any(str(key) in json.dumps(flow) for key in (RED, BLUE))]
    story.claim(
        f"REST dumps {len(dump)} flows of host1, and those of both tenants are among them", bool(keyed)
    )


def take_down(story: DemoRun) -> None:
    """Take the lab down and look whether anything stays."""
    story.chapter("Take-down")
    before = _pids(story.name)
    well, _ = story.run("sdnapp lab down")
    gone = not any(map(alive, before)) and not model.directory(story.name).exists()
    story.claim("nothing is left: no process, no namespace, no file", well and gone)


def summary(story: DemoRun, seconds: float) -> None:
    """Print the results."""
    table = Table("", "what was proved", title=f"after {seconds:.0f} s", title_justify="left")
    for sentence, holds in story.claims:
        table.add_row("[green]✓[/]" if holds else "[bold red]✗[/]", sentence)
    story.console.print()
    story.console.print(table)
    broken = sum(not holds for _, holds in story.claims)
    story.console.print(
        f"{broken} of {len(story.claims)} claims did not hold" if broken else "all of it held"
    )


def look_around(story: DemoRun) -> None:
    """Say what can be done with a lab that was left up."""
    file = story.directory / EXAMPLE.name
    story.console.print(f"\nThe lab is still up, and follows {file}. Look around, as root:", soft_wrap=True)
    if shutil.which("sdnapp") is None:
        story.console.print(f"  export PATH={beside_us()}:$PATH", soft_wrap=True)
    for command in (
        f"export SDNAPP_LAB={story.name}",
        "sdnapp lab status",
        "sdnapp lab exec red1 -- ping 10.1.1.2",
        "sdnapp lab exec host1 -- ovs-ofctl -O OpenFlow13 dump-flows br-int",
        "sdnapp lab capture host1",
        f"sdnapp lab down && rm -r {story.directory}   # take it down",
    ):
        story.console.print(f"  {command}", soft_wrap=True)


def _follows(host: dict[str, Any], encapsulation: str) -> bool:
    tunnels = host["tunnels"]
    return bool(
        host["in_sync"]
        and tunnels
        and all(t["encapsulation"] == encapsulation and t["ofport"] for t in tunnels)
    )


def _pids(name: str) -> list[Any]:
    lab = model.read(name)
    return [process for machine in lab.machines for process in (machine.anchor, *machine.services.values())]
