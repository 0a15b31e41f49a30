"""Tunnels of large meshes: made when read, equal by what they follow from."""

from __future__ import annotations

from sdnapp.config import Invalid, parse
from sdnapp.net.build import build
from sdnapp.net.config_warnings import remarks
from sdnapp.net.mesh import Tunnels, forms
from sdnapp.net.model import Overlay


def text(hosts: int, *, changed: str = "", ports_at: str = "h{}") -> bytes:
    """One network with a port on each of so many hosts; ``changed``: more of the first host."""
    lines = ["tenants: {red: {networks: {web: {vlan: 10, vni: 5010}}}}", "hosts:"]
    lines += [
        f"  h{i}: {{vtep: 10.0.{i // 250}.{i % 250 + 1}{changed if i == 0 else ''}}}" for i in range(hosts)
    ]
    lines += ["ports:", *(f"  p{i}: {{host: {ports_at.format(i)}, network: red/web}}" for i in range(hosts))]
    return "\n".join(lines).encode()


def mesh(hosts: int, changed: str = "") -> Overlay:
    return build(parse(text(hosts, changed=changed), "f"))


def made(overlay: Overlay) -> list[str]:
    """Hosts for which tunnels were made."""
    return [name for name, host in overlay.hosts.items() if "made" in vars(host.tunnels)]


def test_a_check_of_a_full_mesh_makes_no_tunnel() -> None:
    """Work grows with the hosts, not with their pairs."""
    overlay = mesh(300)

    assert list(remarks(overlay)) == []
    assert made(overlay) == []
    assert len(overlay.hosts["h7"].tunnels) == 299
    assert made(overlay) == []


def test_the_tunnels_of_one_host_are_made_without_those_of_others() -> None:
    overlay = mesh(20)

    tunnels = overlay.hosts["h7"].tunnels

    assert [tunnel.peer for tunnel in tunnels] == sorted({f"h{i}" for i in range(20)} - {"h7"})
    assert len({tunnel.ofport for tunnel in tunnels}) == 19
    assert made(overlay) == ["h7"]


def test_tunnels_are_equal_by_what_they_follow_from() -> None:
    """Comparing two readings of a file makes no tunnel; a peer's encapsulation makes a difference."""
    before, after, other = mesh(20), mesh(20), mesh(20, ", encapsulation: gre")

    assert before.hosts["h7"].tunnels == after.hosts["h7"].tunnels
    assert before.hosts["h7"].tunnels != other.hosts["h7"].tunnels
    assert made(before) == made(after) == made(other) == []


def test_tunnels_are_equal_to_a_tuple_of_the_same() -> None:
    tunnels = mesh(3).hosts["h0"].tunnels

    assert tunnels == tuple(tunnels)
    assert tunnels != tuple(tunnels)[1:]


def test_the_forms_of_tunnels_are_those_of_the_tunnels_made() -> None:
    """Encapsulation and checksum by host agree with what each tunnel has."""
    for changed in ("", ", encapsulation: gre", ", encapsulation: {h1: geneve, '*': gre}"):
        for host in mesh(5, changed).hosts.values():
            assert isinstance(host.tunnels, Tunnels)
            assert forms(host.tunnels) == forms(tuple(host.tunnels))


def test_an_unknown_host_among_many_is_compared_with_few() -> None:
    """The right suggestion comes, and the work for each wrong name does not grow with all names."""
    try:
        parse(text(500, ports_at="x{}"), "f")
    except Invalid as invalid:
        problems = {problem.path: problem for problem in invalid.problems}
    assert problems["ports.p123.host"].remedy == "Did you mean 'h123'?"
    assert problems["ports.p7.host"].message == "there is no host 'x7'"
