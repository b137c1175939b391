"""Stores against models that are too simple to be wrong."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gatehouse.core.errors import LeaseLost, StoreError
from gatehouse.storage.blobs.metadata import FolderMetadataStore
from gatehouse.storage.sql.database import SqlDatabase, SqlTransaction
from gatehouse.tuf.model import BinRef, Family, Target, TargetChange

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
# The database is fresh for a test, and each example leaves it so.
SHARED = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

paths = st.text(alphabet="ab.-_+~AZ09/", min_size=1, max_size=4)
digests = st.sampled_from([digit * 64 for digit in "0af"])


@st.composite
def changes(draw: st.DrawFn) -> tuple[BinRef, TargetChange]:
    path = draw(paths)
    # A path lies in one bin, as it does by its hash.
    ref = BinRef(family=Family(1 + len(path) % 2), index=sum(map(ord, path)) % 3)
    target = draw(st.none() | st.builds(Target, path=st.just(path), sha256=digests, length=st.integers(0, 2**53)))
    return ref, TargetChange(path=path, target=target, cause="test")


class _RollBackError(Exception):
    pass


@contextmanager
def undone(database: SqlDatabase) -> Iterator[SqlTransaction]:
    """A transaction that leaves nothing."""
    with suppress(_RollBackError), database.write() as tx:
        yield tx
        raise _RollBackError


@SHARED
@given(batches=st.lists(st.lists(changes(), max_size=12), max_size=5))
def test_bins_are_what_a_dict_says(
    database: SqlDatabase, batches: list[list[tuple[BinRef, TargetChange]]]
) -> None:
    model: dict[BinRef, dict[str, Target]] = {
        BinRef(family=family, index=index): {} for family in Family for index in range(3)
    }
    with undone(database) as tx:
        for batch in batches:
            tx.signing.apply(batch)
            for ref, change in batch:
                if change.target is None:
                    model[ref].pop(change.path, None)
                else:
                    model[ref][change.path] = change.target
        assert tx.signing.bins(model) == {
            ref: [targets[path] for path in sorted(targets)] for ref, targets in model.items()
        }
        assert tx.signing.count_targets() == sum(map(len, model.values()))
        for ref, targets in model.items():
            for path, target in targets.items():
                assert tx.signing.find_target(path, ref) == target


@SHARED
@given(data=st.data())
def test_the_outbox_is_what_a_dict_says(database: SqlDatabase, data: st.DataObject) -> None:
    """Whatever is added is claimed when due, what waited longest first, by one at a time, until done or dead."""
    now, lease = NOW, timedelta(seconds=10)
    due: dict[int, datetime] = {}  # by its number in order: when it may be claimed
    available: dict[int, datetime] = {}  # since when it waits, whoever works on it meanwhile
    attempts: dict[int, int] = {}
    ids: dict[int, int] = {}
    dead = 0
    with undone(database) as tx:
        for number in range(data.draw(st.integers(1, 25), label="steps")):
            step = data.draw(st.sampled_from(["add", "claim", "done", "fail", "die", "wait"]), label="step")
            claimed = sorted(ids.keys() & due.keys())
            if step == "add":
                tx.outbox.add("topic", {"n": number}, at=now)
                due[number] = available[number] = now
            elif step == "wait":
                now += timedelta(seconds=data.draw(st.integers(1, 15), label="seconds"))
            elif step == "claim":
                limit = data.draw(st.integers(1, 4), label="limit")
                found = tx.outbox.claim(["topic", "other"], limit=limit, now=now, lease=lease)
                expected = sorted((n for n in due if due[n] <= now), key=lambda n: (available[n], n))[:limit]
                assert [message.payload["n"] for message in found] == expected
                for message in found:
                    n = message.payload["n"]
                    attempts[n] = attempts.get(n, 0) + 1
                    assert message.attempts == attempts[n]
                    ids[n] = message.id
                    due[n] = now + lease
            elif claimed:
                chosen = data.draw(st.sampled_from(claimed), label="message")
                if step == "fail":
                    due[chosen] = available[chosen] = now + timedelta(seconds=3)
                    tx.outbox.fail(ids[chosen], "error", retry_at=due[chosen])
                    continue
                del due[chosen]
                if step == "done":
                    tx.outbox.done([ids[chosen]])
                else:
                    tx.outbox.fail(ids[chosen], "error", retry_at=None)
                    dead += 1
            assert tx.outbox.count() == (len(due), dead)


names = st.sampled_from(["1.root.json", "2.root.json", "1.bins-0.json", "01.root.json"])
contents = st.binary(max_size=3)
bad_names = st.sampled_from(["timestamp.json", "../1.root.json", "root.json", "1.Root.json"])


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_the_metadata_folder_is_what_a_dict_says(data: st.DataObject) -> None:
    """Files once there never change, a failed call adds none, and the newest epoch alone moves the timestamp."""
    files: dict[str, bytes] = {}
    timestamp: bytes | None = None
    fence = 0
    with tempfile.TemporaryDirectory() as folder:
        store = FolderMetadataStore(Path(folder) / "metadata")
        for _ in range(data.draw(st.integers(1, 10), label="steps")):
            step = data.draw(st.sampled_from(["create", "create", "fence", "move", "reopen"]), label="step")
            epoch = data.draw(st.integers(0, 4), label="epoch")
            if step == "create":
                wanted = data.draw(st.lists(st.tuples(names | bad_names, contents), max_size=4), label="files")
                outcome = dict(files)
                good = True
                for name, content in wanted:
                    good &= (
                        name[0] in "012" and name != "1.Root.json" and outcome.setdefault(name, content) == content
                    )
                if good:
                    store.create(wanted)
                    files = outcome
                else:
                    with pytest.raises(StoreError):
                        store.create(wanted)
            elif step == "reopen":
                store = FolderMetadataStore(Path(folder) / "metadata")
                store.probe()
            elif epoch < fence:
                with pytest.raises(LeaseLost):
                    store.fence(epoch) if step == "fence" else store.move_timestamp(b"stale", epoch=epoch)
            elif step == "fence":
                store.fence(epoch)
                fence = epoch
            else:
                timestamp = data.draw(contents, label="timestamp")
                store.move_timestamp(timestamp, epoch=epoch)
                fence = epoch
            pointer = {} if timestamp is None else {"timestamp.json": timestamp}
            assert {file.name: store.read(file.name) for file in store.files()} == files | pointer
