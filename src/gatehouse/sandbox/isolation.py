"""The layers around a child, put on in two steps, and a probe that tries them before they are relied upon.

The zygote leaves the network and root once (`seal_process`); each child then takes its limits, Landlock and the
system-call filter upon itself (`confine`) before it reads a byte of an archive. A layer that the probe found and
that a child cannot get ends that child: no job runs behind fewer walls than were reported.
"""

from __future__ import annotations

import os
import resource
import signal
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from gatehouse.sandbox import kernel, landlock, seccomp
from gatehouse.sandbox.model import Isolation, SandboxLimits

#: Descriptors that a child may have open: three of the null device, its two, and one passing for Landlock.
MAX_DESCRIPTORS = 16
_NOBODY = 65534
_MESSAGE = 500


@dataclass(frozen=True, kw_only=True, slots=True)
class Sealed:
    """What became of `seal_process`: whether the namespaces are new, and what did not work."""

    namespaces: bool
    faults: tuple[str, ...]


def seal_process() -> Sealed:
    """Leave the network, root and every capability, in this process and all that it forks, for good.

    With the right to do so the namespaces are left without a user namespace, which would only lend capabilities
    that have to be given up again. What the kernel does not grant is told.

    Raises:
        OSError: what every Linux grants was refused.
    """
    faults: list[str] = []
    left = False
    kernel.forbid_new_privileges()
    if os.geteuid() == 0:
        try:
            kernel.unshare(kernel.CLONE_NEWNET | kernel.CLONE_NEWIPC)
            left = True
        except OSError:
            left = False  # root of a container: nobody may still do it, in a user namespace
        try:
            os.setgroups([])
            os.setresgid(_NOBODY, _NOBODY, _NOBODY)
            os.setresuid(_NOBODY, _NOBODY, _NOBODY)
        except OSError as fault:
            faults.append(f"the children stay root: {fault.strerror}")
    if not left:
        try:
            kernel.unshare(kernel.CLONE_NEWUSER | kernel.CLONE_NEWNET | kernel.CLONE_NEWIPC)
            left = True
        except OSError as fault:
            faults.append(f"no network namespace: {fault.strerror}")
    kernel.drop_capabilities()
    kernel.forbid_dumps()
    return Sealed(namespaces=left, faults=tuple(faults))


def _trial(attempt: Callable[[], object]) -> tuple[int, str]:
    """Do something in a fork: how that ended (as `os.waitpid` says it), and the message of its OSError."""
    readable, writable = os.pipe()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            attempt()
            code = 0
        except OSError as fault:
            os.write(writable, str(fault).encode()[:_MESSAGE])
        finally:
            os._exit(code)
    os.close(writable)
    with os.fdopen(readable, "rb") as stream:
        said = stream.read(_MESSAGE).decode(errors="replace")
    return os.waitpid(pid, 0)[1], said


def _try_landlock() -> None:
    landlock.restrict()
    try:
        os.close(os.open("/", os.O_RDONLY | os.O_DIRECTORY))
    except PermissionError:
        return
    raise OSError("Landlock let a folder be opened")


def _try_filter() -> None:
    seccomp.install()
    socket.socket().close()
    raise OSError("the filter let a socket be made")


def probe(sealed: Sealed) -> Isolation:
    """Try each layer by itself, in a fork: for a sealed process without threads."""
    faults = list(sealed.faults)
    ended, said = _trial(_try_landlock)
    version = landlock.abi() if ended == 0 else 0
    if ended != 0:
        faults.append(f"no Landlock: {said or 'the trial child died'}")
    ended, said = _trial(_try_filter)
    filtered = os.WIFSIGNALED(ended) and os.WTERMSIG(ended) == signal.SIGSYS
    if not filtered:
        faults.append(f"no system-call filter: {said or 'the trial child died'}")
    return Isolation(
        namespaces=sealed.namespaces, landlock=version, syscalls=filtered, faults=tuple(dict.fromkeys(faults))
    )


def mapped_bytes() -> int:
    """The address space of this process, in bytes: what `RLIMIT_AS` counts."""
    return int(Path("/proc/self/statm").read_bytes().split()[0]) * resource.getpagesize()


def _limit(what: int, value: int, *, more: int = 0) -> None:
    # A hard limit is only ever lowered, so that this needs no right.
    now = resource.getrlimit(what)[1]
    hard = value + more if now == resource.RLIM_INFINITY else min(value + more, now)
    resource.setrlimit(what, (min(value, hard), hard))


def confine(isolation: Isolation, limits: SandboxLimits, *, parent: int) -> None:
    """Put this child behind every layer that there is, for good.

    Args:
        isolation: the layers that the probe found.
        limits: what the job may use.
        parent: the zygote's process id; the child dies with it.

    Raises:
        OSError: a layer that the probe found does not come.
    """
    os.setsid()
    kernel.forbid_dumps()
    kernel.forbid_new_privileges()
    kernel.die_with_parent(signal.SIGKILL)
    if os.getppid() != parent:
        raise ProcessLookupError("the zygote ended before the child was bound to it")
    _limit(resource.RLIMIT_AS, mapped_bytes() + limits.memory)
    # SIGXCPU tells why; SIGKILL, which the hard limit sends, would not.
    _limit(resource.RLIMIT_CPU, limits.cpu_seconds, more=1)
    _limit(resource.RLIMIT_NOFILE, MAX_DESCRIPTORS)
    _limit(resource.RLIMIT_FSIZE, 0)
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_NPROC, 0)  # does not bind root; the filter does
    if isolation.landlock:
        landlock.restrict()
    if isolation.syscalls:
        seccomp.install()
