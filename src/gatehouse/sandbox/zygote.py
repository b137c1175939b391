"""The zygote: a process of one thread that loads the checks once and forks a confined child for each job.

`python -I -m gatehouse.sandbox.zygote`, with the control socket as standard input; `process` starts it. It leaves
the network and root before the first job, holds no secret (its environment is empty) and reads no byte of any
archive. It goes when its parent goes: the control socket ends, or, should another process still hold that, the
parent's process id is no longer its parent's. Signals meant for the parent's group do not end it, so that jobs in
flight outlast a server that finishes its work after SIGTERM.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import os
import resource
import select
import signal
import socket
import sys
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from gatehouse.sandbox.channel import REQUEST, REQUEST_DESCRIPTORS, STATUS, encode_hello, encode_refusal
from gatehouse.sandbox.child import Run, run_child
from gatehouse.sandbox.isolation import probe, seal_process
from gatehouse.sandbox.model import Isolation, SandboxLimits

_DESCRIPTORS = 256
_LOOK_FOR_PARENT = 1000  # milliseconds


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """What the zygote is started with.

    Attributes:
        parent: the process id of whoever started it.
        runner: `module:function` of what prepares the screening; another one than the default is for tests.
        folder: a folder to import the runner from.
        limits: what a job may use.
        words: what the runner is given: the packs of checks.
    """

    parent: int
    runner: str
    folder: Path | None
    limits: SandboxLimits
    words: tuple[str, ...] = ()

    def arguments(self) -> list[str]:
        """These options as a command line."""
        limits = self.limits
        words = [f"--parent={self.parent}", f"--runner={self.runner}", f"--seconds={limits.seconds}"]
        words += [f"--cpu-seconds={limits.cpu_seconds}", f"--memory={limits.memory}", f"--answer={limits.answer}"]
        words += [f"--word={word}" for word in self.words]
        return words if self.folder is None else [*words, f"--folder={self.folder}"]

    @classmethod
    def parse(cls, arguments: Sequence[str]) -> Options:
        """The options of a command line."""
        parser = argparse.ArgumentParser(prog="gatehouse.sandbox.zygote", allow_abbrev=False)
        parser.add_argument("--parent", type=int, required=True)
        parser.add_argument("--runner", required=True)
        parser.add_argument("--folder", type=Path)
        parser.add_argument("--word", action="append", default=[])
        parser.add_argument("--seconds", type=float, required=True)
        parser.add_argument("--cpu-seconds", type=int, required=True)
        parser.add_argument("--memory", type=int, required=True)
        parser.add_argument("--answer", type=int, required=True)
        said = parser.parse_args(arguments)
        limits = SandboxLimits(
            seconds=said.seconds, cpu_seconds=said.cpu_seconds, memory=said.memory, answer=said.answer
        )
        return cls(
            parent=said.parent, runner=said.runner, folder=said.folder, limits=limits, words=tuple(said.word)
        )


class Zygote:
    """Forks children on request, kills those that are given up, tells how each ended."""

    def __init__(self, control: socket.socket, run: Run, isolation: Isolation, options: Options) -> None:
        self._control = control
        self._run = run
        self._isolation = isolation
        self._options = options
        self._children: dict[int, socket.socket] = {}
        # Process ids by descriptor of their status sockets, which turn readable when the parent gives them up.
        self._watched: dict[int, int] = {}
        self._null = os.open(os.devnull, os.O_RDWR)
        self._wake, wake_up = os.pipe()
        for descriptor in (self._wake, wake_up):
            os.set_blocking(descriptor, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wake_up, warn_on_full_buffer=False)
        self._poll = select.poll()
        self._poll.register(self._control, select.POLLIN)
        self._poll.register(self._wake, select.POLLIN)

    def serve(self) -> None:
        """Serve until the parent ends, then leave no child behind."""
        try:
            while os.getppid() == self._options.parent:
                ready = {descriptor for descriptor, _ in self._poll.poll(_LOOK_FOR_PARENT)}
                # In this order: reaping frees numbers of descriptors, which a request may then be given.
                for descriptor in ready & self._watched.keys():
                    self._poll.unregister(descriptor)
                    _kill(self._watched.pop(descriptor))
                if self._wake in ready:
                    self._reap()
                if self._control.fileno() in ready and not self._take_request():
                    return
        finally:
            for pid in self._children:
                _kill(pid)
            for pid in self._children:
                os.waitpid(pid, 0)

    def _take_request(self) -> bool:
        message, descriptors, _, _ = socket.recv_fds(self._control, len(REQUEST), REQUEST_DESCRIPTORS)
        if message != REQUEST or len(descriptors) != REQUEST_DESCRIPTORS:
            return False  # the parent ended, or speaks another language: there is nobody to serve
        job, archive, result, status = descriptors
        pid = self._fork(job, archive, result)
        for descriptor in (job, archive, result):
            os.close(descriptor)
        channel = socket.socket(fileno=status)
        if pid is None:
            channel.close()  # without a status: the parent learns that nothing ran
            return True
        self._children[pid] = channel
        self._watched[channel.fileno()] = pid
        self._poll.register(channel, select.POLLIN)
        return True

    def _fork(self, job: int, archive: int, result: int) -> int | None:
        parent = os.getpid()
        try:
            pid = os.fork()
        except OSError:
            return None
        if pid == 0:
            run_child(
                self._run,
                self._isolation,
                self._options.limits,
                parent=parent,
                job=job,
                archive=archive,
                result=result,
                null=self._null,
            )
        return pid

    def _reap(self) -> None:
        with suppress(BlockingIOError):  # until the pipe is empty
            while os.read(self._wake, 512):
                pass
        while self._children:
            pid, status, used = os.wait4(-1, os.WNOHANG)
            if pid == 0:
                return
            channel = self._children.pop(pid, None)
            if channel is None:
                continue  # an orphan that a child left: reaped, and of no interest
            if self._watched.pop(channel.fileno(), None) is not None:
                self._poll.unregister(channel)
            with channel, suppress(OSError):  # the parent may not be there to hear it
                channel.send(STATUS.pack(status, used.ru_utime + used.ru_stime))


def _kill(pid: int) -> None:
    # Not yet reaped, so the number is still this child's. It leads its group from its first lines on.
    with suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)
    os.kill(pid, signal.SIGKILL)


def _detach() -> socket.socket:
    """Take the control socket from standard input, and put the null device in the place of the three streams."""
    control = socket.socket(fileno=os.dup(0))
    null = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(null, stream)
    os.close(null)
    return control


def _prepare(options: Options) -> Run:
    if options.folder is not None:
        sys.path.insert(0, str(options.folder))
    module, _, function = options.runner.partition(":")
    return cast("Callable[..., Run]", getattr(importlib.import_module(module), function))(*options.words)


def main(arguments: Sequence[str]) -> int:
    """Load, seal, probe, say so, serve. The exit status is 0 when the parent ended it."""
    options = Options.parse(arguments)
    control = _detach()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_NOFILE, (_DESCRIPTORS, _DESCRIPTORS))
    warnings.simplefilter("ignore")  # what the parser thinks of a package's style reaches nobody
    try:
        run = _prepare(options)
        isolation = probe(seal_process())
        if not isolation.network:
            refusal = f"nothing keeps a child off the network ({'; '.join(isolation.faults)})"
            control.send(encode_refusal(refusal))
            return 1
    except Exception as fault:  # noqa: BLE001 -- told to the parent, which raises it
        control.send(encode_refusal(f"{type(fault).__name__}: {fault}"))
        return 1
    gc.collect()
    gc.freeze()  # a collection in a child then copies none of the pages that it shares with the zygote
    control.send(encode_hello(isolation))
    Zygote(control, run, isolation, options).serve()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
