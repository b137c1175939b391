"""What is served, proved from the root and held against the database: what every clean-up demands first.

The database is the only truth about what was committed, the store about what clients were given. Where the two
tell different histories (a database was restored from a backup, a store was mended by hand), deleting would
destroy what either could be rebuilt from: so a clean-up refuses, says what it saw, and names the repair.
"""

from __future__ import annotations

from collections.abc import Mapping

from gatehouse.core.errors import StoreError
from gatehouse.gate.keep.stored import TIMESTAMP_FILE, Served, read_served
from gatehouse.gate.ports import Database
from gatehouse.gate.trust import Trust
from gatehouse.tuf.model import OnlineRole
from gatehouse.tuf.ports import MetadataStore
from gatehouse.tuf.roles import TIMESTAMP
from gatehouse.tuf.trusted import OfflineState


class RefusedToClean(StoreError):
    """What is served does not verify, so nothing may be deleted. The message says what, and what mends it."""

    code = "refused-to-clean"


def refused(reason: str) -> RefusedToClean:
    """The refusal for a reason, in one sentence or more."""
    return RefusedToClean(f"Nothing was deleted: {reason} `gatehouse tuf fsck` says more.")


def witnessed(database: Database, store: MetadataStore, trust: Trust) -> tuple[Served, Mapping[str, OnlineRole]]:
    """What is served, proved, and the online roles as committed.

    A publication may be under way: a role may then be committed in a later version than is served, never in an
    earlier one.

    Raises:
        RefusedToClean: what is served does not verify, or the database tells another history.
    """
    with database.read() as transaction:
        trusted_root = trust.state(transaction).roots[0].data
    # The store first and the database after it: what is served is then never ahead of what is committed.
    try:
        served = read_served(store.read, trusted_root)
    except StoreError as error:
        raise refused(error.message) from error
    with database.read() as transaction:
        offline = trust.state(transaction)
        online = transaction.signing.online_roles()
        unfinished = transaction.signing.unpublished()
    _refuse_another_history(served, offline, online)
    # A later timestamp was published: it came since we looked, or the store has lost it.
    behind = served.timestamp.version < online[TIMESTAMP].version and unfinished is None
    if behind and store.read(TIMESTAMP_FILE) == served.files[TIMESTAMP_FILE]:
        raise refused(
            "The store serves an older timestamp than was published; the publisher mends it as it starts."
        )
    return served, online


def _refuse_another_history(served: Served, offline: OfflineState, online: Mapping[str, OnlineRole]) -> None:
    """The database must know of all that is served; what it knows beyond that is being published."""
    roots = [item.data for item in served.offline.roots]
    if roots != [item.data for item in offline.roots][: len(roots)]:
        raise refused("The store serves a root that the database does not know.")
    committed = online.get(TIMESTAMP)
    if committed is None or served.timestamp.version > committed.version:
        raise refused("The metadata store is ahead of the database: `gatehouse tuf rebuild` mends that.")
    if served.timestamp.version == committed.version and served.timestamp.sha256 != committed.sha256:
        raise refused("The served timestamp is not the one that was committed under its version.")
    for role, version in served.versions.items():
        if served.is_bin(role) and (role not in online or online[role].version < version):
            raise refused(f"The snapshot lists version {version} of {role}, which was never committed.")
