"""``/stats/*``: API of Ryu's ofctl_rest, read-only.

Shapes and words come from os-ken's ``ofctl_v1_3``, the library under the old ofctl_rest; this module gives
its functions a datapath whose requests the controller answers. Flows go a way of their own: ``flowdump``.
``tablefeatures`` is left out: os-ken parses it for most of a second, in which every switch waits.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping
from typing import Annotated, Any

from os_ken.lib import hub, ofctl_v1_3
from os_ken.ofproto import ofproto_v1_3 as ofproto
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from sdnapp.openflow.matchshape import Malformed, Unreadable
from sdnapp.rest import flowdump
from sdnapp.rest.backend import Backend
from sdnapp.rest.routes import Answer, Call, Problem, Route, Stream

_U32, _U64 = 2**32 - 1, 2**64 - 1

DUMPS = 8
"""Flow dumps at a time: each holds what its switch sent, some 150 bytes a flow, until its client took it."""
_dumps = hub.BoundedSemaphore(DUMPS)


def _integer(value: Any) -> Any:
    """Ryu takes numbers as text, too, decimal or 0x."""
    return int(value, 0) if isinstance(value, str) else value


def _reserved(names: Mapping[str, int]) -> Callable[[Any], Any]:
    def convert(value: Any) -> Any:
        return names[value.upper()] if isinstance(value, str) and value.upper() in names else _integer(value)

    return convert


_PORTS = {
    name.removeprefix("OFPP_"): number
    for name, number in vars(ofproto).items()
    if name.startswith("OFPP_") and name != "OFPP_MAX"
}

Table = Annotated[int, BeforeValidator(_reserved({"ALL": ofproto.OFPTT_ALL})), Field(ge=0, le=255)]
Port = Annotated[int, BeforeValidator(_reserved(_PORTS)), Field(ge=0, le=_U32)]
Group = Annotated[int, BeforeValidator(_reserved({"ANY": ofproto.OFPG_ANY})), Field(ge=0, le=_U32)]
Cookie = Annotated[int, BeforeValidator(_integer), Field(ge=0, le=_U64)]
Priority = Annotated[int, BeforeValidator(_integer), Field(ge=0, le=65535)]


class FlowFilter(BaseModel):
    """Which flows: all that agree with every field given. Ports and tables may be named, as in ``LOCAL``."""

    model_config = ConfigDict(extra="forbid")

    table_id: Table = ofproto.OFPTT_ALL
    out_port: Port = ofproto.OFPP_ANY
    out_group: Group = ofproto.OFPG_ANY
    cookie: Cookie = 0
    cookie_mask: Cookie = 0
    match: dict[str, int | str] = {}
    priority: Priority | None = None


class Exchange:
    """A datapath for the functions of ``ofctl_v1_3``: what it is asked to send, the controller answers."""

    def __init__(self, backend: Backend, dpid: int) -> None:
        datapath = backend.datapath(dpid)
        if datapath is None:
            raise Problem(404, f"no switch with datapath id {dpid} is connected", "see /stats/switches")
        self._source = backend
        self._datapath = datapath
        self.id = dpid
        self.ofproto = datapath.ofproto
        self.ofproto_parser = datapath.ofproto_parser
        self.waiters: dict[int, dict[int, tuple[Any, list[Any]]]] = {}

    def set_xid(self, message: Any) -> None:
        """One request at a time needs no more."""
        message.xid = 0

    def send_msg(self, message: Any) -> None:
        """Ask, and put the replies where ``ofctl_utils.send_stats_request`` waits for them."""
        answered, replies = self.waiters[self.id][message.xid]
        replies.extend(self.request(message))
        answered.set()

    def request(self, message: Any) -> Iterator[Any]:
        """Replies to a request; raises ``Problem`` on failure."""
        message.datapath = self._datapath
        message.xid = None  # the controller gives it one
        try:
            yield from self._source.request(self.id, message)
        except TimeoutError:
            raise Problem(504, f"switch {self.id} does not answer") from None
        except ConnectionError:
            raise Problem(503, f"switch {self.id} disconnected", "try again") from None
        except ValueError as error:
            raise Problem(400, f"switch {self.id} refuses the request: {error}") from None


_PARTS: Mapping[str, tuple[str, int, Mapping[str, int]]] = {
    "dpid": ("datapath id", _U64, {}),
    "port": ("port number", _U32, {**_PORTS, "ALL": ofproto.OFPP_ANY}),
    "queue": ("queue id", _U32, {"ALL": ofproto.OFPQ_ALL}),
    "group": ("group id", _U32, {}),
    "meter": ("meter id", _U32, {}),
}


def _part(call: Call, part: str) -> int:
    """The number that this part of the path means."""
    text = call.path[part]
    what, largest, names = _PARTS[part]
    if text.upper() in names:
        return names[text.upper()]
    if text.isascii() and text.isdecimal() and len(text) <= len(str(largest)) and int(text) <= largest:
        return int(text)
    words = "".join(f", {name}" for name in sorted(names))
    raise Problem(400, f"{text!r} is no {what}", f"what fits: 0 to {largest} in decimal{words}")


def _exchange(backend: Backend, call: Call) -> Exchange:
    return Exchange(backend, _part(call, "dpid"))


def _read(read: Callable[..., Any]) -> Answer:
    """Answer with what ``read`` of ``ofctl_v1_3`` makes of the switch's reply."""

    def answer(backend: Backend, call: Call) -> Any:
        exchange = _exchange(backend, call)
        parts = [_part(call, part) for part in call.path if part != "dpid"]
        try:
            return read(exchange, exchange.waiters, *parts)
        except (Malformed, Unreadable) as error:
            raise Problem(502, f"switch {exchange.id} answers with {error}, which cannot be read") from None

    return answer


def _switches(backend: Backend, _: Call) -> list[int]:
    return sorted(backend.switches())


def _aggregate(backend: Backend, call: Call) -> Any:
    exchange = _exchange(backend, call)
    wanted = call.body or FlowFilter()
    _match(exchange, wanted.match)
    return ofctl_v1_3.get_aggregate_flow_stats(exchange, exchange.waiters, wanted.model_dump())


def _flows(backend: Backend, call: Call) -> Stream:
    exchange = _exchange(backend, call)
    wanted = call.body or FlowFilter()
    request = exchange.ofproto_parser.OFPFlowStatsRequest(
        exchange,
        0,
        wanted.table_id,
        wanted.out_port,
        wanted.out_group,
        wanted.cookie,
        wanted.cookie_mask,
        _match(exchange, wanted.match),
    )
    return Stream(_in_turn(flowdump.dump(exchange.id, exchange.request(request), wanted.priority)))


def _in_turn(pieces: Iterator[bytes]) -> Generator[bytes]:
    if not _dumps.acquire(blocking=False):
        raise Problem(503, f"{DUMPS} flow dumps are under way", "try again when one is done")
    try:
        yield from pieces
    finally:
        _dumps.release()


def _match(exchange: Exchange, fields: Mapping[str, int | str]) -> Any:
    """os-ken's match of these fields, in the words of ofctl_rest."""
    try:
        match = ofctl_v1_3.to_match(exchange, dict(fields))
    except Exception as error:
        # ofctl lets through whatever its conversions raise, netaddr's own exceptions among them.
        raise Problem(400, f"match: a value does not fit its field: {error}") from None
    # ofctl drops the fields that it does not know and cuts the numbers that are too large.
    kept = dict(match.items())
    if len(kept) < len(fields):
        raise Problem(400, f"match: a field among {', '.join(fields)} cannot be filtered by")
    for name, value in fields.items():
        if isinstance(value, int) and not {value, value | ofproto.OFPVID_PRESENT} & set(kept.values()):
            raise Problem(400, f"match: {name} cannot be {value}")
    return match


def _refused(_: Backend, __: Call) -> Any:
    raise Problem(
        403,
        "the overlay controller alone writes to the switches: what a client wrote, it would undo",
        "change the overlay's file; the controller follows it",
    )


Many = dict[str, list[dict[str, Any]]]


def _reads() -> Iterator[Route]:
    """Every GET below /stats/ that one function of ``ofctl_v1_3`` answers."""
    whole = (
        ("table", "Counters of the tables", ofctl_v1_3.get_table_stats),
        ("groupfeatures", "What groups can do", ofctl_v1_3.get_group_features),
        ("groupdesc", "Groups and their buckets", ofctl_v1_3.get_group_desc),
        ("meterfeatures", "What meters can do", ofctl_v1_3.get_meter_features),
        ("role", "The controller's role at the switch", ofctl_v1_3.get_role),
    )
    for name, summary, read in whole:
        yield Route("GET", f"/stats/{name}/{{dpid}}", summary, _read(read), Many)
    one_of = (
        ("port", ("port",), "Counters of the ports", ofctl_v1_3.get_port_stats),
        ("queue", ("port", "queue"), "Counters of the queues", ofctl_v1_3.get_queue_stats),
        ("queueconfig", ("port",), "Queues and their rates", ofctl_v1_3.get_queue_config),
        ("group", ("group",), "Counters of the groups", ofctl_v1_3.get_group_stats),
        ("meter", ("meter",), "Counters of the meters", ofctl_v1_3.get_meter_stats),
        ("meterconfig", ("meter",), "Meters and their bands", ofctl_v1_3.get_meter_config),
    )
    for name, parts, summary, read in one_of:
        for count in range(len(parts) + 1):
            path = "".join(f"/{{{part}}}" for part in ("dpid", *parts[:count]))
            yield Route("GET", f"/stats/{name}{path}", summary, _read(read), Many)


def _port_description(backend: Backend, call: Call) -> Any:
    """OpenFlow 1.3 describes all ports or none; choosing one is left to us, as 1.5 has it."""
    exchange = _exchange(backend, call)
    described = ofctl_v1_3.get_port_desc(exchange, exchange.waiters)
    if "port" not in call.path:
        return described
    wanted = _part(call, "port")
    names = {wanted, ofctl_v1_3.UTIL.ofp_port_to_user(wanted)}
    return {dpid: [port for port in ports if port["port_no"] in names] for dpid, ports in described.items()}


ROUTES = (
    Route("GET", "/stats/switches", "Datapath ids of the connected switches", _switches, list[int]),
    Route(
        "GET",
        "/stats/desc/{dpid}",
        "Make and model of the switch",
        _read(ofctl_v1_3.get_desc_stats),
        dict[str, dict[str, Any]],
    ),
    Route("GET", "/stats/flow/{dpid}", "Every flow", _flows, Many),
    Route("POST", "/stats/flow/{dpid}", "The flows that a filter lets through", _flows, Many, FlowFilter),
    Route("GET", "/stats/aggregateflow/{dpid}", "Counters of all flows together", _aggregate, Many),
    Route("POST", "/stats/aggregateflow/{dpid}", "The same, of those chosen", _aggregate, Many, FlowFilter),
    Route("GET", "/stats/portdesc/{dpid}", "The ports", _port_description, Many),
    Route("GET", "/stats/portdesc/{dpid}/{port}", "One port", _port_description, Many),
    *_reads(),
    Route("POST", "/stats/flowentry/{command}", "Refused", _refused),
    Route("DELETE", "/stats/flowentry/clear/{dpid}", "Refused", _refused),
    Route("POST", "/stats/groupentry/{command}", "Refused", _refused),
    Route("POST", "/stats/meterentry/{command}", "Refused", _refused),
    Route("POST", "/stats/portdesc/modify", "Refused", _refused),
    Route("POST", "/stats/experimenter/{dpid}", "Refused", _refused),
    Route("POST", "/stats/role", "Refused", _refused),
)
