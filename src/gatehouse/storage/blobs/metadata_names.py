"""The names that a metadata store takes: the same for a folder and for a bucket.

Consistent snapshots (TUF specification §6.2) give every file but the timestamp its version in front.
"""

from __future__ import annotations

import re

TIMESTAMP = "timestamp.json"
#: A file system takes 255; a role's name is far shorter.
_LONGEST = 200
_VERSIONED = re.compile(r"[0-9]{1,12}\.[a-z0-9]+(?:-[a-z0-9]+)*\.json", re.ASCII)
_ROOT = re.compile(r"[0-9]{1,12}\.root\.json", re.ASCII)


def is_versioned(name: str) -> bool:
    """Whether this names a file that is created once and never changes."""
    return len(name) <= _LONGEST and _VERSIONED.fullmatch(name) is not None


def is_metadata(name: str) -> bool:
    """Whether this names a metadata file at all."""
    return name == TIMESTAMP or is_versioned(name)


def is_deletable(name: str) -> bool:
    """Whether a clean-up may delete a file of this name: a root never goes, nor does the timestamp."""
    return is_versioned(name) and _ROOT.fullmatch(name) is None
