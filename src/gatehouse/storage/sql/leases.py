"""Leases with fencing epochs in SQL: implements `gate.ports.Leases`.

A lease's row is locked by whoever takes, renews or checks it, until that transaction ends; and the row never goes,
so that an epoch never comes twice.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import Connection, select, update

from gatehouse.core.errors import LeaseLost
from gatehouse.gate.ports import Lease
from gatehouse.storage.sql.models import LeaseRow
from gatehouse.storage.sql.statements import insert


class SqlLeases:
    """Leases, in one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def acquire(
        self, name: str, holder: str, *, ttl: timedelta, now: datetime, steal: bool = False
    ) -> Lease | None:
        """Take the lease if it is free or has ended, or is the same holder's, or with `steal`.

        Each taking has an epoch of its own, the same holder's too: a process that came back under its old name
        fences out what is left of itself.
        """
        self._connection.execute(
            insert(self._connection, LeaseRow)
            .values(name=name, epoch=0)
            .on_conflict_do_nothing(index_elements=["name"])
        )
        row = self._connection.execute(
            select(LeaseRow.holder, LeaseRow.epoch, LeaseRow.expires_at)
            .where(LeaseRow.name == name)
            .with_for_update()
        ).one()
        held = row.expires_at is not None and row.expires_at > now and row.holder != holder
        if held and not steal:
            return None
        lease = Lease(name=name, holder=holder, epoch=row.epoch + 1, expires_at=now + ttl)
        self._connection.execute(
            update(LeaseRow)
            .where(LeaseRow.name == name)
            .values(holder=holder, epoch=lease.epoch, expires_at=lease.expires_at)
        )
        return lease

    def renew(self, lease: Lease, *, ttl: timedelta, now: datetime) -> Lease:
        """Hold it longer; one that ended and that nobody took is still ours.

        Raises:
            LeaseLost: another has it.
        """
        self.check(lease)
        renewed = Lease(name=lease.name, holder=lease.holder, epoch=lease.epoch, expires_at=now + ttl)
        self._connection.execute(
            update(LeaseRow).where(LeaseRow.name == lease.name).values(expires_at=renewed.expires_at)
        )
        return renewed

    def check(self, lease: Lease) -> None:
        """Prove that the lease is held, and keep it so until this transaction ends.

        Raises:
            LeaseLost: another has it, or it was given back.
        """
        row = self._connection.execute(
            select(LeaseRow.holder, LeaseRow.epoch).where(LeaseRow.name == lease.name).with_for_update()
        ).one_or_none()
        if row is None or row.epoch != lease.epoch or row.holder != lease.holder:
            raise LeaseLost(
                f"The lease {lease.name!r} of epoch {lease.epoch} is no longer held by {lease.holder!r}."
            )

    def release(self, lease: Lease) -> None:
        """Give it back, if it is still held; the epoch stays."""
        self._connection.execute(
            update(LeaseRow)
            .where(LeaseRow.name == lease.name, LeaseRow.epoch == lease.epoch, LeaseRow.holder == lease.holder)
            .values(holder=None, expires_at=None)
        )
