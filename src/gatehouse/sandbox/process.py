"""The zygote as its parent holds it: started, asked, ended."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Self

from gatehouse.sandbox.channel import MAX_HELLO, REQUEST, decode_hello
from gatehouse.sandbox.model import Isolation, SandboxLimits, SandboxUnavailable
from gatehouse.sandbox.zygote import Options

#: Seconds that loading the checks may take, a request may wait to be taken, and an end may last.
_START, _SEND, _END = 60.0, 5.0, 5.0
#: All that a zygote inherits of the environment, which elsewhere holds secrets: where the loader finds libraries.
_INHERITED = ("LD_LIBRARY_PATH",)


class ZygoteProcess:
    """A running zygote."""

    def __init__(self, process: subprocess.Popen[bytes], control: socket.socket, isolation: Isolation) -> None:
        self._process = process
        self._control = control
        self._lock = threading.Lock()
        self._closed = False
        self._retired = False
        self._jobs = 0
        self.isolation = isolation

    @classmethod
    def start(
        cls, *, limits: SandboxLimits, runner: str, folder: Path | None, words: tuple[str, ...] = ()
    ) -> Self:
        """Start one and wait until it serves.

        Raises:
            SandboxUnavailable: it does not start, or no layer keeps its children off the network.
        """
        if sys.platform != "linux":
            raise SandboxUnavailable(f"the sandbox needs Linux, and this is {sys.platform}")
        options = Options(parent=os.getpid(), runner=runner, folder=folder, limits=limits, words=words)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            with theirs:
                process = subprocess.Popen(  # noqa: S603 -- our own interpreter, our own words
                    [sys.executable, "-I", "-X", "utf8", "-m", "gatehouse.sandbox.zygote", *options.arguments()],
                    stdin=theirs.fileno(),
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.PIPE,
                    cwd="/",
                    env={name: os.environ[name] for name in _INHERITED if name in os.environ},
                    start_new_session=True,
                )
        except OSError as error:
            ours.close()
            raise SandboxUnavailable(f"the sandbox does not start: {error.strerror}") from error
        try:
            isolation = _greeting(ours, process)
        except BaseException:
            ours.close()
            _end(process)
            raise
        return cls(process, ours, isolation)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it still takes jobs, as far as is known."""
        return not self._closed and self._process.poll() is None

    def request(self, descriptors: list[int]) -> bool:
        """Hand over a job's descriptors (`channel`); False if nobody takes it, and then it did not run.

        Whoever handed one over calls `done` when the job has come to its end.
        """
        with self._lock:
            if self._closed or self._retired:
                return False
            try:
                socket.send_fds(self._control, [REQUEST], descriptors)
            except OSError:
                return False
            self._jobs += 1
        return True

    def done(self) -> None:
        """A job that it took has come to its end."""
        with self._lock:
            self._jobs -= 1
            last = self._retired and self._jobs == 0
        if last:
            self.close()

    def retire(self) -> None:
        """Take no more jobs, and end it when those that it took are done."""
        with self._lock:
            self._retired = True
            idle = self._jobs == 0
        if idle:
            self.close()

    def kill(self) -> None:
        """End it at once; its children die with it."""
        self._process.kill()
        self.close()

    def close(self) -> None:
        """End it and its children, and wait for that. Closing twice is closing once."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            self._control.close()
        _end(self._process)


def _greeting(control: socket.socket, process: subprocess.Popen[bytes]) -> Isolation:
    control.settimeout(_START)
    try:
        message = control.recv(MAX_HELLO)
    except TimeoutError as error:
        raise SandboxUnavailable(f"the sandbox did not start within {_START:g} s") from error
    except ConnectionError:
        message = b""
    if not message:
        raise SandboxUnavailable(f"the sandbox did not start: {_last_words(process)}")
    control.settimeout(_SEND)
    return decode_hello(message)


def _last_words(process: subprocess.Popen[bytes]) -> str:
    """The last line that a process wrote before it could speak otherwise, such as an import's error."""
    process.kill()
    written = b"" if process.stderr is None else process.stderr.read()
    lines = written.decode(errors="replace").split("\n")
    words = [line.strip() for line in lines if line.strip()]
    return words[-1][:300] if words else f"it ended with status {process.wait(_END)}"


def _end(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(_END)
    except subprocess.TimeoutExpired:
        process.kill()
        with suppress(subprocess.TimeoutExpired):  # a process that the kernel holds fast is no reason to hang
            process.wait(_END)
    if process.stderr is not None:
        process.stderr.close()
