"""A real Varnish with the VCL that we ship, in front of a server on this machine."""

from __future__ import annotations

import ctypes
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.system import need

VCL = Path(__file__).parents[2] / "docs/reference/gatehouse.vcl"
_PR_SET_PDEATHSIG = 1
_PATIENCE = 60.0
_OPTIONS = ("-F", "-j", "none", "-a", "127.0.0.1:0", "-s", "malloc,16m", "-p", "http_gzip_support=off")


@contextmanager
def running_varnish(backend_port: int) -> Iterator[str]:
    """Start a Varnish; its base URL. It is gone after the block."""
    program = need("varnishd", "varnish")
    if not list(Path("/usr/lib").glob("*/varnish/vmods/libvmod_xkey.so")):
        need("libvmod_xkey", "varnish-modules")
    # Short: the names of its files have a limit.
    folder = Path(tempfile.mkdtemp(prefix="gatehouse-varnish-"))
    text = VCL.read_text(encoding="utf-8")
    ours = text.replace('.port = "6458"', f'.port = "{backend_port}"')
    assert ours != text
    # On a busy machine we may be slow, and are not away.
    patient = ours.replace(".timeout = 1s", ".timeout = 30s")
    assert patient != ours
    (folder / "test.vcl").write_text(patient, encoding="utf-8")
    try:
        with (
            (folder / "log").open("wb") as log,
            subprocess.Popen(
                [program, "-n", str(folder / "work"), "-f", str(folder / "test.vcl"), *_OPTIONS],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=_die_with_parent,  # noqa: PLW1509 two system calls, before any thread of ours matters
            ) as server,
        ):
            try:
                yield f"http://127.0.0.1:{_port(server, folder)}"
            finally:
                server.terminate()
                try:
                    server.wait(_PATIENCE)
                except subprocess.TimeoutExpired:
                    server.kill()
    finally:
        shutil.rmtree(folder)


def _port(server: subprocess.Popen[bytes], folder: Path) -> int:
    end = time.monotonic() + _PATIENCE
    while server.poll() is None and time.monotonic() < end:
        command = ["varnishadm", "-n", str(folder / "work"), "debug.listen_address"]
        said = subprocess.run(command, capture_output=True, text=True, check=False)
        if said.returncode == 0 and (match := re.search(r"127\.0\.0\.1 (\d+)", said.stdout)):
            return int(match[1])
        time.sleep(0.05)
    raise RuntimeError(f"Varnish did not start:\n{(folder / 'log').read_text(errors='replace')}")


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
