"""One directive for a room's addresses: `config.add_resource(name, pattern, {"GET": view, …})`.

`GET` answers `HEAD` too. Any other method is answered with 405 and the list of those that are possible.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from pyramid.config import Configurator

from gatehouse.web.problems import MethodNotAllowed
from gatehouse.web.replies import Reply
from gatehouse.web.request import Request, View


def add_resource(config: Configurator, name: str, pattern: str, views: Mapping[str, View]) -> None:
    """Register a route and the views of its methods."""
    config.add_route(name, pattern)
    for method, view in views.items():
        config.add_view(_taking_only_the_request(view), route_name=name, request_method=method)
    allowed = tuple(sorted(views)) + (("HEAD",) if "GET" in views else ())

    def refuse(_context: object, request: Request) -> Reply:
        raise MethodNotAllowed(request.method, allowed)

    config.add_view(refuse, route_name=name)


def includeme(config: Configurator) -> None:
    """Make the directive known."""
    config.add_directive("add_resource", add_resource)


def _taking_only_the_request(view: View) -> Callable[[object, Request], Reply]:
    def call(_context: object, request: Request) -> Reply:
        return view(request)

    return call
