"""OpenAPI 3.1 document, generated from the routes and their models."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib.metadata import version
from string import Formatter
from typing import Any

from pydantic import BaseModel, TypeAdapter
from pydantic.json_schema import JsonSchemaMode

from sdnapp.rest.routes import Route

_PARTS: Mapping[str, str] = {
    "dpid": "Datapath id of a connected switch, in decimal",
    "port": "An OpenFlow port number, or the name of a port of the overlay",
    "queue": "A queue id, or ALL",
    "group": "A group id",
    "meter": "A meter id",
    "command": "What ofctl_rest would do",
    "tenant": "Name of a tenant",
    "network": "Name of a network of that tenant",
    "host": "Name of a host",
}


_SCHEMES = {
    "token": {
        "type": "http",
        "scheme": "bearer",
        "description": "Where the file names rest_access: a token of 'sdnapp token new'",
    },
    "certificate": {
        "type": "mutualTLS",
        "description": "Where the file names rest_client_ca: a certificate of 'sdnapp pki operator'",
    },
}


class Error(BaseModel):
    """Every answer other than success. ``remedy``: what to do about it, where there is something."""

    error: str
    remedy: str | None = None


def document(routes: Iterable[Route]) -> dict[str, Any]:
    """The document of these routes."""
    routes = tuple(routes)
    wanted: list[tuple[Any, JsonSchemaMode, TypeAdapter[Any]]] = [
        *((_key(r.returns), "serialization", TypeAdapter(r.returns)) for r in routes if r.returns),
        *((_key(r.accepts), "validation", TypeAdapter(r.accepts)) for r in routes if r.accepts),
        (_key(Error), "serialization", TypeAdapter(Error)),
    ]
    schemas, definitions = TypeAdapter.json_schemas(wanted, ref_template="#/components/schemas/{model}")
    by_type = {key: schema for (key, _), schema in schemas.items()}
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, by_type)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "sdnapp",
            "version": version("sdnapp"),
            "description": "The overlay and its switches. Below /stats/: what Ryu's ofctl_rest answers.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths,
        "components": {"schemas": definitions["$defs"], "securitySchemes": _SCHEMES},
        "security": [*({name: []} for name in _SCHEMES), {}],
    }


def _key(kind: Any) -> str:
    return repr(kind)


def _operation(route: Route, schemas: Mapping[str, Any]) -> dict[str, Any]:
    parts = [name for _, name, _, _ in Formatter().parse(route.path) if name]
    operation: dict[str, Any] = {
        "summary": route.summary,
        "operationId": _operation_id(route),
        "tags": ["stats" if route.path.startswith("/stats/") else "overlay"],
        "parameters": [
            {
                "name": p,
                "in": "path",
                "required": True,
                "schema": {"type": "string"},
                "description": _PARTS[p],
            }
            for p in parts
        ],
        "responses": {"default": _content("What was wrong", schemas[_key(Error)])},
        "x-scope": route.scope,
    }
    if route.returns:
        operation["responses"]["200"] = _content(route.summary, schemas[_key(route.returns)])
    if route.accepts:
        operation["requestBody"] = _content("All of it by default", schemas[_key(route.accepts)])
    return operation


def _operation_id(route: Route) -> str:
    words = route.path.replace("{", "").replace("}", "").replace(".", "-").split("/")
    return "-".join((route.method.lower(), *filter(None, words)))


def _content(description: str, schema: Any) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": schema}}}
