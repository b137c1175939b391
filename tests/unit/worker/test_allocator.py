"""Buffers of the size of a bin are reused, so that a publication does not ask the system for each."""

from __future__ import annotations

import ctypes
import subprocess
import sys

import pytest

_FAULTS = """
import resource, sys
from gatehouse.worker.allocator import keep_freed_memory
if sys.argv[1] == "kept":
    assert keep_freed_memory()
before = 0
for round in range(220):
    if round == 20:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    buffers = [bytes(200_000 + 100 * number + round) for number in range(8)]
    for number, buffer in enumerate(buffers):
        buffers[number] = buffer + b"x"
    del buffers, buffer
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def page_faults(how: str) -> int:
    command = [sys.executable, "-c", _FAULTS, how]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="the C library has no mallopt")
def test_memory_of_a_bin_is_kept_for_the_next() -> None:
    assert page_faults("kept") < page_faults("as it is") / 10
