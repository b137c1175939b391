"""What goes on while a server is killed: threads that upload, and clients that refresh all the time."""

from __future__ import annotations

import threading

import urllib3

from gatehouse.cli.demo.client import REFUSED, Client, Verifier
from tests.support.distributions import build_wheel


class Uploader(threading.Thread):
    """Uploads one file after another until told to stop; remembers what was acknowledged."""

    def __init__(self, client: Client, project: str, first: int) -> None:
        super().__init__(daemon=True)
        self.client = client
        self.project = project
        self.number = first
        self.stopping = threading.Event()
        self.acknowledged: dict[str, bytes] = {}

    def run(self) -> None:
        while not self.stopping.is_set():
            filename, content = build_wheel(self.project, f"1.{self.number}")
            self.number += 1
            try:
                status, _ = self.client.upload(filename, content)
            except urllib3.exceptions.HTTPError:
                return  # the server was killed before it answered: nothing was promised
            assert status == 200
            self.acknowledged[filename] = content


class Watcher(threading.Thread):
    """A client that keeps what it has seen and refreshes all the time; what it refuses is a fault of ours."""

    def __init__(self, verifier: Verifier, path: str) -> None:
        super().__init__(daemon=True)
        self.verifier = verifier
        self.path = path
        self.stopping = threading.Event()
        self.faults: list[str] = []

    def run(self) -> None:
        while not self.stopping.is_set():
            try:
                self.verifier.download([self.path])
            except (*REFUSED, urllib3.exceptions.HTTPError) as error:
                if not _is_connection_trouble(error):
                    self.faults.append(repr(error))


def _is_connection_trouble(error: BaseException | None) -> bool:
    """Whether the server was simply not there: it was killed a moment ago."""
    while error is not None:
        if isinstance(error, (urllib3.exceptions.HTTPError, ConnectionError)):
            return True
        error = error.__cause__ or error.__context__
    return False
