"""The page on caches is true: its commands are run against a real Varnish in front of a real server."""

from __future__ import annotations

import socket
import subprocess
from pathlib import Path

import pytest

from tests.support.system import need
from tests.support.varnish import running_varnish
from tests.support.waiting import wait_until
from tests.support.walking import BIN, Reader, check, environment, run, walk

PAGE = Path(__file__).parents[2] / "docs/how-to/cache-and-invalidate.md"
pytestmark = pytest.mark.system


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


def test_the_page_on_caches_works_as_it_is_written(tmp_path: Path) -> None:
    need("curl", "curl")
    port = free_port()
    # Varnish first: the server is told where it is.
    with running_varnish(port) as url:
        front = url.removeprefix("http://")
        variables = environment(tmp_path) | {
            "GATEHOUSE_PURGE_KIND": "varnish",
            "GATEHOUSE_PURGE_URL": url,
        }
        reader = Reader(folder=tmp_path, address=f"127.0.0.1:{port}", environment=variables)
        published = ["curl", "--fail", "--silent", f"{url}/tuf/metadata/timestamp.json"]
        page = tmp_path / PAGE.name
        text = PAGE.read_text(encoding="utf-8")
        page.write_text(text.replace("127.0.0.1:6081", front), encoding="utf-8")
        with (
            (tmp_path / "server.log").open("w") as log,
            subprocess.Popen(
                [BIN / "gatehouse", "serve", "--port", str(port)],
                cwd=tmp_path,
                env=variables,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            ) as server,
        ):
            try:
                wait_until(lambda: run(reader, published).returncode == 0)
                check(walk(page, reader), at_least=6)
            finally:
                server.terminate()
