"""The server notes that a proxy passed a request on, although it drops what the proxy says."""

from __future__ import annotations

import http.client
from collections.abc import Iterable, Iterator
from pathlib import Path
from wsgiref.types import StartResponse, WSGIEnvironment

import pytest

from gatehouse.web.proxied import HEADERS, is_proxied
from tests.support.serving import serving


def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{is_proxied(environ)} {'HTTP_X_FORWARDED_FOR' in environ}".encode()]


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    folder: Path = tmp_path_factory.mktemp("proxied")
    with serving(app, folder) as port:
        yield port


def ask(port: int, **headers: str) -> str:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request("GET", "/", headers={name.replace("_", "-"): value for name, value in headers.items()})
        return connection.getresponse().read().decode()
    finally:
        connection.close()


def test_a_plain_request_is_not_proxied(port: int) -> None:
    assert ask(port, Accept="text/html", Origin="http://localhost") == "False False"


@pytest.mark.parametrize("header", HEADERS)
def test_a_request_with_a_header_of_a_proxy_is(port: int, header: str) -> None:
    assert ask(port, **{header: "127.0.0.1"}) == "True False"
