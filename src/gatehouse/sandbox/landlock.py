"""Landlock: after this, no path can be opened, made, removed or run, and no TCP port bound or reached.

A ruleset that handles every right its ABI knows and grants none. What is open already stays open. Since Linux
5.13; the numbers are the kernel's `uapi/linux/landlock.h`, and those of the system calls are the same on every
architecture.
"""

from __future__ import annotations

import ctypes
import os
import struct

from gatehouse.sandbox import kernel

_CREATE_RULESET = 444
_RESTRICT_SELF = 446
_VERSION_FLAG = 1

#: The ABI that brought them, and how many of the lowest bits of `handled_access_fs` it knows.
_FILE_RIGHTS = ((5, 16), (3, 15), (2, 14), (1, 13))
_NET_SINCE, _NET_RIGHTS = 4, 0b11  # bind and connect, TCP
_SCOPES_SINCE, _SCOPES = 6, 0b11  # abstract Unix sockets and signals to outside


def abi() -> int:
    """The ABI that this kernel offers; 0 without Landlock."""
    try:
        return kernel.syscall(
            "landlock_create_ruleset",
            _CREATE_RULESET,
            None,
            ctypes.c_size_t(0),
            ctypes.c_uint32(_VERSION_FLAG),
        )
    except OSError:
        return 0


def _attributes(version: int) -> bytes:
    files = next(1 << bits for since, bits in _FILE_RIGHTS if version >= since) - 1
    if version < _NET_SINCE:
        return struct.pack("=Q", files)
    if version < _SCOPES_SINCE:
        return struct.pack("=QQ", files, _NET_RIGHTS)
    return struct.pack("=QQQ", files, _NET_RIGHTS, _SCOPES)


def restrict() -> int:
    """Shut this process out of every path, for good. Wants `forbid_new_privileges` first.

    Returns:
        The ABI in force.

    Raises:
        OSError: the kernel has no Landlock, or refuses it.
    """
    version = abi()
    if version == 0:
        raise OSError("the kernel has no Landlock")
    attributes = _attributes(version)
    ruleset = kernel.syscall(
        "landlock_create_ruleset",
        _CREATE_RULESET,
        ctypes.c_char_p(attributes),
        ctypes.c_size_t(len(attributes)),
        ctypes.c_uint32(0),
    )
    try:
        kernel.syscall("landlock_restrict_self", _RESTRICT_SELF, ctypes.c_int(ruleset), ctypes.c_uint32(0))
    finally:
        os.close(ruleset)
    return version
