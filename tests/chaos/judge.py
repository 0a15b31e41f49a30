"""What must hold after every step: in sync and right, as the file promises, and nothing left behind."""

from __future__ import annotations

import json
import re
import struct
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import ip_address
from itertools import permutations
from pathlib import Path

from flows.compile import compile_bridge
from flows.flow import OWNER, FlowKey, Origin
from sdnapp.frames.packet import Ends, octets, with_udp
from sdnapp.lab.echo import BROADCAST
from sdnapp.lab.errors import LabError
from sdnapp.lab.ping import measure
from sdnapp.lab.process import alive
from sdnapp.net.encap_migration import assume_programmed, desired_encap
from sdnapp.net.events import BridgeFound
from sdnapp.net.model import Host, Overlay
from sdnapp.net.project import project
from sdnapp.net.step import step
from tests.attack.health import is_of_this_kernel
from tests.chaos.document import GHOST, GUEST, GUEST_ADDRESS
from tests.chaos.subject import Subject
from tests.netns.raw import device, heard

_DUMP = ("ovs-ofctl", "-O", "OpenFlow13", "--no-stats", "dump-flows", "br-int")
_CLIENT, _OFFERED = "red1", 0.4
"""The port that asks by DHCP, and seconds until it has an answer."""
_ANY_MAC = b"client"
_DISCOVER = (  # RFC 2131 section 2, RFC 2132 section 9.6
    struct.pack("!BBBBIHH16x6s10x192x", 1, 1, 6, 0, 0x5D4AA9, 0, 0, _ANY_MAC)
    + b"\x63\x82\x53\x63\x35\x01\x01\xff"
)
_OWN_DEVICES = frozenset(["lo", "eth0", "br-int", "br-phy", "ovs-netdev"])


@dataclass(frozen=True, slots=True)
class Footing:
    """What a host has when all is well, but for what its ports bring with them."""

    processes: Counter[str]
    qdiscs: frozenset[str]


def footing(subject: Subject, host: str) -> Footing:
    """Look at a host."""
    return Footing(_processes(subject, host), _qdiscs(subject, host, "eth0"))


def complaints(
    subject: Subject, overlay: Overlay, footings: Mapping[str, Footing], allowed: frozenset[str]
) -> list[str]:
    """Return all that is not as it should be now, the cheapest looks first: none, all is well.

    ``overlay``: what the file says. ``allowed``: kinds of alarms that may be there.
    """
    for look in (_services, _controllers, _devices, _programs):
        found = list(look(subject, overlay))
        if look is _controllers:
            found += _health(subject, overlay, allowed)
        if found:
            return found
    found = [
        words for host in subject.hosts for words in _left_behind(subject, overlay, host, footings[host])
    ]
    return found or list(_promises(subject, overlay))


def _services(subject: Subject, _overlay: Overlay) -> Iterator[str]:
    for (machine, service), process in subject.processes().items():
        if not alive(process):
            yield f"{service} of {machine} has ended"


def _controllers(subject: Subject, _overlay: Overlay) -> Iterator[str]:
    """Every bridge is connected and in sync, and all of its ports and tunnels are there."""
    for controller in subject.controllers:
        try:
            seen = {host["name"]: host for host in subject.get("/v1/hosts", controller)}
            ports = subject.get("/v1/ports", controller)
        except LabError as error:
            yield str(error)
            continue
        for name in subject.hosts if subject.central else (controller,):
            host = seen.get(name, {})
            for word in ("connected", "in_sync"):
                if not host.get(word):
                    yield f"{name} is not {word}"
            for tunnel in host.get("tunnels", ()):
                if not tunnel["ofport"] or (tunnel["down"] and tunnel["peer"] in subject.hosts):
                    yield f"{tunnel['interface']} of {name} is {'down' if tunnel['ofport'] else 'missing'}"
            yield from (f"{name}: {failure}" for failure in host.get("failures", ()))
            for port in ports:
                if port["host"] == name and not port["ofport"]:
                    yield f"port {port['name']} is missing on {name}"


def _health(subject: Subject, overlay: Overlay, allowed: frozenset[str]) -> Iterator[str]:
    absent = {f"the bridge of {name} is not connected" for name in overlay.hosts if name not in subject.hosts}
    for controller in subject.controllers:
        with suppress(LabError):  # said already
            told = set(subject.get("/healthz", controller)["problems"])
            alarms = subject.get("/v1/alarms", controller)
            told -= absent | {alarm["text"] for alarm in alarms if alarm["kind"] in allowed}
            told -= {
                alarm["text"] for alarm in alarms if alarm["kind"] == "tunnel-down" and GHOST in alarm["text"]
            }
            told -= {alarm["text"] for alarm in alarms if is_of_this_kernel(alarm)}
            yield from (f"healthz of {controller}: {words}" for words in sorted(told))


def _devices(subject: Subject, overlay: Overlay) -> Iterator[str]:
    """Interfaces, OVS ports and namespaces are those of the file, no more and no less."""
    for name in subject.hosts:
        host = overlay.hosts[name]
        interfaces = {port.interface for port in host.ports}
        links = json.loads(subject.run(name, "ip", "-j", "link"))
        yield from _differing(
            f"devices of {name}", {link["ifname"] for link in links}, interfaces | _OWN_DEVICES
        )
        try:
            plugged = set(subject.run(name, "ovs-vsctl", "--timeout=5", "list-ports", "br-int").split())
        except AssertionError as error:
            yield f"{name}: {error}"
            continue
        expected = interfaces | {tunnel.interface for tunnel in host.tunnels}
        yield from _differing(f"ports of br-int of {name}", plugged, expected)
        listed = json.loads(subject.run(name, "ip", "-j", "netns") or "[]")
        there = {namespace["name"] for namespace in listed}
        wanted = {port.namespace for port in host.ports if port.namespace is not None}
        yield from _differing(f"namespaces of {name}", there, wanted)


def _differing(what: str, there: set[str], wanted: set[str]) -> Iterator[str]:
    if there - wanted:
        yield f"{what}: {', '.join(sorted(there - wanted))} should not be there"
    if wanted - there:
        yield f"{what}: {', '.join(sorted(wanted - there))} should be there"


def _programs(subject: Subject, overlay: Overlay) -> Iterator[str]:
    """Each bridge holds what is computed here, anew, from the file and the numbers of its ports.

    What was learned is beyond that, and says so in its cookies.
    """
    try:
        ports = {name: _numbers(subject, overlay.hosts[name]) for name in subject.hosts}
    except (AssertionError, ValueError) as error:
        yield str(error)
        return
    state = assume_programmed(overlay)
    for name, numbers in ports.items():
        state = step(state, BridgeFound(name, numbers))
    for name in subject.hosts:
        program = compile_bridge(project(state, name, desired_encap(state, name)))
        there = flows(subject, name)
        lost = program.flows.keys() - there.keys()
        fixed = {key for key in there if key[1] >> 52 == OWNER << 4 | Origin.STATIC}
        foreign = {key for key in there if key[1] >> 56 != OWNER}
        for words, keys in (
            ("lacks", lost),
            ("should not hold", (fixed | foreign) - program.flows.keys()),
        ):
            if keys:
                shown = "; ".join(there.get(key) or str(program.flows[key]) for key in sorted(keys)[:3])
                yield f"br-int of {name} {words} {len(keys)} of {len(program.flows)} flows: {shown}"
        meters = subject.run(name, "ovs-ofctl", "-O", "OpenFlow13", "dump-meters", "br-int")
        found = {number.replace("controller", "4294967293") for number in re.findall(r"meter=(\w+)", meters)}
        wanted = {str(number).replace("4294967294", "4294967293") for number in program.meters}
        yield from _differing(f"meters of {name}", found, wanted)


def _numbers(subject: Subject, host: Host) -> dict[str, int]:
    plugged = set(subject.run(host.name, "ovs-vsctl", "--timeout=5", "list-ifaces", "br-int").split())
    listed = subject.run(
        host.name, "ovs-vsctl", "--timeout=5", "-f", "json", "--columns=name,ofport", "list", "interface"
    )
    rows = json.loads(listed)["data"]
    return {
        name: number for name, number in rows if name in plugged and isinstance(number, int) and number > 0
    }


def flows(subject: Subject, host: str) -> dict[FlowKey, str]:
    """Return what a bridge holds: by identity, the flow in the words of ovs-ofctl(8)."""
    found = {}
    for line in subject.run(host, *_DUMP).splitlines():
        if match := re.search(r"cookie=0x(\w+), (?:table=(\d+), )?(.*)", line):
            found[int(match[2] or 0), int(match[1], 16)] = f"table={match[2] or 0} {match[3]}"
    return found


def _left_behind(subject: Subject, overlay: Overlay, host: str, before: Footing) -> Iterator[str]:
    more = _processes(subject, host) - before.processes
    if more:
        yield f"processes of {host} that were not there before: {dict(more)}"
    if (qdiscs := _qdiscs(subject, host, "eth0")) != before.qdiscs:
        yield f"qdiscs of eth0 of {host}: {sorted(qdiscs)}, before: {sorted(before.qdiscs)}"
    spaces = {port.namespace for port in overlay.hosts[host].ports if port.namespace is not None}
    for name, times in sorted(_mounts(subject, host).items()):
        if name in spaces and times > 1:
            yield f"namespace {name} of {host} is mounted {times} times"


def _processes(subject: Subject, host: str) -> Counter[str]:
    """What runs in the PID namespace of a host, by name."""
    found: Counter[str] = Counter()
    space = Path(f"/proc/{subject.machine(host).anchor.pid}/ns/pid").readlink()
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if (process / "ns/pid").readlink() == space:
                found[(process / "comm").read_text().strip()] += 1
    return found


def _qdiscs(subject: Subject, host: str, device: str) -> frozenset[str]:
    listed = json.loads(subject.run(host, "tc", "-j", "qdisc", "show", "dev", device))
    return frozenset(qdisc["kind"] for qdisc in listed)


def _mounts(subject: Subject, host: str) -> Counter[str]:
    """How often each network namespace is mounted on a host; also what the machine had when it was made."""
    mounts = Path(f"/proc/{subject.machine(host).anchor.pid}/mounts").read_text().splitlines()
    places = (Path(line.split()[1]) for line in mounts)
    return Counter(place.name for place in places if place.parent == Path("/run/netns"))


def _promises(subject: Subject, overlay: Overlay) -> Iterator[str]:
    """Every pair of ports, against what the file promises; and the guest answers."""
    try:
        cells = measure(subject.lab, overlay, set(permutations(overlay.ports, 2)))
    except LabError as error:
        yield str(error)
        return
    if not any(cell.expected for cell in cells.values()):
        yield "there is no promise to keep"
    for (source, destination, version), cell in cells.items():
        yield from (f"from {source} to {destination}, IPv{version}: {words}" for words in cell.failures)
    yield from _lease(subject, overlay)
    if GUEST in overlay.ports:
        answer = subject.run("red1", "ping", "-c", "1", "-W", "1", GUEST_ADDRESS, check=False)
        if "1 received" not in answer:
            yield f"{GUEST} does not answer red1"


def _lease(subject: Subject, overlay: Overlay) -> Iterator[str]:
    """A workload that asks by DHCP is offered its address where the file says so, and nothing where not."""
    port, asked = overlay.ports[_CLIENT], overlay.networks["red/web"].dhcp is not None
    assert port.mac is not None
    nowhere, everywhere = ip_address("0.0.0.0"), ip_address("255.255.255.255")
    ends = Ends(port.mac, BROADCAST, nowhere, everywhere)
    with device(subject.running, _CLIENT) as wire:
        wire.send(with_udp(ends, 68, 67, _DISCOVER.replace(_ANY_MAC, octets(port.mac))))
        told = heard(wire, _OFFERED)
    offered = any(data[12:14] == b"\x08\x00" and data[34:38] == b"\0\x43\0\x44" for data in told)
    if offered is not asked:
        yield f"{_CLIENT} is offered {'no address' if asked else 'an address, though dhcp is off'}"
