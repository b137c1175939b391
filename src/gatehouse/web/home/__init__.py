"""The front page: what this index is, how to upload and install, and where trust begins.

Plain HTML with one stylesheet and no script; Jinja2 escapes every value.
"""

from __future__ import annotations

from importlib.resources import files
from urllib.parse import urlsplit

from jinja2 import Environment, PackageLoader, StrictUndefined
from pyramid.config import Configurator

from gatehouse.core.errors import GatehouseError, NotFound
from gatehouse.gate.status import Holdings, Overview
from gatehouse.web.replies import REVALIDATE, Reply, bytes_reply, text_reply
from gatehouse.web.request import Request

_POLICY = "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
#: What lies under `/static/`, by name: nothing else is looked up anywhere.
_STATIC = {"gatehouse.css": "text/css"}


def includeme(config: Configurator) -> None:
    """The front page and its stylesheet."""
    environment = Environment(
        loader=PackageLoader("gatehouse.web.home"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    template = environment.get_template("home.html")
    static = {name: files(__name__).joinpath(name).read_bytes() for name in _STATIC}

    def home(request: Request) -> Reply:
        # The server states the port, never the client.
        base = request.gatehouse.settings.url(int(request.environ["SERVER_PORT"]))
        overview, holdings = _standing(request)
        page = template.render(
            base=base,
            is_plain_http=urlsplit(base).scheme == "http",
            host=urlsplit(base).hostname,
            overview=overview,
            holdings=holdings,
        )
        reply = text_reply(page, content_type="text/html")
        reply.headers["Content-Security-Policy"] = _POLICY
        return reply

    def asset(request: Request) -> Reply:
        name = request.matchdict["name"]
        if name not in static:
            raise NotFound("There is nothing at this address.")
        return bytes_reply(
            request, static[name], content_type=_STATIC[name], charset="utf-8", cache_control=REVALIDATE
        )

    config.add_resource("home", "/", {"GET": home})
    config.add_resource("static", "/static/{name}", {"GET": asset})


def _standing(request: Request) -> tuple[Overview, Holdings] | tuple[None, None]:
    try:
        return request.gatehouse.health.overview(), request.gatehouse.health.holdings()
    except GatehouseError:
        # The page says that something is wrong; what it is stands at /readyz.
        return None, None
