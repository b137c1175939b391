"""The port `Screener`, with children of a zygote: every job ends in one report, whatever its package does.

A child that crashes, is killed, runs out of time or memory, or answers what cannot be read makes its subjects
INCOMPLETE with the reason in plain words; so does a zygote that ends meanwhile, and the next job finds a new one.
The answer is as hostile as the package: it is bounded, and read strictly (`malware.wire`).
"""

from __future__ import annotations

import os
import select
import signal
import socket
import stat
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from gatehouse.malware.job import Job, Report, incomplete
from gatehouse.malware.model import Outcome
from gatehouse.malware.strict_json import Malformed
from gatehouse.malware.wire import job_to_bytes, report_from_bytes
from gatehouse.sandbox.channel import STATUS, Exit
from gatehouse.sandbox.model import MIB, Isolation, SandboxLimits, SandboxUnavailable
from gatehouse.sandbox.process import ZygoteProcess

DEFAULT_RUNNER = "gatehouse.sandbox.runner:prepare"
DEFAULT_LIMITS = SandboxLimits()

_CHUNK = 64 * 1024
#: Seconds that a zygote has to tell of a child's death after it was asked for.
_GRACE = 5.0
#: Zygotes that a job is offered to before the sandbox counts as unavailable.
_OFFERS = 3
_MAX_FAULT = 300
_ENDED = "the process that runs the checks ended"


@dataclass(frozen=True, kw_only=True, slots=True)
class _Ended:
    """How a job's child ended: its wait status, None if nobody knows, or why it was given up; and what it said.

    `cpu` is the seconds of processor time that it used, 0 where nobody knows.
    """

    status: int | None
    given_up: str | None
    answer: bytes
    cpu: float = 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class _Failure:
    """Why a job has no report, and whether the same bytes would end so again."""

    reason: str
    lasting: bool = False
    cpu: float = 0.0


class ZygoteScreener:
    """Screens in isolated children, `slots` of them at once. Any thread may call it."""

    def __init__(
        self,
        *,
        slots: int = 2,
        limits: SandboxLimits = DEFAULT_LIMITS,
        runner: str = DEFAULT_RUNNER,
        folder: Path | None = None,
        packs: tuple[str, ...] = (),
    ) -> None:
        """Nothing is started yet.

        Args:
            slots: how many jobs run at once; more wait their turn, and their time does not run meanwhile.
            limits: what each job may use.
            runner: `module:function` of what prepares the screening; another one than the default is for tests.
            folder: where to import that from, if it is not installed.
            packs: the distributions whose checks run beside Gatehouse's own.
        """
        self._slots = threading.BoundedSemaphore(slots)
        self._limits = limits
        self._runner = runner
        self._folder = folder
        self._packs = packs
        self._lock = threading.Lock()
        self._reloading = threading.Lock()
        self._process: ZygoteProcess | None = None
        self._retired: list[ZygoteProcess] = []
        self._generation = 1
        self._closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def start(self) -> Isolation:
        """Have a zygote ready; the layers that hold its children.

        Raises:
            SandboxUnavailable: there can be none.
        """
        return self._zygote().isolation

    @property
    def generation(self) -> int:
        """How often code was loaded for the jobs of now: 1 at first, one more with each `reload`."""
        return self._generation

    def reload(self, packs: tuple[str, ...] | None = None) -> int:
        """Have later jobs run the code that is installed now; those in flight finish with what they had.

        Which checks a job runs is the job's affair (`Job.checks`) and needs no reload; new code does, and other
        packs do.

        Args:
            packs: the packs from now on; None leaves them as they are.

        Returns:
            The generation of the code from now on.

        Raises:
            SandboxUnavailable: nothing can be run with the new code; what ran before goes on.
        """
        with self._reloading:
            wanted = self._packs if packs is None else packs
            fresh = self._started(wanted)
            with self._lock:
                closed = self._closed
                if not closed:
                    old, self._process = self._process, fresh
                    self._packs = wanted
                    self._generation += 1
                    self._retired = [each for each in (*self._retired, old) if each is not None and each.alive]
        if closed:
            fresh.close()
            raise SandboxUnavailable("the sandbox is closed")
        if old is not None:
            old.retire()
        return self._generation

    def close(self) -> None:
        """End the zygote and all children; jobs in flight end INCOMPLETE, later ones are refused."""
        with self._lock:
            self._closed = True
            processes = [*self._retired, *([] if self._process is None else [self._process])]
            self._process, self._retired = None, []
        for process in processes:
            process.close()

    def screen(self, job: Job, archive: Path) -> Report:
        """Screen an archive.

        Args:
            job: what to screen, and what of its release and project.
            archive: the file with its bytes, which does not change meanwhile.

        Returns:
            What the checks found, or why that is not known. `seconds` is the job's wall-clock time.

        Raises:
            SandboxUnavailable: no child can be run here, whatever the package.
        """
        with self._slots:
            started = time.monotonic()
            outcome = self._outcome(job, archive)
            seconds = time.monotonic() - started
        if isinstance(outcome, _Failure):
            outcome = replace(incomplete(job, outcome.reason), lasting=outcome.lasting, cpu=outcome.cpu)
        timed = tuple(replace(item, seconds=seconds) for item in outcome.screened)
        return replace(outcome, screened=timed)

    def _outcome(self, job: Job, archive: Path) -> Report | _Failure:
        with ExitStack() as open_things:
            try:
                archive_fd = _open_archive(archive)
            except OSError as error:
                return _Failure(reason=f"its archive could not be opened: {error.strerror}")
            open_things.callback(os.close, archive_fd)
            job_fd = os.memfd_create("job", os.MFD_CLOEXEC)
            open_things.callback(os.close, job_fd)
            try:
                _write_all(job_fd, job_to_bytes(job))
            except Malformed:
                return _Failure(reason="its metadata could not be handed over", lasting=True)
            readable, writable = os.pipe2(os.O_CLOEXEC)
            open_things.callback(os.close, readable)
            os.set_blocking(readable, False)
            try:
                ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
                open_things.enter_context(ours)
                with theirs:
                    # Our copies of the child's ends close with this block, so that its end is seen as an end.
                    process = self._hand_over([job_fd, archive_fd, writable, theirs.fileno()])
            finally:
                os.close(writable)
            try:
                ended = _Watch(ours, readable, limits=self._limits).wait(process.kill)
            finally:
                process.done()
        return replace(self._judge(job, ended), cpu=ended.cpu)

    def _hand_over(self, descriptors: list[int]) -> ZygoteProcess:
        for _ in range(_OFFERS):
            process = self._zygote()
            if process.request(descriptors):
                return process
            process.kill()  # it did not take the job, so another one may
        raise SandboxUnavailable("the sandbox ends as often as it is started")

    def _zygote(self) -> ZygoteProcess:
        with self._lock:
            if self._closed:
                raise SandboxUnavailable("the sandbox is closed")
            if self._process is not None and not self._process.alive:
                self._process.close()
                self._process = None
            if self._process is None:
                self._process = self._started(self._packs)
            return self._process

    def _started(self, packs: tuple[str, ...]) -> ZygoteProcess:
        return ZygoteProcess.start(limits=self._limits, runner=self._runner, folder=self._folder, words=packs)

    def _judge(self, job: Job, ended: _Ended) -> Report | _Failure:
        if ended.given_up is not None:
            return _Failure(reason=ended.given_up)
        if ended.status is None:
            return _Failure(reason=_ENDED)
        if ended.status != Exit.ANSWERED:
            return _reason(ended.status, ended.answer, self._limits)
        try:
            report = report_from_bytes(ended.answer, job=job)
        except Exception:  # noqa: BLE001 -- a child's bytes may be anything, and so may what reading them raises
            return _Failure(reason="its answer could not be read")
        # Its child came to an end by itself, so what was left out was left out for what stands in the file.
        return replace(report, lasting=report.outcome is Outcome.INCOMPLETE)


class _Watch:
    """Waits for one child: reads what it says, within the limits, until it is told how it ended."""

    def __init__(self, status: socket.socket, result: int, *, limits: SandboxLimits) -> None:
        self._status = status
        self._result = result
        self._limits = limits
        self._deadline = time.monotonic() + limits.seconds  # from now: starting a zygote is not the job's time
        self._answer = bytearray()
        self._poll = select.poll()
        self._poll.register(status, select.POLLIN)
        self._poll.register(result, select.POLLIN)
        self._reading = True

    def wait(self, kill_zygote: Callable[[], None]) -> _Ended:
        """Wait for the end, or bring it about: the child's when its limits are over, a mute zygote's too."""
        given_up: str | None = None
        deadline = self._deadline
        while True:
            left = deadline - time.monotonic()
            if left <= 0 and given_up is not None:
                kill_zygote()
                return _Ended(status=None, given_up=given_up, answer=b"")
            if given_up is None and (given_up := self._too_much(left)) is not None:
                self._status.shutdown(socket.SHUT_WR)  # the zygote kills the child and then tells of its death
                self._stop_reading()
                deadline = time.monotonic() + _GRACE
                continue
            events = {descriptor for descriptor, _ in self._poll.poll(max(left, 0) * 1000)}
            if self._result in events:
                self._read()
            if self._status.fileno() in events:
                return self._last(given_up)

    def _too_much(self, left: float) -> str | None:
        if left <= 0:
            return f"ran longer than {self._limits.seconds:g} s"
        if len(self._answer) > self._limits.answer:
            return f"its answer was longer than {self._limits.answer / MIB:g} MiB"
        return None

    def _read(self) -> bool:
        """Read a piece; whether there may be more at once."""
        try:
            piece = os.read(self._result, _CHUNK)
        except BlockingIOError:
            return False
        if not piece:
            self._stop_reading()
        self._answer += piece
        return bool(piece)

    def _stop_reading(self) -> None:
        if self._reading:
            self._reading = False
            self._poll.unregister(self._result)

    def _last(self, given_up: str | None) -> _Ended:
        try:
            message = self._status.recv(STATUS.size)
        except OSError:
            message = b""
        status, cpu = STATUS.unpack(message) if len(message) == STATUS.size else (None, 0.0)
        # The child is gone, so what stands in the pipe is all there will ever be.
        while given_up is None and self._reading and self._read():
            given_up = self._too_much(1.0)
        return _Ended(status=status, given_up=given_up, answer=bytes(self._answer), cpu=cpu)


def _open_archive(archive: Path) -> int:
    """Open for reading, with an offset of its own; a pipe in the place of a file must not stop us."""
    descriptor = os.open(archive, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(0, "it is not a file")
    return descriptor


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _reason(status: int, said: bytes, limits: SandboxLimits) -> _Failure:
    """Why a child that ended so has no answer, in plain words."""
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        if number == signal.SIGXCPU:
            return _Failure(reason=f"used more than {limits.cpu_seconds} s of processor time", lasting=True)
        why = ": it tried what the sandbox forbids" if number == signal.SIGSYS else ""
        return _Failure(reason=f"the child was killed by signal {number:d}{why}", lasting=bool(why))
    code = os.WEXITSTATUS(status)
    if code == Exit.MEMORY:
        return _Failure(reason=f"needed more than {limits.memory / MIB:g} MiB", lasting=True)
    if code == Exit.UNCONFINED:
        return _Failure(reason="the child could not be confined, so it read nothing")
    if code == Exit.FAULT:
        told = said[:_MAX_FAULT].decode("ascii", "replace")
        shown = "".join(sign if sign.isprintable() else "?" for sign in told)
        return _Failure(reason=f"the checks failed: {shown}", lasting=True)
    return _Failure(reason=f"the child ended with status {code:d}")
