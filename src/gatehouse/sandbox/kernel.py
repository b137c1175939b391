"""The few calls into Linux that the standard library does not offer, each raising OSError with its errno."""

from __future__ import annotations

import ctypes
import os

_LIBC = ctypes.CDLL(None, use_errno=True)

_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4
_PR_SET_SECCOMP = 22
_PR_SET_NO_NEW_PRIVS = 38
_SECCOMP_MODE_FILTER = 2
_CAPABILITY_VERSION_3 = 0x20080522

CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWNET = 0x40000000


def _checked(result: int, call: str) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{call}: {os.strerror(code)}")
    return result


def syscall(call: str, number: int, *arguments: object) -> int:
    """Call the kernel by number; `call` is its name for the error."""
    return _checked(_LIBC.syscall(ctypes.c_long(number), *arguments), call)


def unshare(flags: int) -> None:
    """Leave namespaces of the parent's for new, empty ones. Fails in a process with threads."""
    _checked(_LIBC.unshare(ctypes.c_int(flags)), "unshare")


def _prctl(call: str, option: int, argument: object) -> None:
    zero = ctypes.c_ulong(0)
    _checked(_LIBC.prctl(ctypes.c_int(option), argument, zero, zero, zero), call)


def die_with_parent(signal_number: int) -> None:
    """Be sent this signal when the thread that forked this process ends. A change of user forgets it."""
    _prctl("prctl(PR_SET_PDEATHSIG)", _PR_SET_PDEATHSIG, ctypes.c_ulong(signal_number))


def forbid_dumps() -> None:
    """No core dump, and no ptrace or look into /proc/<pid> by others of the same user."""
    _prctl("prctl(PR_SET_DUMPABLE)", _PR_SET_DUMPABLE, ctypes.c_ulong(0))


def forbid_new_privileges() -> None:
    """No exec ever gives more rights; Landlock and seccomp ask for this."""
    _prctl("prctl(PR_SET_NO_NEW_PRIVS)", _PR_SET_NO_NEW_PRIVS, ctypes.c_ulong(1))


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def install_filter(instructions: bytes) -> None:
    """Put a seccomp program over this process for good: 8 bytes an instruction, `struct sock_filter`."""
    program = _Program(len(instructions) // 8, instructions)
    argument = ctypes.byref(program)
    zero = ctypes.c_ulong(0)
    mode = ctypes.c_ulong(_SECCOMP_MODE_FILTER)
    _checked(_LIBC.prctl(ctypes.c_int(_PR_SET_SECCOMP), mode, argument, zero, zero), "prctl(PR_SET_SECCOMP)")


class _CapabilityHeader(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


def drop_capabilities() -> None:
    """Give up every capability, those in a user namespace of one's own too."""
    header = _CapabilityHeader(_CAPABILITY_VERSION_3, 0)
    nothing = (ctypes.c_uint32 * 6)()
    _checked(_LIBC.capset(ctypes.byref(header), ctypes.byref(nothing)), "capset")
