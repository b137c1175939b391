"""A changed bin from the bytes of the one before: entries are put in, replaced and cut out, all else is copied.

Rules kept here: nothing is parsed, no object is built for an entry, and the cost is that of one copy; the order of
the entries stays that of their paths. The bytes given are those of a file that we rendered ourselves and whose
digest was compared with the committed one, so their grammar is known: a path has no quote and no comma in it, and
`,"files/` (or `,"simple/`) begins an entry and stands nowhere else.
"""

from __future__ import annotations

from collections.abc import Mapping

from gatehouse.core.errors import InternalError
from gatehouse.tuf.canonical import target_entry
from gatehouse.tuf.model import Target

_OPENED = b'"targets":{'
_CLOSED = b'},"version":'


def body_of(data: bytes) -> bytes:
    """The entries of a bin, joined, from the bytes of its file.

    Raises:
        InternalError: it is not the file of a bin as we render them.
    """
    start, end = data.find(_OPENED), data.rfind(_CLOSED)
    if start < 0 or end < start + len(_OPENED):
        raise InternalError("These bytes are not those of a bin as it is rendered here.")
    return data[start + len(_OPENED) : end]


def splice(body: bytes, changes: Mapping[str, Target | None]) -> bytes:
    """The entries of a bin after some changes.

    Args:
        body: its entries before, joined and in order.
        changes: by path, the new target, or None to remove it; removing what is not there changes nothing.

    Raises:
        InvalidName: a path is outside the grammar of target paths.
        InternalError: a value is out of range.
    """
    view = memoryview(body)
    parts: list[bytes | memoryview] = []
    done = 0
    for path in sorted(changes):
        target = changes[path]
        separator = f',"{path.partition("/")[0]}/'.encode()
        at = _lower_bound(body, done, path.encode(), separator)
        if at > done:
            parts.append(view[done : at if at == len(body) else at - 1])
        if target is not None:
            parts.append(target_entry(target))
        done = at
        if body.startswith(f'"{path}":{{'.encode(), at):
            following = body.find(separator, at)
            done = len(body) if following < 0 else following + 1
    if done < len(body):
        parts.append(view[done:])
    return b",".join(parts)


def _lower_bound(body: bytes, low: int, path: bytes, separator: bytes) -> int:
    """Where the first entry begins whose path is not below `path`; the end if there is none.

    Args:
        body: entries, joined and in order.
        low: where an entry begins before which all are below, or the end.
        path: the path to look for.
        separator: what stands between two entries.
    """
    high = len(body)
    while low < high:
        found = body.find(separator, (low + high) // 2, high)
        at = low if found < 0 else found + 1
        if body[at + 1 : body.find(b'"', at + 1)] >= path:
            high = at
            continue
        following = body.find(separator, at, high)
        if following < 0:
            return high
        low = following + 1
    return low
