"""Every publication, checked before it is committed, at the cost of what changed: the incremental rehearsal.

What was served until now passed here or was judged whole (`tuf.rehearse`); so it is enough to prove that what is
new is signed as clients will demand, and differs from what was by the changes that were meant, by no other byte.
Rules kept here: nothing is taken from the code that splices and renders, so that a fault there shows; the expected
entries are cut out of both files and what remains must be equal; a signature must satisfy every root that a cache
may still hand out. Bins are verified under the newest delegation alone: the snapshot pins the version of the
delegating role, so no cache can hold out another. Implements the checks of the TUF specification, 5.4 to 5.6.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Final

from securesystemslib.exceptions import UnverifiedSignatureError, VerificationError
from securesystemslib.signer import Key, Signature
from tuf.ngclient.config import UpdaterConfig

from gatehouse.core.names import InvalidName
from gatehouse.tuf.authority import Authority
from gatehouse.tuf.bins import BinLayout
from gatehouse.tuf.model import BinRef, OnlineRole, Target
from gatehouse.tuf.rehearse import RehearsalFailed
from gatehouse.tuf.roles import SNAPSHOT, TIMESTAMP

_CLIENT: Final = UpdaterConfig()
_HEAD = re.compile(rb'\{"signatures":\[\{"keyid":"([0-9a-f]+)","sig":"([0-9a-f]+)"\}\],"signed":')
_SPEC: Final = b'"spec_version":"1.0.31"'
#: All that a path, a digest or a length may hold. What a body keeps without them is its skeleton.
_PLAIN: Final = bytes(
    code for code in range(128) if chr(code).isascii() and (chr(code).isalnum() or chr(code) in "._+!~/-")
)
_ENTRY_SKELETON: Final = b'"":{"":{"":""},"":}'
_ENTRY = re.compile(rb'"([^"]+)":\{"hashes":\{"sha256":"[0-9a-f]{64}"\},"length":[0-9]+\}')
#: Of a bin that is new as a whole, so many entries are looked at one by one.
_LOOKED_AT: Final = 16


def verify_bin(
    data: bytes,
    *,
    role: OnlineRole,
    layout: BinLayout,
    ref: BinRef,
    authorities: Collection[Authority],
    previous: tuple[OnlineRole, bytes | None] | None,
    expected: Mapping[str, Target | None],
    now: datetime,
) -> None:
    """Verify the new file of a bin.

    Args:
        data: the file.
        role: what is to be committed of it.
        layout: how many bins there are.
        ref: the bin that it is.
        authorities: whoever says which keys may sign; all of them must agree.
        previous: the role as committed until now, with its file; without a file (None) the bin was rendered whole.
        expected: the targets that changed, by path; None: the target is gone.
        now: the present moment, aware.

    Raises:
        RehearsalFailed: it is not what was meant, or clients would refuse it.
    """
    name = layout.role_name(ref)
    _check_role(name, data, role, None if previous is None else previous[0], now)
    head, tail = _bin_frame(role)
    signed = _signed(name, data, authorities)
    for path in expected:
        _check_place(name, path, layout, ref)
    if previous is None or previous[1] is None:
        _check_whole(name, signed, (head, tail), layout, ref)
        if expected:
            _check_listed(name, _inside(name, signed, head, tail), expected)
        return
    before = _signed(name, previous[1], ())
    old_head, old_tail = _bin_frame(previous[0])
    body = _inside(name, signed, head, tail)
    _check_changes(name, _inside(name, before, old_head, old_tail), body, expected)


def verify_snapshot(
    data: bytes,
    *,
    role: OnlineRole,
    authorities: Collection[Authority],
    previous: tuple[OnlineRole, bytes] | None,
    changed: Mapping[str, tuple[int, int]],
    offline: Mapping[str, int],
    names: Collection[str],
    now: datetime,
) -> None:
    """Verify a new snapshot.

    Args:
        data: the file.
        role: what is to be committed of it.
        authorities: whoever says which keys may sign; all of them must agree.
        previous: the role as committed until now, with its file; None before the first.
        changed: version and length in bytes of every bin that was signed anew, by name; before the first, of all.
        offline: the version of every role that is signed offline, by name, new or not.
        names: every name that it must list.
        now: the present moment, aware.

    Raises:
        RehearsalFailed: it is not what was meant, or clients would refuse it.
    """
    _check_role(SNAPSHOT, data, role, None if previous is None else previous[0], now)
    body = _inside(SNAPSHOT, _signed(SNAPSHOT, data, authorities), *_snapshot_frame(role))
    if body.count(b'.json":{') != len(names):
        raise RehearsalFailed(SNAPSHOT, f"it does not list the {len(names)} roles that there are")
    before = b""
    if previous is not None:
        before = _inside(SNAPSHOT, _signed(SNAPSHOT, previous[1], ()), *_snapshot_frame(previous[0]))
    _check_listing(before, body, changed, offline)


def verify_timestamp(
    data: bytes,
    *,
    role: OnlineRole,
    authorities: Collection[Authority],
    previous: OnlineRole | None,
    snapshot: bytes,
    snapshot_role: OnlineRole,
    previous_snapshot: OnlineRole | None,
    now: datetime,
) -> None:
    """Verify a new timestamp.

    Args:
        data: the file.
        role: what is to be committed of it.
        authorities: whoever says which keys may sign; all of them must agree.
        previous: the role as committed until now; None before the first.
        snapshot: the file of the snapshot that it must name.
        snapshot_role: that snapshot, new or not.
        previous_snapshot: the snapshot as committed until now; None before the first.
        now: the present moment, aware.

    Raises:
        RehearsalFailed: it is not what was meant, or clients would refuse it.
    """
    _check_role(TIMESTAMP, data, role, previous, now)
    if previous_snapshot is not None and snapshot_role.version < previous_snapshot.version:
        raise RehearsalFailed(TIMESTAMP, f"the snapshot went back to version {snapshot_role.version}")
    if snapshot_role.expires <= now:
        raise RehearsalFailed(SNAPSHOT, "it has expired")
    if not snapshot.endswith(b',"version":%d}}' % snapshot_role.version):
        raise RehearsalFailed(SNAPSHOT, f"it is not of version {snapshot_role.version}")
    expected = (
        b'{"_type":"timestamp","expires":"%s","meta":{"snapshot.json":{"hashes":{"sha256":"%s"},"length":%d,'
        b'"version":%d}},%s,"version":%d}'
        % (
            _moment(role.expires),
            hashlib.sha256(snapshot).hexdigest().encode(),
            len(snapshot),
            snapshot_role.version,
            _SPEC,
            role.version,
        )
    )
    if _signed(TIMESTAMP, data, authorities) != expected:
        raise RehearsalFailed(TIMESTAMP, "it does not name its snapshot as that is")


def _check_role(name: str, data: bytes, role: OnlineRole, previous: OnlineRole | None, now: datetime) -> None:
    version = 1 if previous is None else previous.version + 1
    if (role.name, role.version) != (name, version):
        raise RehearsalFailed(name, f"version {version} must follow, not {role.version} of {role.name}")
    if role.expires <= now:
        raise RehearsalFailed(name, "it has expired")
    # Not its digest: that was taken of these very bytes a moment ago, and is taken again when they are read back.
    if len(data) != role.length:
        raise RehearsalFailed(name, "its bytes are not those that would be committed")


def _signed(name: str, data: bytes, authorities: Collection[Authority]) -> bytes:
    """The signed part of a file, once every authority accepts its one signature."""
    head = _HEAD.match(data)
    if head is None or not data.endswith(b"}"):
        raise RehearsalFailed(name, "it is not a file of one signature as it is rendered here")
    keyid, signature = head[1].decode(), head[2].decode()
    signed = data[head.end() : -1]
    verified: list[Key] = []
    for authority in authorities:
        key = authority.keys.get(keyid)
        if key is None:
            raise RehearsalFailed(name, f"its key {keyid[:16]}… is not authorised by {authority.name}")
        # By value: one id could name two keys under two roots, and one key is verified once.
        if key not in verified:
            try:
                key.verify_signature(Signature(keyid, signature), signed)
            except (UnverifiedSignatureError, VerificationError) as error:
                raise RehearsalFailed(name, f"its signature does not verify by {authority.name}") from error
            verified.append(key)
    return signed


def _bin_frame(role: OnlineRole) -> tuple[bytes, bytes]:
    head = b'{"_type":"targets","expires":"%s",%s,"targets":{' % (_moment(role.expires), _SPEC)
    return head, b'},"version":%d}' % role.version


def _snapshot_frame(role: OnlineRole) -> tuple[bytes, bytes]:
    head = b'{"_type":"snapshot","expires":"%s","meta":{' % _moment(role.expires)
    return head, b'},%s,"version":%d}' % (_SPEC, role.version)


def _inside(name: str, signed: bytes, head: bytes, tail: bytes) -> bytes:
    """What stands between head and tail, a comma before each entry."""
    _check_frame(name, signed, head, tail)
    inside = memoryview(signed)[len(head) : len(signed) - len(tail)]
    return b"".join((b",", inside)) if inside else b""


def _check_frame(name: str, signed: bytes, head: bytes, tail: bytes) -> None:
    if not signed.startswith(head) or not signed.endswith(tail) or len(signed) < len(head) + len(tail):
        raise RehearsalFailed(name, "its type, expiry, specification or version is not as it would be committed")


def _moment(moment: datetime) -> bytes:
    return moment.isoformat().removesuffix("+00:00").encode() + b"Z"


def _check_place(name: str, path: str, layout: BinLayout, ref: BinRef) -> None:
    try:
        home = layout.bin_of(path)
    except InvalidName as error:
        raise RehearsalFailed(name, error) from error
    if home != ref:
        raise RehearsalFailed(name, f"{path} does not belong there")


def _entry(path: str, target: Target) -> bytes:
    return b',"%s":{"hashes":{"sha256":"%s"},"length":%d}' % (
        path.encode(),
        target.sha256.encode(),
        target.length,
    )


def _check_changes(name: str, before: bytes, after: bytes, expected: Mapping[str, Target | None]) -> None:
    """What was and what is are equal but for the expected entries, each of which is in its place."""
    old = new = 0
    for path in sorted(expected):
        target = expected[path]
        opening = f',"{path}":{{'.encode()
        if target is None:
            found = before.find(opening, old)
            length = 0 if found < 0 else found - old
        else:
            entry = _entry(path, target)
            found = after.find(entry, new)
            if found < 0:
                raise RehearsalFailed(name, f"{path} is not listed as it was meant to be")
            length = found - new
            _check_neighbours(name, path, after, found, found + len(entry))
        # Whatever lies before the entry is the same in both; so the entry of before begins where this one does.
        if before[old : old + length] != after[new : new + length]:
            raise RehearsalFailed(name, f"something changed before {path} that was not meant to")
        old, new = old + length, new + length
        if before.startswith(opening, old):
            old = before.index(b"}", before.index(b"}", old) + 1) + 1
        if target is not None:
            new += len(entry)
    if before[old:] != after[new:]:
        raise RehearsalFailed(name, "something changed in it that was not meant to")


def _check_neighbours(name: str, path: str, body: bytes, start: int, end: int) -> None:
    separator = f',"{path.partition("/")[0]}/'.encode()
    last = body.rfind(separator, 0, start)
    below = b"" if last < 0 else body[last + 2 : body.index(b'"', last + 2)]
    above = None
    if end < len(body):
        if not body.startswith(separator, end):
            raise RehearsalFailed(name, f"no entry follows {path}")
        above = body[end + 2 : body.index(b'"', end + 2)]
    if not below < path.encode() or (above is not None and not path.encode() < above):
        raise RehearsalFailed(name, f"{path} is out of order")


def _check_whole(name: str, signed: bytes, frame: tuple[bytes, bytes], layout: BinLayout, ref: BinRef) -> None:
    """Entries that nothing can be compared with: the skeleton of them all, and some of them one by one."""
    head, tail = frame
    _check_frame(name, signed, head, tail)
    # Of the whole at once, frame and all: a bin is large, and cutting the entries out would copy them.
    bones = [part.translate(None, _PLAIN) for part in frame]
    skeleton = signed.translate(None, _PLAIN)
    begin, end = len(head), len(signed) - len(tail)
    count = (len(skeleton) - sum(map(len, bones)) + 1) // (len(_ENTRY_SKELETON) + 1)
    if (begin == end) != (count == 0) or skeleton != b",".join([_ENTRY_SKELETON] * count).join(bones):
        raise RehearsalFailed(name, "its entries are not in their grammar")
    if not count:
        return
    opening = signed[begin : signed.index(b"/", begin) + 1]
    last = b""
    for number in range(_LOOKED_AT):
        at = signed.find(opening, begin + (end - begin) * number // _LOOKED_AT, end)
        if at < 0:
            break
        entry = _ENTRY.match(signed, at, end)
        if entry is None:
            raise RehearsalFailed(name, "its entries are not in their grammar")
        if entry[1] < last:
            raise RehearsalFailed(name, f"{entry[1].decode()} is out of order")
        last = entry[1]
        _check_place(name, entry[1].decode(), layout, ref)


def _check_listed(name: str, body: bytes, expected: Mapping[str, Target | None]) -> None:
    for path, target in expected.items():
        found = body.find(f',"{path}":{{'.encode())
        meant = found < 0 if target is None else found >= 0 and body.startswith(_entry(path, target), found)
        if not meant:
            raise RehearsalFailed(name, f"{path} is not listed as it was meant to be")


def _check_listing(
    before: bytes, after: bytes, changed: Mapping[str, tuple[int, int]], offline: Mapping[str, int]
) -> None:
    """Two snapshots' entries are equal but for those that changed, and each of these rose."""
    old = new = 0
    for key in sorted(f"{name}.json" for name in (*changed, *offline)):
        name = key.removesuffix(".json")
        version, length = changed[name] if name in changed else (offline[name], 0)
        opening = f',"{key}":{{'.encode()
        found = after.find(opening, new)
        if found < 0:
            raise RehearsalFailed(SNAPSHOT, f"{name} is missing from it, or out of order")
        run = found - new
        if before[old : old + run] != after[new:found]:
            raise RehearsalFailed(SNAPSHOT, f"an entry before {name} is not as it was")
        old += run
        stated, now_listed, new = _listed(after, found + len(opening))
        if before.startswith(opening, old):
            _, was_listed, old = _listed(before, old + len(opening))
            if version < was_listed or (version == was_listed and name in changed):
                raise RehearsalFailed(SNAPSHOT, f"{name} went back from version {was_listed} to {version}")
        if now_listed != version:
            raise RehearsalFailed(SNAPSHOT, f"it lists version {now_listed} of {name} and not {version}")
        # A stated length takes the place of the client's limit, and the client holds the file to it.
        if stated is None and length > _CLIENT.targets_max_length:
            raise RehearsalFailed(
                name, f"{length:,} bytes are more than the {_CLIENT.targets_max_length:,} that clients take"
            )
        if stated not in (None, length):
            raise RehearsalFailed(SNAPSHOT, f"it states another length of {name} than the file has")
    if before[old:] != after[new:]:
        raise RehearsalFailed(SNAPSHOT, "an entry is not as it was, though nobody changed it")


_VALUES = re.compile(rb'(?:"length":([0-9]+),)?"version":([0-9]+)\}')


def _listed(body: bytes, at: int) -> tuple[int | None, int, int]:
    """The length and the version that an entry states, and where it ends."""
    values = _VALUES.match(body, at)
    if values is None:
        raise RehearsalFailed(SNAPSHOT, "an entry is not in its grammar")
    return None if values[1] is None else int(values[1]), int(values[2]), values.end()
