"""``/v1/ports/{port}/limits``: rates of a port, with meter counters."""

from __future__ import annotations

from typing import Any

from os_ken.ofproto import ofproto_v1_3_parser as parser
from pydantic import BaseModel

from sdnapp.net.meters import WHAT, What, meters
from sdnapp.rest.backend import Backend
from sdnapp.rest.routes import Call, Route, get_or_404


class Limit(BaseModel):
    """``send`` and ``receive``: bits per second, and bytes at once; ``broadcast``: frames. ``frames`` and
    ``bytes`` came; of them, those ``dropped`` went no further. Null: the bridge does not answer.
    """

    what: What
    rate: int
    burst: int
    meter: int
    frames: int | None = None
    bytes: int | None = None
    dropped_frames: int | None = None
    dropped_bytes: int | None = None


def _limits(backend: Backend, call: Call) -> list[Limit]:
    overlay = backend.status().overlay
    port = get_or_404(overlay.ports, call.path["port"], "port")
    host = overlay.hosts[port.host]
    of_bridge = meters(host.ports)
    found = []
    for what in WHAT:
        rate = getattr(port.limits, what)
        if rate is not None:
            number = of_bridge[port.interface, what].id
            counted = _counted(backend, host.datapath_id, number)
            found.append(Limit(what=what, rate=rate.rate, burst=rate.burst, meter=number, **counted))
    return found


def _counted(backend: Backend, dpid: int, meter: int) -> dict[str, int]:
    datapath = backend.datapath(dpid)
    if datapath is None:
        return {}
    try:
        replies = list(backend.request(dpid, parser.OFPMeterStatsRequest(datapath, 0, meter)))
    except (TimeoutError, ConnectionError, ValueError):
        return {}
    stats: list[Any] = [stats for reply in replies for stats in reply.body]
    return {
        "frames": sum(stat.packet_in_count for stat in stats),
        "bytes": sum(stat.byte_in_count for stat in stats),
        "dropped_frames": sum(band.packet_band_count for stat in stats for band in stat.band_stats),
        "dropped_bytes": sum(band.byte_band_count for stat in stats for band in stat.band_stats),
    }


ROUTES = (Route("GET", "/v1/ports/{port}/limits", "What a port may send and receive", _limits, list[Limit]),)
