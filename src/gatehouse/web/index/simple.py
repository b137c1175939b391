"""`/simple/`: the simple index, HTML and JSON (PEP 503, PEP 691).

A project's page is served byte for byte as TUF signs it. The list of names is rendered here and is not
signed: no TUF target covers it, and the verifying proxy does not offer it.
"""

from __future__ import annotations

from dataclasses import dataclass
from threading import Lock
from urllib.parse import parse_qs, quote

from pyramid.config import Configurator
from webob.acceptparse import create_accept_header

from gatehouse.catalog.pages import render_index
from gatehouse.core.errors import CallerError, NotFound
from gatehouse.core.names import PageFormat, is_normalized_name, normalize_name
from gatehouse.gate.purge import PROJECTS_KEY, project_key
from gatehouse.web.compressed import negotiated_reply, page_reply
from gatehouse.web.problems import NotAcceptable
from gatehouse.web.replies import REVALIDATE, Reply, bytes_reply, etag_of, redirect
from gatehouse.web.request import Request
from gatehouse.web.surrogates import keyed


@dataclass(frozen=True, kw_only=True, slots=True)
class Form:
    """One form of a page: which blob, and the `Content-Type` that it goes out under."""

    page: PageFormat
    content_type: str
    charset: str | None = None


_TEXT_HTML = Form(page="html", content_type="text/html", charset="utf-8")
_V1_HTML = Form(page="html", content_type="application/vnd.pypi.simple.v1+html", charset="utf-8")
_V1_JSON = Form(page="json", content_type="application/vnd.pypi.simple.v1+json")
#: In the order of our preference among what a client likes equally: who names nothing is a browser (PEP 691).
FORMS = {
    "text/html": _TEXT_HTML,
    "application/vnd.pypi.simple.v1+json": _V1_JSON,
    "application/vnd.pypi.simple.latest+json": _V1_JSON,
    "application/vnd.pypi.simple.v1+html": _V1_HTML,
    "application/vnd.pypi.simple.latest+html": _V1_HTML,
}
#: Far above what pip, uv and browsers send.
_MAX_ACCEPT = 2048


def includeme(config: Configurator) -> None:
    """The list of names and the page of each project; without its last slash each redirects."""
    names = _Names()
    config.add_resource("simple", "/simple/", {"GET": names.view})
    config.add_resource("simple-bare", "/simple", {"GET": _to_list})
    config.add_resource("simple-project", "/simple/{project}/", {"GET": project_page})
    config.add_resource("simple-project-bare", "/simple/{project}", {"GET": _to_project})


def project_page(request: Request) -> Reply:
    """A project's page, as signed."""
    name = request.matchdict["project"]
    if not is_normalized_name(name):
        return _to_normalized(request, name, prefix="../")
    form = negotiate(request)
    served = request.gatehouse.shelf.page(name, form.page)
    if served is None:
        raise NotFound(f"There is no project {name!r} here.")
    reply = page_reply(
        request,
        sha256=served.sha256,
        length=served.length,
        content_type=form.content_type,
        charset=form.charset,
        cache_control=REVALIDATE,
        vary=("Accept",),
    )
    return keyed(request, reply, project_key(name), held=True)


def negotiate(request: Request) -> Form:
    """The form to answer in: by `?format=`, else by `Accept` (PEP 691, "Version + Format Selection").

    Raises:
        NotAcceptable: the client takes none of ours.
    """
    stated = _format_parameter(request)
    if stated is not None:
        form = FORMS.get(stated)
    else:
        accept = request.headers.get("Accept") or None
        if accept is not None and len(accept) > _MAX_ACCEPT:
            raise NotAcceptable(f"An Accept header of more than {_MAX_ACCEPT} characters is not read.")
        offers = create_accept_header(accept).acceptable_offers(list(FORMS))
        form = FORMS[offers[0][0]] if offers else None
    if form is None:
        raise NotAcceptable(f"This page comes as {', '.join(FORMS)}.")
    return form


def _format_parameter(request: Request) -> str | None:
    try:
        values = parse_qs(request.query_string, max_num_fields=20, encoding="latin-1").get("format")
    except ValueError:
        return None
    # A plus sign that nobody quoted arrives as a space.
    return values[0].replace(" ", "+") if values else None


def _to_list(request: Request) -> Reply:
    return _redirect(request, "simple/")


def _to_project(request: Request) -> Reply:
    return _to_normalized(request, request.matchdict["project"], prefix="")


def _to_normalized(request: Request, name: str, *, prefix: str) -> Reply:
    try:
        normalized = normalize_name(name)
    except CallerError as error:
        raise NotFound("There is no project of that name here.") from error
    return _redirect(request, f"{prefix}{normalized}/")


def _redirect(request: Request, location: str) -> Reply:
    # Relative, so that it holds behind any prefix and owes nothing to the Host header.
    query = quote(request.query_string, safe="=&%+/.-_~", encoding="latin-1")
    return redirect(f"{location}?{query}" if query else location, status=301, cache_control=REVALIDATE)


class _Names:
    """The list of names, rendered again only when the names have changed; many readers share its bytes."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._names: list[str] = []
        self._rendered: dict[PageFormat, tuple[bytes, str]] = {}

    def view(self, request: Request) -> Reply:
        form = negotiate(request)
        body, etag = self._body(request.gatehouse.shelf.projects(), form.page)

        def plain() -> Reply:
            return bytes_reply(
                request,
                body,
                content_type=form.content_type,
                charset=form.charset,
                cache_control=REVALIDATE,
                etag=etag,
            )

        reply = negotiated_reply(
            request,
            request.gatehouse.page_encodings,
            etag.strip('"'),
            lambda: body,
            plain=plain,
            content_type=form.content_type,
            charset=form.charset,
            cache_control=REVALIDATE,
            vary=("Accept",),
            keep=False,
        )
        return keyed(request, reply or plain(), PROJECTS_KEY, held=True)

    def _body(self, names: list[str], page: PageFormat) -> tuple[bytes, str]:
        with self._lock:
            if names != self._names:
                self._names, self._rendered = names, {}
            if page not in self._rendered:
                body = render_index(names, page)
                self._rendered[page] = body, etag_of(body)
            return self._rendered[page]
