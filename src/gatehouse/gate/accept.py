"""The story of an upload: form and archive are checked, the blob is kept, the catalog learns of it.

When `Accept` returns, the file is durable and a message in the outbox, written in the same transaction, will
carry it on. Whatever is refused leaves nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from gatehouse.catalog.distribution import DistributionName, parse_distribution_filename
from gatehouse.catalog.metadata import CoreMetadata, check_form, parse_core_metadata
from gatehouse.catalog.model import LOCAL_SOURCE, Event, File, FileState, NewFile, Project, Release
from gatehouse.core.clock import Clock
from gatehouse.core.digests import Digests
from gatehouse.core.errors import Conflict, InvalidUpload, NotAllowed, TooLarge
from gatehouse.gate.authorize import Authority, require_owner
from gatehouse.gate.policy import PublishPolicy
from gatehouse.gate.ports import Action, Blobs, Database, IncomingBlob, Transaction
from gatehouse.malware.model import Kind, Subject
from gatehouse.malware.unpack.inspect import inspect_distribution

#: The outbox topics that carry an accepted file on.
ADMIT_FILE = "admit-file"
SCREEN_FILE = "screen-file"
#: How long reading one archive may take before it is refused; ordinary ones take a fraction of a second.
INSPECTION_TIME = timedelta(minutes=2)
_DIGEST_FIELDS = {
    "sha256_digest": ("sha256", 64),
    "blake2_256_digest": ("blake2_256", 64),
    "md5_digest": ("md5", 32),
}
_HEX = re.compile(r"[0-9a-f]+")


@dataclass(frozen=True, kw_only=True, slots=True)
class Accepted:
    """An upload that ended well. `already`: the index held this very file before, and nothing changed."""

    file: File
    already: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Accept:
    """Takes uploads. `ring` tells the outbox loop that there is work; it may be missed without harm."""

    database: Database
    blobs: Blobs
    clock: Clock
    max_file_size: int
    publish_policy: PublishPolicy
    ring: Callable[[], None]

    def __call__(
        self,
        *,
        authority: Authority,
        fields: Mapping[str, Sequence[str]],
        filename: str,
        content: IncomingBlob,
        digests: Digests,
        user_agent: str | None = None,
    ) -> Accepted:
        """Take one file.

        Args:
            authority: who uploads.
            fields: the form's text fields, each with its values in order.
            filename: the name that the content part states.
            content: the bytes, finished.
            digests: what they are.
            user_agent: what the client calls itself.

        Raises:
            InvalidUpload, InvalidName: form, name, archive or metadata are not valid.
            NotAllowed: the token or the account may not upload to this project.
            Conflict: the index holds, or held, something else under this name.
            TooLarge: the file exceeds the limit.
        """
        received_at = self.clock.now()
        if digests.length > self.max_file_size:
            raise TooLarge(f"The file has {digests.length} bytes; this index takes at most {self.max_file_size}.")
        _check_digests(fields, digests)
        distribution = parse_distribution_filename(filename)
        # Who may not upload here learns it before we spend time on the archive.
        with self.database.read() as transaction:
            _authorise(
                transaction,
                authority,
                distribution,
                transaction.catalog.find_project(distribution.project),
            )
            known = _known_file(transaction, distribution, digests)
        if known is not None:
            return Accepted(file=known, already=True)
        deadline = self.clock.now() + INSPECTION_TIME
        with content.path.open("rb") as stream:
            inspection = inspect_distribution(
                stream,
                kind=distribution.kind,
                archive_format=distribution.archive_format,
                project=distribution.project,
                version=distribution.version,
                filename=filename,
                out_of_time=lambda: self.clock.now() > deadline,
            )
        metadata = parse_core_metadata(inspection.metadata)
        check_form(fields, distribution, metadata)

        metadata_sha256 = self.blobs.put(inspection.metadata) if distribution.kind == "bdist_wheel" else None
        now = self.clock.now()
        with self.database.write() as transaction:
            # Everything is read again under the lock: another upload may have come between.
            claimed = _claim_project(transaction, authority, distribution, metadata, at=now)
            known = _known_file(transaction, distribution, digests)
            if known is not None:
                return Accepted(file=known, already=True)
            # A crash after the blob and before the commit leaves a blob that nothing names: it costs room, and the
            # same bytes sent again find it there.
            content.keep()
            file = transaction.catalog.add_file(
                NewFile(
                    project_id=claimed.id,
                    release_id=_release(transaction, claimed, distribution, at=now).id,
                    filename=distribution.filename,
                    identity=distribution.identity,
                    packagetype=distribution.kind,
                    python_tag=distribution.python_tag,
                    sha256=digests.sha256,
                    md5=digests.md5,
                    blake2_256=digests.blake2_256,
                    size=digests.length,
                    requires_python=metadata.requires_python,
                    metadata_sha256=metadata_sha256,
                    core_metadata=metadata.raw,
                    uploader=authority.account.name,
                    token_id=authority.token_id,
                    received_at=received_at,
                    user_agent=user_agent,
                    comment=_first(fields, "comment"),
                ),
                at=now,
            )
            transaction.catalog.record(_uploaded(authority, file, now))
            # Both wings learn of the file in the transaction that makes it exist.
            transaction.outbox.add(
                SCREEN_FILE,
                {"file_id": file.id, "trigger": "upload"},
                at=now,
                lane=lane_of(authority.account.name),
            )
            if self.publish_policy is PublishPolicy.PUBLISH_THEN_SCREEN:
                transaction.outbox.add(ADMIT_FILE, {"file_id": file.id}, at=now)
        # A crash here, or a bell unheard, loses nothing: the outbox is swept.
        self.ring()
        return Accepted(file=file, already=False)


def lane_of(account: str) -> str:
    """The lane of the outbox in which the files of an account wait for their screening."""
    return f"account {account}"


def _uploaded(authority: Authority, file: File, at: datetime) -> Event:
    return Event(
        at=at,
        actor=authority.account.name,
        action="upload",
        project=file.project,
        version=file.version,
        filename=file.filename,
        sha256=file.sha256,
    )


def _first(fields: Mapping[str, Sequence[str]], name: str) -> str | None:
    values = fields.get(name)
    return values[0] if values and values[0] else None


def _check_digests(fields: Mapping[str, Sequence[str]], digests: Digests) -> None:
    stated = 0
    for field, (attribute, length) in _DIGEST_FIELDS.items():
        value = _first(fields, field)
        if value is None:
            continue
        if len(value) != length or not _HEX.fullmatch(value.lower()):
            raise InvalidUpload(f"The field {field!r} is not a digest of {length} hexadecimal digits.")
        if value.lower() != getattr(digests, attribute):
            raise InvalidUpload(f"The digest in the field {field!r} does not match the file that arrived.")
        stated += 1
    if not stated:
        raise InvalidUpload("The upload states no digest: send 'sha256_digest' with the file.")


def _authorise(
    transaction: Transaction, authority: Authority, distribution: DistributionName, project: Project | None
) -> None:
    name = distribution.project
    owns = project is None or transaction.accounts.owns(authority.account.id, project.id)
    require_owner(authority, name, owns=owns)
    if project is not None and not project.status.takes_uploads:
        raise NotAllowed(f"The project {name!r} is {project.status.value} and takes no uploads.")
    subject = Subject(source=LOCAL_SOURCE, kind=Kind.PROJECT, name=name)
    if _is_taken_out(transaction, subject):
        raise NotAllowed(f"The project {name!r} has been taken out by the index and takes no uploads.")
    release = None if project is None else transaction.catalog.find_release(project.id, distribution.version)
    if release is not None and _is_taken_out(
        transaction, replace(subject, kind=Kind.RELEASE, version=release.version)
    ):
        raise NotAllowed(
            f"Version {release.version} of {name!r} has been taken out by the index and takes no uploads."
        )


def _is_taken_out(transaction: Transaction, subject: Subject) -> bool:
    decision = transaction.screening.latest_decision(subject)
    return decision is not None and decision.action in (Action.HOLD, Action.REMOVE)


def _claim_project(
    transaction: Transaction,
    authority: Authority,
    distribution: DistributionName,
    metadata: CoreMetadata,
    *,
    at: datetime,
) -> Project:
    """The project, locked; whoever brings the first file of a new name becomes its owner."""
    name = distribution.project
    project = transaction.catalog.find_project(name, lock=True)
    if project is None:
        project = transaction.catalog.add_project(name=name, display_name=metadata.name, at=at)
        # Where somebody else was faster, the project that comes back has a file and an owner already.
        if not transaction.catalog.files_of(project.id):
            transaction.accounts.add_owner(authority.account.id, project.id)
    _authorise(transaction, authority, distribution, project)
    return project


def _release(
    transaction: Transaction, project: Project, distribution: DistributionName, *, at: datetime
) -> Release:
    known = transaction.catalog.find_release(project.id, distribution.version)
    return known or transaction.catalog.add_release(project.id, distribution.version, at=at)


def _known_file(transaction: Transaction, distribution: DistributionName, digests: Digests) -> File | None:
    """The file, if the index holds it already; None if the name is free."""
    known = transaction.catalog.find_file(distribution.filename)
    if known is None:
        twin = transaction.catalog.find_file_by_identity(distribution.identity)
        if twin is not None:
            raise Conflict(f"The same distribution exists under another filename: {twin.filename!r}.")
        return None
    if known.state in (FileState.DELETED, FileState.REMOVED):
        raise Conflict(
            f"The filename {known.filename!r} was used by a file that has been taken out; use a new version."
        )
    if known.sha256 != digests.sha256:
        raise Conflict(f"File already exists with other content: {known.filename!r} has SHA-256 {known.sha256}.")
    return known
