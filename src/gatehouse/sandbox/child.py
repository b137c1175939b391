"""A child: confined first, then one job, one answer, the end.

It has the archive (read-only, with an offset that nobody shares, since the parent opens it anew for each job), the
result pipe, and the null device where programs expect their three streams. It never returns into the zygote.
"""

from __future__ import annotations

import fcntl
import gc
import os
import signal
import time
import traceback
from collections.abc import Callable
from typing import BinaryIO, NoReturn

from gatehouse.malware.job import Job, Report
from gatehouse.malware.wire import job_from_bytes, report_to_bytes
from gatehouse.sandbox.channel import ARCHIVE_FD, JOB_FD, RESULT_FD, Exit
from gatehouse.sandbox.isolation import confine
from gatehouse.sandbox.model import Isolation, SandboxLimits

#: What screens: a job, its archive, and a question that turns true when it is time to come to an end.
Run = Callable[[Job, BinaryIO, Callable[[], bool]], Report]

#: The part of its time after which a job is asked to end by itself, with what it has.
_WHEN_TO_END = 0.9
#: Above every descriptor that is put in its place, and below the zygote's own limit.
_ASIDE = 32


def _keep_only(job: int, archive: int, result: int, *, null: int) -> None:
    """Put the descriptors where they belong and close all others."""
    places = {0: null, 1: null, 2: null, JOB_FD: job, ARCHIVE_FD: archive, RESULT_FD: result}
    aside = {place: fcntl.fcntl(descriptor, fcntl.F_DUPFD, _ASIDE) for place, descriptor in places.items()}
    for place, descriptor in aside.items():
        os.dup2(descriptor, place, inheritable=False)
    os.closerange(max(places) + 1, os.sysconf("SC_OPEN_MAX"))


def _read_job() -> Job:
    with os.fdopen(JOB_FD, "rb") as stream:
        stream.seek(0)
        return job_from_bytes(stream.read())


def _clock(limits: SandboxLimits) -> Callable[[], bool]:
    wall = time.monotonic() + limits.seconds * _WHEN_TO_END
    processor = limits.cpu_seconds * _WHEN_TO_END
    return lambda: time.monotonic() > wall or time.process_time() > processor


def _answer(data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(RESULT_FD, view) :]


def _describe(fault: BaseException) -> str:
    """The kind of a fault and where in this project it arose; its text may come from the package and stays."""
    frames = [frame for frame, _ in traceback.walk_tb(fault.__traceback__)]
    modules = [
        (name, frame.f_lineno)
        for frame in frames
        if isinstance(name := frame.f_globals.get("__name__"), str) and name.startswith("gatehouse.")
    ]
    where = f" in {modules[-1][0]} at line {modules[-1][1]}" if modules else ""
    return type(fault).__name__ + where


def run_child(
    run: Run,
    isolation: Isolation,
    limits: SandboxLimits,
    *,
    parent: int,
    job: int,
    archive: int,
    result: int,
    null: int,
) -> NoReturn:
    """Do one job in this process and end it.

    Args:
        run: what screens.
        isolation: the layers that must hold.
        limits: what the job may use.
        parent: the zygote's process id.
        job: descriptor of the encoded job.
        archive: descriptor of the archive, read-only.
        result: descriptor of the pipe for the answer.
        null: descriptor of the null device.
    """
    code = Exit.UNCONFINED
    try:
        gc.disable()  # a collection would copy the pages that are shared with the zygote
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        _keep_only(job, archive, result, null=null)
        out_of_time = _clock(limits)
        confine(isolation, limits, parent=parent)
        code = Exit.FAULT
        work = _read_job()
        with os.fdopen(ARCHIVE_FD, "rb", closefd=False) as stream:
            _answer(report_to_bytes(run(work, stream, out_of_time)))
        code = Exit.ANSWERED
    except MemoryError:
        code = Exit.MEMORY
    except BaseException as fault:  # noqa: BLE001 -- whatever it is, it ends this process and not the zygote
        if code is Exit.FAULT:
            _answer(_describe(fault).encode())
    finally:
        os._exit(code)
