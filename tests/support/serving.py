"""An application behind the real server, on a free port of this machine."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from wsgiref.types import WSGIApplication

from gatehouse.web.server import serve


@contextmanager
def serving(app: WSGIApplication, folder: Path) -> Iterator[int]:
    """Serve while the block runs; the port."""
    server = serve(app, "127.0.0.1", 0, max_body=1024 * 1024, temp_dir=folder / "spool", threads=4)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        yield server.port
    finally:
        server.stop()
        thread.join()
