"""What the children run: all checks of the registry and of the packs that are named, over one job.

The zygote prepares it once. A child can open no file, so everything that screening may ever import is imported
beforehand: the whole screening wing, and every text encoding, since the package chooses those.
"""

from __future__ import annotations

import codecs
import encodings
import importlib
import pkgutil
import time
from collections.abc import Callable
from typing import BinaryIO

import gatehouse.malware
from gatehouse.malware import service
from gatehouse.malware.job import Job, Report
from gatehouse.malware.registry import Registry
from gatehouse.malware.warming import warm_up
from gatehouse.sandbox.child import Run

#: Parts of the standard library that others import late, inside a function.
_LATE = ("bz2", "lzma", "linecache", "stringprep", "tokenize", "unicodedata", "zlib")
#: Encodings of another operating system; importing them fails.
_FOREIGN = frozenset({"mbcs", "oem"})


def import_everything() -> None:
    """Import what a child may need, while files can still be opened."""
    for name in _LATE:
        importlib.import_module(name)
    for module in pkgutil.iter_modules(encodings.__path__):
        if module.name not in _FOREIGN:
            importlib.import_module(f"encodings.{module.name}")
            if module.name != "aliases":
                _look_up(module.name)
    for module in pkgutil.walk_packages(gatehouse.malware.__path__, "gatehouse.malware."):
        importlib.import_module(module.name)


def _look_up(name: str) -> None:
    try:
        codecs.lookup(name)
    except LookupError:
        return  # this build of Python goes without; a package that asks for it gets the same answer


def prepare(*packs: str) -> Run:
    """Load everything; what screens a job.

    Args:
        packs: the distributions whose checks run too. One that is refused is left out: whoever names them loads
            them as well, and says so.

    Raises:
        InvalidCheck: a check is not whole.
    """
    import_everything()
    registry = Registry.load(packs)
    warm_up(registry)

    def run(job: Job, stream: BinaryIO, out_of_time: Callable[[], bool]) -> Report:
        return service.run(job, stream, registry, out_of_time=out_of_time, cpu=time.process_time)

    return run
