"""``/v1/hosts/{host}/counters``: drops of a bridge with reasons, and ARP and ND replied to or flooded.

Counters are read from the bridge on request only.
"""

from __future__ import annotations

from os_ken.ofproto import ofproto_v1_3 as ofproto
from pydantic import BaseModel

from flows.counters import FlowCounter, What
from sdnapp.rest.backend import Backend
from sdnapp.rest.routes import Call, Route, get_or_404
from sdnapp.rest.stats import Exchange


class Counter(BaseModel):
    """``why``: the reason of a drop, or the kind of a request. ``port``: its interface; ``network``: its
    path; null where frames of any are counted together.
    """

    what: What
    why: str
    port: str | None
    network: str | None
    frames: int
    bytes: int


def _counters(backend: Backend, call: Call) -> list[Counter]:
    status = backend.status()
    bridge = get_or_404(status.bridges, call.path["host"], "host")
    counted = backend.counted(bridge.datapath_id)
    exchange = Exchange(backend, bridge.datapath_id)
    sums: dict[FlowCounter, tuple[int, int]] = {}
    for table in sorted({table for table, _ in counted}):
        parser = exchange.ofproto_parser
        any_flow = (ofproto.OFPP_ANY, ofproto.OFPG_ANY, 0, 0, parser.OFPMatch())
        request = parser.OFPFlowStatsRequest(exchange, 0, table, *any_flow)
        for entry in (entry for reply in exchange.request(request) for entry in reply.body):
            if (count := counted.get((table, entry.cookie))) is not None:
                frames, octets = sums.get(count, (0, 0))
                sums[count] = (frames + entry.packet_count, octets + entry.byte_count)
    interfaces = {ofport: interface for interface, ofport in bridge.ports.items()}
    paths = {network.vni: path for path, network in status.overlay.networks.items()}
    return [
        Counter(
            what=count.what,
            why=count.why,
            port=None if count.port is None else interfaces.get(count.port, str(count.port)),
            network=None if count.network is None else paths.get(count.network, str(count.network)),
            frames=frames,
            bytes=octets,
        )
        for count, (frames, octets) in sums.items()
    ]


ROUTES = (
    Route(
        "GET",
        "/v1/hosts/{host}/counters",
        "What its bridge dropped, answered and flooded",
        _counters,
        list[Counter],
    ),
)
