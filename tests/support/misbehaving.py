"""A runner for the sandbox whose jobs do what a hostile package might bring about, as `Job.display_name` says."""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, NoReturn

from gatehouse.malware.job import Job, Report
from gatehouse.malware.model import Outcome, Screened, Tier
from gatehouse.malware.wire import report_to_bytes
from gatehouse.sandbox import child as children
from gatehouse.sandbox import landlock as layer
from gatehouse.sandbox.child import Run
from gatehouse.sandbox.model import Isolation

RESULT = 5


def tell(job: Job, *, said: str = "") -> Report:
    """A clean report that carries a text in its engine version."""
    return Report(
        screened=(
            Screened(
                subject=job.subject, outcome=Outcome.CLEAN, tier=Tier.NONE, score=0.0, engine_version=said or "1"
            ),
        )
    )


def _attempt(act: Callable[[], object]) -> str:
    try:
        act()
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, "?")
    except MemoryError:
        return "MemoryError"
    return "done"


def _spin() -> None:
    while True:
        pass


def _leave(code: int = 0) -> NoReturn:
    os._exit(code)


def _segfault() -> None:
    ctypes.string_at(0)


def _flood() -> None:
    piece = b"x" * 65536
    for _ in range(1600):
        os.write(RESULT, piece)


def _garbage() -> None:
    os.write(RESULT, b"\xff{]")
    _leave()


def _deep() -> None:
    os.write(RESULT, b"[" * 1_000_000)
    _leave()


def _half() -> None:
    os.close(RESULT)
    _leave()


def _silent_sleep() -> None:
    os.close(RESULT)
    time.sleep(600)


def _connect(port: int) -> None:
    with socket.socket() as own:
        own.connect(("127.0.0.1", port))


def _fork() -> None:
    if os.fork() == 0:
        time.sleep(600)


def _many_processes() -> None:
    threading.Thread(target=time.sleep, args=(1,)).start()


def _raise() -> None:
    raise ValueError("a text of the package's: \x1b[31m")


def _swallowed_bomb() -> str:
    return _attempt(lambda: bytearray(2 * 1024**3))


def _elsewhere(job: Job) -> None:
    report = tell(job)
    other = Screened(
        subject=type(job.subject)(
            source="local", kind=job.subject.kind, name="other", filename="o", sha256="0" * 64
        ),
        outcome=Outcome.CLEAN,
        tier=Tier.NONE,
        score=0.0,
    )
    os.write(RESULT, report_to_bytes(type(report)(screened=(other,))))
    _leave()


def _descriptors() -> str:
    found = []
    for descriptor in range(300):
        try:
            os.fstat(descriptor)
        except OSError:
            continue
        found.append(descriptor)
    return " ".join(map(str, found))


def _read_slowly(stream: BinaryIO) -> str:
    found = bytearray()
    while piece := stream.read(1000):
        found += piece
        time.sleep(0.002)
    return str(hash_of(bytes(found)))


def _await_more(stream: BinaryIO) -> None:
    """Go on when the test has added to the archive."""
    size = os.fstat(stream.fileno()).st_size
    while os.fstat(stream.fileno()).st_size == size:
        time.sleep(0.01)


def hash_of(data: bytes) -> int:
    """A number that tells orders apart."""
    return sum(index * byte for index, byte in enumerate(data))


def prepare() -> Run:
    """What does as the job's display name says; the part after a colon is its argument."""
    sys.stderr.write("a line that nobody reads\n")

    def run(job: Job, stream: BinaryIO, out_of_time: Callable[[], bool]) -> Report:
        name, _, argument = job.display_name.partition(":")
        acts: dict[str, Callable[[], object]] = {
            "": lambda: None,
            "spin": _spin,
            "sleep": lambda: time.sleep(float(argument or 600)),
            "allocate": lambda: bytearray(2 * 1024**3),
            "swallow": _swallowed_bomb,
            "map": lambda: _attempt(lambda: mmap.mmap(-1, 2 * 1024**3)),
            "socket": socket.socket,
            "connect": lambda: _connect(int(argument)),
            "fork": _fork,
            "thread": _many_processes,
            "execute": lambda: os.execv("/bin/true", ["true"]),  # noqa: S606 -- it must fail
            "kill-zygote": lambda: os.kill(os.getppid(), signal.SIGKILL),
            "segfault": _segfault,
            "abort": os.abort,
            "terminate": lambda: signal.raise_signal(signal.SIGTERM),
            "garbage": _garbage,
            "deep": _deep,
            "flood": _flood,
            "half": _half,
            "leave": lambda: _leave(int(argument)),
            "silent-sleep": _silent_sleep,
            "raise": _raise,
            "exit": lambda: sys.exit(0),
            "elsewhere": lambda: _elsewhere(job),
            "read-file": lambda: _attempt(lambda: Path(argument).read_bytes()),
            "list-folder": lambda: _attempt(lambda: list(Path(argument).iterdir())),
            "write-file": lambda: _attempt(lambda: Path(argument).write_bytes(b"x")),
            "remove-file": lambda: _attempt(lambda: Path(argument).unlink()),
            "write-archive": lambda: _attempt(lambda: os.write(4, b"x")),
            "executable-memory": lambda: _attempt(
                lambda: mmap.mmap(-1, 4096, prot=mmap.PROT_EXEC | mmap.PROT_WRITE)
            ),
            "environment": lambda: " ".join(sorted(os.environ)),
            "descriptors": _descriptors,
            "read": lambda: _read_slowly(stream),
            "await-more": lambda: _await_more(stream),
            "patience": lambda: next(str(_) for _ in iter(int, 1) if out_of_time()),
            "print": lambda: [os.write(stream, b"text") for stream in (1, 2)],
        }
        said = acts[name]()
        return tell(job, said=said if isinstance(said, str) else "")

    return run


def refuse() -> Run:
    """A runner that cannot be prepared."""
    raise RuntimeError("the checks are broken")


def hasty() -> Run:
    """Jobs are told early to end: the kernel counts processor time by ticks, a tenth off in a second."""
    vars(children)["_WHEN_TO_END"] = 0.3
    return prepare()


def _pretend(*, namespaces: bool = False, landlock: int = 0, syscalls: bool = False) -> Run:
    """Have the zygote, which is `__main__` here, believe in these layers and no others."""
    found = Isolation(namespaces=namespaces, landlock=landlock, syscalls=syscalls, faults=("a test says so",))
    vars(sys.modules["__main__"])["probe"] = lambda _sealed: found
    return prepare()


def bare() -> Run:
    """On a kernel without any layer."""
    return _pretend(landlock=7)


def only_namespaces() -> Run:
    """On a kernel without Landlock and seccomp."""
    return _pretend(namespaces=True)


def only_landlock() -> Run:
    """On a kernel without seccomp."""
    return _pretend(namespaces=True, landlock=7)


def only_syscalls() -> Run:
    """On a kernel without Landlock, where namespaces are forbidden."""
    vars(sys.modules["__main__"])["seal_process"] = lambda: None
    return _pretend(syscalls=True)


def promised() -> Run:
    """On a kernel whose Landlock worked once and then never again."""

    def restrict() -> int:
        raise OSError(errno.ENOMEM, "no memory for a ruleset")

    vars(layer)["restrict"] = restrict
    return _pretend(namespaces=True, landlock=7, syscalls=True)
