"""The limit that a publisher may approach: the bytes of the same bins read, spliced, signed, hashed and written.

One loop in one thread, without database, versions, verification, snapshot or timestamp: what is left is what no
publisher can avoid. After each group of bins stands one sync of the file system, as after each publication.
"""

from __future__ import annotations

import hashlib
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gatehouse.storage.blobs.durable import sync_file_system
from gatehouse.tuf.model import Target
from gatehouse.tuf.splice import body_of, splice
from gatehouse.worker.allocator import keep_freed_memory


@dataclass(frozen=True, kw_only=True, slots=True)
class Limit:
    """What the loop did: changes, seconds on the clock, seconds of CPU, bins and their bytes."""

    changes: int
    wall: float
    cpu: float
    bins: int
    size: int


def spliced_bytes(groups: Sequence[Mapping[Path, Mapping[str, Target | None]]], scratch: Path) -> Limit:
    """Measure it.

    Args:
        groups: of each publication, its bins' files and the changes in each.
        scratch: a folder to make on the same file system; it goes at the end.
    """
    scratch.mkdir()
    # As the publisher does, or page faults would be a tenth of this.
    keep_freed_memory()
    key = Ed25519PrivateKey.generate()
    changes = bins = size = 0
    wall, cpu = time.perf_counter(), time.process_time()
    try:
        for group in groups:
            for path, changed in group.items():
                before = path.read_bytes()
                body = body_of(before)
                signed = before.replace(body, splice(body, changed), 1)
                data = key.sign(signed) + signed
                hashlib.sha256(data).digest()
                (scratch / f"{bins}").write_bytes(data)
                changes, bins, size = changes + len(changed), bins + 1, size + len(data)
            sync_file_system(scratch)
        return Limit(
            changes=changes,
            wall=time.perf_counter() - wall,
            cpu=time.process_time() - cpu,
            bins=bins,
            size=size,
        )
    finally:
        shutil.rmtree(scratch)
