"""Files for two machines, with the controller on host1."""

from __future__ import annotations

from pathlib import Path

from tests.vm.machine import UNDERLAY, UNDERLAY6

CONFIGS = Path(__file__).parents[2] / "configs"
CENTRAL = f"tcp:{UNDERLAY}.201:6653"


def tenants(
    encapsulation: str = "gre", *, vni: int = 5010, family: int = 4, datapath: str = "auto", more: str = ""
) -> str:
    """Return two tenants with equal addresses, a port of each on either host.

    ``family``: of the tunnels; the bridges find their controller by IPv4.
    """
    vtep = {4: f"{UNDERLAY}.20", 6: f"{UNDERLAY6}:20"}[family]
    return f"""\
overlay: {{encapsulation: {encapsulation}, datapath: {datapath}}}
controller: {{target: "{CENTRAL}"}}
tenants:
  red:  {{networks: {{web: {{vlan: 10, vni: {vni}, subnet: 10.1.1.0/24}}}}}}
  blue: {{networks: {{web: {{vlan: 10, vni: 5020, subnet: 10.1.1.0/24}}}}}}
hosts:
  host1: {{vtep: "{vtep}1", management: {UNDERLAY}.201}}
  host2: {{vtep: "{vtep}2", management: {UNDERLAY}.202}}
ports:
  red1:  {{host: host1, network: red/web,  address: 10.1.1.1/24}}
  red2:  {{host: host2, network: red/web,  address: 10.1.1.2/24}}
  blue1: {{host: host1, network: blue/web, address: 10.1.1.1/24}}
  blue2: {{host: host2, network: blue/web, address: 10.1.1.2/24}}
{more}"""


def example(name: str) -> str:
    """Return an example of the project, its controller on host1."""
    text = (CONFIGS / f"{name}.yaml").read_text(encoding="utf-8")
    assert "tcp:192.168.4.10:6653" in text
    return text.replace("tcp:192.168.4.10:6653", CENTRAL)
