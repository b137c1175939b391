"""A seccomp filter: computing, memory, reading and writing what is open, the clock, and the end; nothing else.

What is not named fails with EPERM, as a late import would. What no reader of an archive ever does (a socket, a
new process, another program, a look into another process) ends the child at once with SIGSYS, so that an attempt
shows as INCOMPLETE and cannot be hidden behind a clean answer. Memory is never made executable. A call of
another architecture ends the child too: the numbers would mean something else.

The numbers are the kernel's, from `asm/unistd_64.h` (x86-64) and `asm-generic/unistd.h` (AArch64).
"""

from __future__ import annotations

import errno
import os
import platform
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from gatehouse.sandbox import kernel

_X86_64 = MappingProxyType(
    {
        "read": 0, "write": 1, "close": 3, "fstat": 5, "poll": 7, "lseek": 8, "mmap": 9, "mprotect": 10,
        "munmap": 11, "brk": 12, "rt_sigaction": 13, "rt_sigprocmask": 14, "rt_sigreturn": 15, "pread64": 17,
        "readv": 19, "writev": 20, "sched_yield": 24, "mremap": 25, "madvise": 28, "nanosleep": 35, "getpid": 39,
        "gettimeofday": 96, "getrusage": 98, "times": 100, "getppid": 110, "sigaltstack": 131, "gettid": 186,
        "time": 201, "futex": 202, "restart_syscall": 219, "clock_gettime": 228, "clock_getres": 229,
        "clock_nanosleep": 230, "exit_group": 231, "exit": 60, "tgkill": 234, "newfstatat": 262, "getrandom": 318,
        "socket": 41, "connect": 42, "accept": 43, "sendto": 44, "recvfrom": 45, "sendmsg": 46, "recvmsg": 47,
        "bind": 49, "listen": 50, "socketpair": 53, "clone": 56, "fork": 57, "vfork": 58, "execve": 59, "kill": 62,
        "ptrace": 101, "tkill": 200, "accept4": 288, "process_vm_readv": 310, "process_vm_writev": 311,
        "execveat": 322, "unshare": 272, "setns": 308, "bpf": 321, "io_uring_setup": 425, "clone3": 435,
    }
)  # fmt: skip
_AARCH64 = MappingProxyType(
    {
        "close": 57, "lseek": 62, "read": 63, "write": 64, "readv": 65, "writev": 66, "pread64": 67, "ppoll": 73,
        "newfstatat": 79, "fstat": 80, "exit": 93, "exit_group": 94, "futex": 98, "nanosleep": 101,
        "clock_gettime": 113, "clock_getres": 114, "clock_nanosleep": 115, "sched_yield": 124,
        "restart_syscall": 128, "tgkill": 131, "sigaltstack": 132, "rt_sigaction": 134, "rt_sigprocmask": 135,
        "rt_sigreturn": 139, "times": 153, "getrusage": 165, "gettimeofday": 169, "getpid": 172, "getppid": 173,
        "gettid": 178, "brk": 214, "munmap": 215, "mremap": 216, "mmap": 222, "mprotect": 226, "madvise": 233,
        "getrandom": 278,
        "unshare": 97, "ptrace": 117, "kill": 129, "tkill": 130, "socket": 198, "socketpair": 199, "bind": 200,
        "listen": 201, "accept": 202, "connect": 203, "sendto": 206, "recvfrom": 207, "sendmsg": 211,
        "recvmsg": 212, "clone": 220, "execve": 221, "accept4": 242, "setns": 268, "process_vm_readv": 270,
        "process_vm_writev": 271, "bpf": 280, "execveat": 281, "io_uring_setup": 425, "clone3": 435,
    }
)  # fmt: skip

#: Ends the child at once.
FATAL = frozenset(
    {
        "socket", "connect", "accept", "accept4", "sendto", "recvfrom", "sendmsg", "recvmsg", "bind", "listen",
        "socketpair", "clone", "clone3", "fork", "vfork", "execve", "execveat", "kill", "tkill", "ptrace",
        "process_vm_readv", "process_vm_writev", "unshare", "setns", "bpf", "io_uring_setup",
    }
)  # fmt: skip

_AT_EMPTY_PATH = 0x1000
_PROT_EXEC = 4


@dataclass(frozen=True, kw_only=True, slots=True)
class Architecture:
    """An architecture that the filter is written for: the kernel's audit number and its call numbers."""

    audit: int
    numbers: Mapping[str, int]


ARCHITECTURES: Mapping[str, Architecture] = MappingProxyType(
    {
        "x86_64": Architecture(audit=0xC000003E, numbers=_X86_64),
        "aarch64": Architecture(audit=0xC00000B7, numbers=_AARCH64),
    }
)

_LOAD, _JUMP_IF_EQUAL, _AND, _RETURN = 0x20, 0x15, 0x54, 0x06
_ALLOW = 0x7FFF0000
_KILL_PROCESS = 0x80000000
_REFUSE = 0x00050000 | errno.EPERM
_NUMBER_AT, _ARCHITECTURE_AT, _ARGUMENTS_AT = 0, 4, 16  # in struct seccomp_data


def _instruction(code: int, operand: int, *, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, if_true, if_false, operand)


def _allow_when(number: int, argument: int, mask: int, value: int) -> bytes:
    """Let a call through when the low half of an argument, masked, has a value; refuse it otherwise."""
    return b"".join(
        (
            _instruction(_JUMP_IF_EQUAL, number, if_false=5),
            _instruction(_LOAD, _ARGUMENTS_AT + 8 * argument),
            _instruction(_AND, mask),
            _instruction(_JUMP_IF_EQUAL, value, if_false=1),
            _instruction(_RETURN, _ALLOW),
            _instruction(_RETURN, _REFUSE),
        )
    )


def _answer(number: int, action: int) -> bytes:
    return _instruction(_JUMP_IF_EQUAL, number, if_false=1) + _instruction(_RETURN, action)


def program(architecture: Architecture, *, own_pid: int) -> bytes:
    """The filter's instructions for a process of this id."""
    conditions = {
        "mmap": (2, _PROT_EXEC, 0),
        "mprotect": (2, _PROT_EXEC, 0),
        "newfstatat": (3, 0xFFFFFFFF, _AT_EMPTY_PATH),  # how the C library asks about an open file
        "tgkill": (0, 0xFFFFFFFF, own_pid),  # how abort() ends its own process
    }
    parts = [
        _instruction(_LOAD, _ARCHITECTURE_AT),
        _instruction(_JUMP_IF_EQUAL, architecture.audit, if_true=1),
        _instruction(_RETURN, _KILL_PROCESS),
        _instruction(_LOAD, _NUMBER_AT),
    ]
    for name, number in architecture.numbers.items():
        if name in conditions:
            parts.append(_allow_when(number, *conditions[name]))
        else:
            parts.append(_answer(number, _KILL_PROCESS if name in FATAL else _ALLOW))
    parts.append(_instruction(_RETURN, _REFUSE))
    return b"".join(parts)


def install() -> None:
    """Put the filter over this process, for good. Wants `forbid_new_privileges` first.

    Raises:
        OSError: the filter is not written for this architecture, or the kernel refuses it.
    """
    machine = platform.machine()
    if machine not in ARCHITECTURES or struct.calcsize("P") != 8:  # noqa: PLR2004 -- the bytes of a 64-bit pointer
        raise OSError(f"no filter is written for {machine}")
    kernel.install_filter(program(ARCHITECTURES[machine], own_pid=os.getpid()))
