"""A double of a cache's purge API on a free port of this machine: it writes down what it was asked."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class PurgeDouble:
    """Answers with `status`; `asked` are method, path and headers (lower-case names) of each request."""

    port: int = 0
    status: int = 200
    asked: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    def keys(self, header: str) -> list[list[str]]:
        """The keys of each request that has this header."""
        return [headers[header].split() for _, _, headers in self.asked if header in headers]


@contextmanager
def purge_double() -> Iterator[PurgeDouble]:
    """Listen while the block runs."""
    double = PurgeDouble()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            headers = {name.lower(): value for name, value in self.headers.items()}
            double.asked.append((self.command, self.path, headers))
            self.send_response(double.status)
            self.send_header("Location", "http://elsewhere.invalid/")
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        do_PURGE = do_POST  # noqa: N815 -- http.server's own naming

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        double.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield double
        finally:
            server.shutdown()
            thread.join()
