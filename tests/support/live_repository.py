"""A repository on a real socket, served from a recorder's files, that counts what it is asked."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from wsgiref.types import StartResponse, WSGIEnvironment

from gatehouse.conformance.recording import Recorder
from tests.support.serving import serving

#: A status, headers and a body.
Answer = tuple[str, list[tuple[str, str]], bytes]


class LiveRepository:
    """A WSGI application: what the recorder has now, or what `says` puts in its place (a status, a body)."""

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder
        self.asked: list[str] = []
        self.says: dict[str, Answer] = {}

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
        name = str(environ["PATH_INFO"]).removeprefix("/")
        self.asked.append(name)
        data = self.recorder.read(name)
        found: Answer = ("404 Not Found", [], b"") if data is None else ("200 OK", [], data)
        status, headers, body = self.says.get(name, found)
        start_response(status, [*headers, ("Content-Length", str(len(body)))])
        return [body]


@contextmanager
def live(recorder: Recorder, folder: Path) -> Iterator[tuple[LiveRepository, str]]:
    """Serve a recorder's files while the block runs; the application and its base URL."""
    app = LiveRepository(recorder)
    folder.mkdir(exist_ok=True)
    with serving(app, folder) as port:
        yield app, f"http://127.0.0.1:{port}/"
