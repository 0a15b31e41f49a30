"""The WSGI application: the routes as falcon resources; every answer is JSON, errors included."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable
from functools import cache
from types import SimpleNamespace
from typing import Any

import falcon
from os_ken.lib import hub
from pydantic import BaseModel, TypeAdapter, ValidationError

from sdnapp.rest import counters, limits, openapi, stats, v1
from sdnapp.rest.backend import Backend
from sdnapp.rest.conversation import PEER_NAMES
from sdnapp.rest.door import Door, Visitor, demand
from sdnapp.rest.routes import Call, Problem, Route, Stream

LOG = logging.getLogger("sdnapp.rest")

Responder = Callable[..., None]


@cache
def _document() -> dict[str, Any]:
    return openapi.document(ROUTES)


ROUTES = (
    *v1.ROUTES,
    *limits.ROUTES,
    *counters.ROUTES,
    *stats.ROUTES,
    Route("GET", "/openapi.json", "This document", lambda _, __: _document(), dict[str, Any]),
)


_BY_TURNS = frozenset({*(route.path for route in v1.ROUTES), "/openapi.json"} - {"/healthz"})
"""Paths whose replies are computed without waiting for a bridge, which may take long."""


def application(backend: Backend, door: Door | None = None) -> falcon.App[falcon.Request, falcon.Response]:
    """REST over ``backend``, for clients that ``door`` admits; None: for all."""
    app = falcon.App(middleware=[] if door is None else [_Guard(door)])
    app.req_options.strip_url_path_trailing_slash = True
    app.set_error_serializer(_serialize)
    app.add_error_handler(Problem, _problem)
    app.add_error_handler(Exception, _unexpected)
    for path, resource in _resources(backend, ROUTES, hub.Semaphore()).items():
        app.add_route(path, resource)
    return app


class _Guard:
    """Middleware of falcon: authenticates requests."""

    def __init__(self, door: Door) -> None:
        self._door = door

    def process_request(self, request: falcon.Request, _: falcon.Response) -> None:
        """Admit the client, or raise ``Problem``."""
        names = request.env.get(PEER_NAMES, frozenset())
        visitor = Visitor(request.remote_addr, request.get_header("Authorization"), names)
        request.context.client = self._door.admit(visitor, request.path)


def _resources(backend: Backend, routes: Iterable[Route], turn: Any) -> dict[str, SimpleNamespace]:
    """Falcon resources by path: objects with a responder for each method."""
    resources: dict[str, SimpleNamespace] = {}
    for route in routes:
        resource = resources.setdefault(route.path, SimpleNamespace())
        responder = _responder(backend, route)
        if route.path in _BY_TURNS:
            responder = _by_turns(responder, turn)
        setattr(resource, f"on_{route.method.lower()}", responder)
        if route.method == "GET":
            resource.on_head = responder
    return resources


def _responder(backend: Backend, route: Route) -> Responder:
    adapter = TypeAdapter[Any](route.returns)

    def respond(request: falcon.Request, response: falcon.Response, **path: str) -> None:
        demand(getattr(request.context, "client", None), route.scope)
        body = _read(request, route.accepts) if route.accepts else None
        answer = route.answer(backend, Call(path, body))
        response.content_type = falcon.MEDIA_JSON
        if isinstance(answer, Stream):
            response.stream = answer
            if request.method == "HEAD":  # falcon takes the stream and neither reads nor closes it
                answer.close()
        else:
            response.data = _ascii(adapter.dump_json(answer))

    return respond


def _by_turns(responder: Responder, turn: Any) -> Responder:
    """Serialize such requests, each in its own turn of the hub."""

    def respond(*args: Any, **path: str) -> None:
        with turn:
            hub.sleep(0)
            responder(*args, **path)

    return respond


def _ascii(body: bytes) -> bytes:
    """Escape non-ASCII characters, which may control a terminal."""
    return body if body.isascii() else json.dumps(json.loads(body)).encode()


def _read(request: falcon.Request, accepted: type[BaseModel]) -> BaseModel | None:
    """The body as ``accepted``, whatever content type it claims: ``curl -d`` claims a form. None if empty."""
    raw = request.bounded_stream.read()
    if not raw.strip():
        return None
    try:
        document = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise Problem(400, f"the body is not JSON: {error}") from None
    try:
        return accepted.model_validate(document)
    except ValidationError as error:
        wrong = "; ".join(
            ".".join(map(str, problem["loc"])) + ": " + problem["msg"] for problem in error.errors()
        )
        fields = ", ".join(accepted.model_fields)
        raise Problem(400, wrong, f"an object with any of {fields}") from None


def _problem(_: falcon.Request, response: falcon.Response, problem: Problem, __: dict[str, Any]) -> None:
    if problem.status == 401:
        response.set_header("WWW-Authenticate", 'Bearer realm="sdnapp"')  # RFC 6750, section 3
    _say(response, problem.status, problem.error, problem.remedy)


def _unexpected(
    request: falcon.Request, response: falcon.Response, error: Exception, _: dict[str, Any]
) -> None:
    if isinstance(error, falcon.HTTPError):
        raise error
    LOG.error("rest: %s %s", request.method, request.path, exc_info=error)
    _say(response, 500, "the controller failed to answer", "its log says why")


def _serialize(request: falcon.Request, response: falcon.Response, error: falcon.HTTPError) -> None:
    """Format errors of falcon like those of routes."""
    if error.status_code == 404:
        _say(response, 404, f"no such path: {request.path}", "/openapi.json lists them all")
    elif error.status_code == 405:
        allowed = dict(error.headers or {}).get("Allow", "nothing")
        _say(response, 405, f"{request.method} is not for {request.path}", f"what is allowed: {allowed}")
    else:
        _say(response, error.status_code, error.title or "the request is wrong", error.description)


def _say(response: falcon.Response, status: int, error: str, remedy: str | None) -> None:
    response.status = falcon.code_to_http_status(status)
    response.content_type = falcon.MEDIA_JSON
    response.data = json.dumps({"error": error} | ({"remedy": remedy} if remedy else {})).encode()
