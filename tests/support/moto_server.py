"""An S3 of our own for a test session: moto's, on loopback, in a process that ends with us.

It works on one request at a time: moto checks a condition and writes without a lock, and S3 does not.
"""

from __future__ import annotations

import ctypes
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_PR_SET_PDEATHSIG = 1
_PATIENCE = 60.0

#: The environment in which boto3 talks to it: credentials that open nothing, and nothing of the user's own.
ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": "/dev/null",
    "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
}

_PROGRAM = """
import sys
from moto.server import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import make_server

class Quiet(MotoRequestHandler):
    def log(self, *_): ...

server = make_server("127.0.0.1", 0, DomainDispatcherApplication(create_backend_app), request_handler=Quiet)
print(server.port, flush=True)
server.serve_forever()
"""


@contextmanager
def running_moto() -> Iterator[str]:
    """Start a server; its address. It is gone after the block."""
    with subprocess.Popen(
        [sys.executable, "-c", _PROGRAM],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        preexec_fn=_die_with_parent,  # noqa: PLW1509 one system call, before any thread of ours matters
    ) as server:
        try:
            assert server.stdout is not None
            port = server.stdout.readline().strip().decode()
            assert port, "moto's server did not start"
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()
            try:
                server.wait(_PATIENCE)
            except subprocess.TimeoutExpired:
                server.kill()


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
