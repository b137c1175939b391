"""The JSON API, `/api/v1/`: Bearer or Basic tokens, strict JSON in, problem+json for every fault."""

from __future__ import annotations

from importlib.resources import files

from pyramid.config import Configurator

from gatehouse.web.replies import REVALIDATE, Reply, bytes_reply
from gatehouse.web.request import Request


def includeme(config: Configurator) -> None:
    """The API's rooms, and the page that describes them."""
    document = files(__name__).joinpath("openapi.json").read_bytes()

    def openapi(request: Request) -> Reply:
        return bytes_reply(request, document, content_type="application/json", cache_control=REVALIDATE)

    config.add_resource("api-openapi", "/api/v1/openapi.json", {"GET": openapi})
    config.include("gatehouse.web.api.projects")
    config.include("gatehouse.web.api.targets")
