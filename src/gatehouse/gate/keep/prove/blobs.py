"""The blobs against what names them: what the catalog publishes, what is signed, and what is about to be."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from gatehouse.catalog.model import FileState
from gatehouse.core.names import InvalidName, TargetName, parse_target
from gatehouse.gate.keep.prove.fault import Fault, Step
from gatehouse.gate.ports import Database, Transaction
from gatehouse.gate.ports.keeping import KeptBlobs
from gatehouse.gate.trust import Trust
from gatehouse.tuf.model import Target

_EVERY = 10_000
_BINS_AT_ONCE = 64
_RESTORE = (
    "restore the blob from a backup or a mirror, or have the file deleted by its owner or removed at the desk, so "
    "that it leaves the metadata"
)


def prove_blobs(database: Database, blobs: KeptBlobs, trust: Trust, *, step: Step) -> Iterator[Fault]:
    """Prove that the bytes of every published file and page are there, at the length that was signed.

    A target that the catalog does not know (an index whose files lie elsewhere) has no bytes here, and that is no
    fault; nor is it for a file with an address of its own.

    Args:
        database: what is published.
        blobs: where the bytes lie.
        trust: reads the offline metadata.
        step: told how far it has come.
    """
    with database.read() as transaction:
        refs = list(trust.state(transaction).layout.refs())
        for number, file in enumerate(transaction.keeping.published_files(), start=1):
            if number % _EVERY == 0:
                step("files", number, 0)
            if file.external:
                continue
            if blobs.size(file.sha256) != file.size:
                yield _lost(f"files/{file.project}/{file.filename}", blobs.size(file.sha256))
            if file.metadata_sha256 is not None and blobs.size(file.metadata_sha256) is None:
                yield _lost(f"files/{file.project}/{file.filename}.metadata", None)
        pending = [entry.change.target for entry in transaction.journal.pending(limit=_EVERY)]
    yield from _targets(database, blobs, (target for target in pending if target is not None))
    for begin in range(0, len(refs), _BINS_AT_ONCE):
        step("targets", begin, len(refs))
        with database.read() as transaction:
            found = transaction.signing.bins(refs[begin : begin + _BINS_AT_ONCE])
        yield from _targets(database, blobs, (target for targets in found.values() for target in targets))
    step("targets", len(refs), len(refs))


def _targets(database: Database, blobs: KeptBlobs, targets: Iterable[Target]) -> Iterator[Fault]:
    """The targets without their bytes; whose bytes need not be here is looked up for those alone."""
    without = [
        (target, _parsed(target.path), length)
        for target in targets
        if (length := blobs.size(target.sha256)) != target.length
    ]
    if not without:
        return
    with database.read() as transaction:
        # All at once: of an index whose files lie elsewhere none of them is known.
        names = [name for _, name, _ in without if name is not None]
        projects = transaction.keeping.known_projects([name.project for name in names if name.kind == "page"])
        files = transaction.keeping.known_files([name.filename for name in names if name.kind == "file"])
        for target, name, length in without:
            known = name is None or (name.project in projects if name.kind == "page" else name.filename in files)
            if known and (name is None or _has_bytes_here(transaction, name)):
                yield _lost(target.path, length)


def _has_bytes_here(transaction: Transaction, name: TargetName) -> bool:
    if name.kind == "page":
        return True
    file = transaction.catalog.find_file(name.filename)
    # One that left the index since it was signed goes with the next publication; its bytes may have gone already.
    return file is not None and file.external_url is None and file.state is FileState.PUBLISHED


def _parsed(path: str) -> TargetName | None:
    try:
        return parse_target(path)
    except InvalidName:
        return None


def _lost(path: str, length: int | None) -> Fault:
    seen = "its blob is not there" if length is None else f"its blob has {length:,} bytes, which is not its length"
    return Fault(
        code="blob-missing" if length is None else "blob-altered",
        subject=path,
        fault=seen,
        means="who downloads it gets an error, or bytes that their client refuses",
        repair=_RESTORE,
    )
