"""Bin by bin: what the database commits to, what it renders to, and what lies in the store."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from gatehouse.core.errors import GatehouseError
from gatehouse.gate.keep.prove.fault import Fault, Step
from gatehouse.gate.keep.stored import Unproved, file_name, split, verify_bin
from gatehouse.gate.ports import Database, Transaction
from gatehouse.gate.trust import Trust
from gatehouse.tuf.model import BinRef, OnlineRole, RawTarget
from gatehouse.tuf.ports import MetadataStore
from gatehouse.tuf.render import entries, entries_body, is_as_committed, render_again
from gatehouse.tuf.trusted import OfflineState

# One reading transaction each: all of its bins are seen as of one moment, and none is held open for long.
_AT_ONCE = 256
_ALL = 2**31
_REBUILD = "stop the publisher, then restore the database or `gatehouse tuf rebuild --from-store --replace`"


def prove_bins(
    database: Database, store: MetadataStore, trust: Trust, refs: Sequence[BinRef], *, step: Step
) -> Iterator[Fault]:
    """Prove these bins: paths in their bin, the rendering equal to what was committed, the file equal to both.

    Args:
        database: where the targets and the roles are.
        store: where the files are.
        trust: reads the offline metadata.
        refs: which bins.
        step: told how far it has come.
    """
    for begin in range(0, len(refs), _AT_ONCE):
        step("bins", begin, len(refs))
        with database.read() as transaction:
            offline = trust.state(transaction)
            online = transaction.signing.online_roles()
            unfinished = transaction.signing.unpublished()
            # What is not there yet, because a publication is under way, or not yet rendered, after an import.
            coming = set() if unfinished is None else set(unfinished.roles)
            dirty = transaction.signing.dirty_bins(limit=_ALL).keys()
            for ref, rows in _targets(transaction, refs[begin : begin + _AT_ONCE]):
                role = online.get(offline.layout.role_name(ref))
                if role is not None:
                    yield from _database(offline, ref, role, rows, is_dirty=ref in dirty)
                    yield from _file(store, offline, role, under_way=role.name in coming)
    step("bins", len(refs), len(refs))


def _targets(transaction: Transaction, refs: Sequence[BinRef]) -> Iterator[tuple[BinRef, Sequence[RawTarget]]]:
    """Each of these bins with its targets, the empty ones too."""
    awaited = dict.fromkeys(refs)
    for ref, rows in transaction.signing.raw_targets(refs):
        del awaited[ref]
        yield ref, rows
    for ref in awaited:
        yield ref, ()


def _database(
    offline: OfflineState, ref: BinRef, role: OnlineRole, rows: Sequence[RawTarget], *, is_dirty: bool
) -> Iterator[Fault]:
    for path, _, _ in rows:
        if offline.layout.bin_of(path) != ref:
            yield Fault(
                code="misplaced",
                subject=role.name,
                fault=f"{path} stands in it and belongs elsewhere",
                means="a client looks for it elsewhere and does not find it",
                repair=_REBUILD,
            )
    if is_dirty:
        return
    try:
        render_again(role, entries_body(entries(rows)))
    except GatehouseError as error:
        yield Fault(
            code="unrenderable",
            subject=role.name,
            fault=error.message,
            means="its targets were changed behind the publisher's back; it would sign them with the next change",
            repair=_REBUILD,
        )


def _file(store: MetadataStore, offline: OfflineState, role: OnlineRole, *, under_way: bool) -> Iterator[Fault]:
    name = file_name(role.version, role.name)
    data = store.read(name)
    if data is None:
        if not under_way:
            yield missing(name)
        return
    if not is_as_committed(role, data):
        yield altered(name)
        return
    try:
        signatures, signed = split(name, data)
        verify_bin(offline, role.name, name, signatures, signed)
    except Unproved as error:
        yield Fault(
            code="signature",
            subject=name,
            fault=error.message,
            means="clients refuse it",
            repair="`gatehouse tuf renew` signs it anew with the key in force",
        )


def missing(name: str) -> Fault:
    """A committed file is not in the store."""
    return Fault(
        code="file-missing",
        subject=name,
        fault="it was published and is not in the store",
        means="clients that need it fail",
        repair="copy it from the last archive or a mirror if its digest is right, or `gatehouse tuf renew`, "
        "which publishes new versions of all roles",
    )


def altered(name: str) -> Fault:
    """A committed file has other bytes."""
    return Fault(
        code="file-altered",
        subject=name,
        fault="its bytes are not those that were committed",
        means="clients refuse it, or a disk or a person changes files",
        repair="put the file back from the last archive or a mirror, or move it away and run `gatehouse tuf "
        "renew`, which publishes new versions of all roles",
    )
