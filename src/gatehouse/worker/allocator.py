"""Memory that is kept for the next bin instead of being given back to the system and asked for again.

A publication handles one buffer of some 200 kB after the other. glibc takes such buffers from the system one by
one and returns them at once, so that each costs fifty page faults: a tenth of the CPU of a publication. Here it is
told to keep what it has, up to a bound.
"""

from __future__ import annotations

import ctypes
from typing import Final

# From malloc.h.
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3
#: A bin is rarely as large; what is larger is given back.
_LARGEST: Final = 8 * 1024**2
#: So much of what is free is kept, for each of malloc's arenas.
_KEPT: Final = 32 * 1024**2


def keep_freed_memory() -> bool:
    """Have the C library keep freed memory of this process for reuse; False where it has no such setting."""
    libc = ctypes.CDLL(None)
    if not hasattr(libc, "mallopt"):
        return False
    settings = {_M_MMAP_THRESHOLD: _LARGEST, _M_TRIM_THRESHOLD: 2 * _KEPT, _M_TOP_PAD: _KEPT}
    taken = [libc.mallopt(name, value) == 1 for name, value in settings.items()]
    return all(taken)
