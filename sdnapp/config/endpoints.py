"""Checks of the controller's endpoints and of access to REST."""

from __future__ import annotations

from collections.abc import Iterator

from sdnapp.config.inet import Endpoint
from sdnapp.config.problem import Finding, shown
from sdnapp.config.schema import Config


def endpoint_findings(config: Config) -> Iterator[Finding]:
    """Listeners that collide, or do not fit the target."""
    controller = config.controller
    listen, target = controller.listen, controller.target
    for number, endpoint in enumerate(listen):
        where = ("controller", "listen", number) if len(listen) > 1 else ("controller", "listen")
        if any(_collide(endpoint, other) for other in listen[:number]):
            yield Finding(where, f"port {endpoint.port} is here twice", "Use another port for one of them.")
        exposed = target.address.is_loopback and not (endpoint.address.is_loopback or endpoint.tls)
        if exposed and not controller.insecure:
            message = f"bridges connect to {target.address}, but {endpoint.host} is open to the network"
            yield Finding(
                where, message, f"Listen on {target.host}, or set 'target' to the controller's address."
            )
    if listen and target.tls not in {endpoint.tls for endpoint in listen}:
        scheme = "ssl" if target.tls else "tcp"
        message = f"bridges connect by {scheme}:, but the controller does not listen for that"
        taken = target.port in {endpoint.port for endpoint in listen}
        remedy = f"Listen on {scheme}:{_everywhere(target)}:{target.port}"
        remedy += "; both kinds at once need two ports." if taken else ", or leave 'listen' out."
        yield Finding(("controller", "target"), message, remedy)


def rest_findings(config: Config) -> Iterator[Finding]:
    """REST on a port in use, or reachable from the network without authentication or encryption."""
    controller, where = config.controller, ("controller", "rest")
    rest = controller.rest
    if any(endpoint.port == rest.port for endpoint in controller.listen):
        message = f"port {rest.port} is where the controller listens for bridges"
        yield Finding(where, message, "Use another port for REST.")
    if not rest.address.is_loopback and not controller.insecure:
        if controller.rest_access is None:
            message = f"REST on {rest.address} would answer anyone: it has no authentication"
            remedy = "Set 'rest_access', or use a loopback address; 'insecure: true' allows it all the same."
            yield Finding(where, message, remedy)
        elif not rest.tls:
            message = f"tokens would reach {rest.address} in clear text"
            yield Finding(where, message, f"Write https://{rest.host}:{rest.port}.")
    if controller.rest_client_ca is not None:
        where = ("controller", "rest_client_ca")
        if not rest.tls:
            yield Finding(
                where, "client certificates need https", f"Write rest: https://{rest.host}:{rest.port}."
            )
        if controller.rest_access is None:
            message = f"no certificate of {shown(controller.rest_client_ca)} has a scope"
            yield Finding(where, message, "Set 'rest_access' to a file that gives their names scopes.")


def _collide(one: Endpoint, other: Endpoint) -> bool:
    """Whether the two addresses cannot be bound at the same time."""
    if one.port != other.port:
        return False
    return one.address == other.address or one.address.is_unspecified or other.address.is_unspecified


def _everywhere(target: Endpoint) -> str:
    return "[::]" if target.address.version == 6 else "0.0.0.0"
