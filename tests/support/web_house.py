"""A small house with a real database, blobs and signatures, to ask over WSGI as a client would."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from wsgiref.types import WSGIApplication

from webob import Request
from webob.headers import ResponseHeaders

from gatehouse.web.app import make_app
from gatehouse.wiring import Gatehouse
from tests.support.distributions import build_wheel
from tests.support.house import House
from tests.support.house import house as open_house

BOUNDARY = "a-boundary-of-a-test"
Part = tuple[str, str | bytes] | tuple[str, str | bytes, str]


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What came back over WSGI."""

    status: str
    headers: ResponseHeaders
    body: bytes

    @property
    def status_int(self) -> int:
        """The status code."""
        return int(self.status.split(" ", 1)[0])

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode()

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


@dataclass(frozen=True, kw_only=True)
class WebHouse:
    """The house, its application, and a token that may upload."""

    gatehouse: Gatehouse
    app: WSGIApplication
    token: str
    house: House

    def ask(self, path: str, method: str = "GET", *, body: bytes = b"", **headers: str) -> Answer:
        """Ask for a path; header names are written with underscores."""
        request = Request.blank(path, method=method)
        for name, value in headers.items():
            request.headers[name.replace("_", "-")] = value
        if body:
            request.body = body
        status, received, pieces = request.call_application(self.app)
        try:
            body_sent = b"".join(pieces)
        finally:
            if hasattr(pieces, "close"):
                pieces.close()
        return Answer(status=status, headers=ResponseHeaders(received), body=body_sent)

    def upload(self, body: bytes, *, token: str | None = None, **headers: str) -> Answer:
        """Send a form to the upload address."""
        headers.setdefault("Authorization", basic("__token__", token or self.token))
        headers.setdefault("Content_Type", f"multipart/form-data; boundary={BOUNDARY}")
        return self.ask("/legacy/", "POST", body=body, **headers)

    def publish(self) -> None:
        """Let the loops do what waits for them."""
        self.house.work()


@contextmanager
def web_house(home: Path, **settings: Any) -> Iterator[WebHouse]:
    """A house in a folder, set up and ready."""
    with open_house(home, **settings) as house:
        gatehouse = house.gatehouse
        token = gatehouse.tokens.create("alice")
        yield WebHouse(gatehouse=gatehouse, app=make_app(gatehouse), token=token, house=house)


def basic(name: str, password: str) -> str:
    """A value of the Authorization header."""
    return "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()


def form(parts: Iterable[Part], *, end: bytes = b"--\r\n") -> bytes:
    """A multipart body: each part is (name, value) or (name, value, filename)."""
    lines = b""
    for part in parts:
        name, value = part[0], part[1]
        disposition = f'form-data; name="{name}"' + (f'; filename="{part[2]}"' if len(part) == 3 else "")
        data = value if isinstance(value, bytes) else value.encode()
        lines += f"--{BOUNDARY}\r\nContent-Disposition: {disposition}\r\n\r\n".encode() + data + b"\r\n"
    return lines + f"--{BOUNDARY}".encode() + end


def upload_parts(
    name: str, version: str, wheel: tuple[str, bytes] | None = None, /, **changes: str | None
) -> list[Part]:
    """The parts of a good upload of a wheel; a change to None leaves a field out."""
    filename, data = wheel or build_wheel(name, version)
    fields: Mapping[str, str | None] = {
        ":action": "file_upload",
        "protocol_version": "1",
        "metadata_version": "2.1",
        "name": name,
        "version": version,
        "filetype": "bdist_wheel",
        "pyversion": "py3",
        "summary": "A package made for a test",
        "sha256_digest": hashlib.sha256(data).hexdigest(),
        **changes,
    }
    parts: list[Part] = [(field, value) for field, value in fields.items() if value is not None]
    return [*parts, ("content", data, filename)]
