"""TUF metadata in a bucket: what a bucket adds to the contract of every store (test_metadata_contract.py)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from gatehouse.core.errors import LeaseLost, StoreError
from gatehouse.storage.s3.bucket import BotoBucket
from gatehouse.storage.s3.metadata import S3MetadataStore
from tests.support.buckets import MemoryBucket, failing, new_prefix

TIMESTAMP = "timestamp.json"


@pytest.fixture
def bucket() -> MemoryBucket:
    return MemoryBucket()


class TestProbing:
    @pytest.mark.parametrize("ignores", [["create"], ["replace"], ["create", "replace"]])
    def test_a_bucket_that_ignores_conditions_is_refused_and_cleaned_up(self, ignores: list[str]) -> None:
        bucket = MemoryBucket(ignores=ignores)
        with pytest.raises(StoreError, match=r"^The metadata bucket ignores the conditions of writes"):
            S3MetadataStore(bucket, "tuf").probe()
        assert bucket.objects == {}

    def test_a_bucket_whose_tags_do_not_change_is_refused(
        self, bucket: MemoryBucket, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(bucket, "_tags", iter(lambda: 1, 0))
        with pytest.raises(StoreError, match="does not replace"):
            S3MetadataStore(bucket).probe()
        assert bucket.objects == {}

    def test_a_bucket_that_lists_late_is_refused(
        self, bucket: MemoryBucket, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(bucket, "list", lambda _prefix: iter(()))
        with pytest.raises(StoreError, match="does not list"):
            S3MetadataStore(bucket).probe()

    def test_a_bucket_that_does_not_delete_is_refused(
        self, bucket: MemoryBucket, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(bucket, "delete", lambda _keys: None)
        with pytest.raises(StoreError, match="does not delete"):
            S3MetadataStore(bucket).probe()

    def test_a_read_only_bucket_is_refused(self, bucket: MemoryBucket) -> None:
        bucket.before_put = failing(lambda _: True, "The metadata bucket cannot be written: it is read-only.")
        with pytest.raises(StoreError, match="read-only"):
            S3MetadataStore(bucket).probe()


class TestCreating:
    def test_files_are_taken_as_they_are_written(self, bucket: MemoryBucket) -> None:
        ahead: list[int] = []

        def files() -> Iterator[tuple[str, bytes]]:
            for number in range(100):
                ahead.append(number - len(bucket.writes))
                yield f"1.bin-{number:x}.json", b"x"

        S3MetadataStore(bucket, threads=2).create(files())
        assert len(bucket.writes) == 100
        assert max(ahead) <= 5

    def test_after_a_failure_no_more_begin(self, bucket: MemoryBucket) -> None:
        bucket.before_put = failing(lambda key: key == "1.bin-3.json", "The bucket is full.")
        with pytest.raises(StoreError, match="full"):
            S3MetadataStore(bucket, threads=2).create((f"1.bin-{number:x}.json", b"x") for number in range(100))
        assert len(bucket.writes) < 20
        bucket.before_put = lambda _key: None
        S3MetadataStore(bucket, threads=2).create((f"1.bin-{number:x}.json", b"x") for number in range(100))
        assert len(bucket.objects) == 100

    def test_a_lost_answer_is_success_when_the_file_is_there(self, bucket: MemoryBucket) -> None:
        # As boto3 would meet it: the first request took place, its answer was lost, the second is refused.
        bucket.put("1.root.json", b"one", over=None, headers={"ContentType": "", "CacheControl": ""})
        S3MetadataStore(bucket).create([("1.root.json", b"one")])

    def test_a_write_that_is_under_way_and_not_to_be_seen_is_waited_for_and_not_for_ever(
        self, bucket: MemoryBucket, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        refusals = [1, 2]
        real = bucket.put

        def put(key: str, data: bytes, **more: object) -> str | None:
            return None if refusals and refusals.pop() else real(key, data, **more)  # type: ignore[arg-type] # as is

        monkeypatch.setattr(bucket, "put", put)
        S3MetadataStore(bucket).create([("1.root.json", b"one")])
        assert bucket.objects["1.root.json"].data == b"one"
        refusals.extend([1] * 50)
        with pytest.raises(StoreError, match="neither be created nor read"):
            S3MetadataStore(bucket).create([("2.root.json", b"two")])


class TestMoving:
    def test_a_write_that_was_on_its_way_when_the_fence_rose_never_follows_the_new_holders(
        self,
    ) -> None:
        """The old holder is stopped between its look at the epoch and its write, while the new one moves on."""
        outcomes = []
        for moves in (0, 1, 2):
            chosen = MemoryBucket()
            old, new = S3MetadataStore(chosen), S3MetadataStore(chosen)
            old.fence(1)
            old.move_timestamp(b"1", epoch=1)

            def take_over(
                key: str, moves: int = moves, chosen: MemoryBucket = chosen, new: S3MetadataStore = new
            ) -> None:
                if key == TIMESTAMP:
                    chosen.before_put = lambda _key: None
                    new.fence(2)
                    for number in range(moves):
                        new.move_timestamp(b"%d" % (3 + number), epoch=2)

            chosen.before_put = take_over
            try:
                old.move_timestamp(b"2", epoch=1)
                outcomes.append((moves, "landed"))
            except LeaseLost:
                outcomes.append((moves, "refused"))
            new.move_timestamp(b"9", epoch=2)
            assert chosen.objects[TIMESTAMP].data == b"9"
            with pytest.raises(LeaseLost):
                old.move_timestamp(b"2", epoch=1)
        assert outcomes == [(0, "landed"), (1, "refused"), (2, "refused")]

    def test_a_move_whose_answer_was_lost_is_made_again_with_success(self, bucket: MemoryBucket) -> None:
        store = S3MetadataStore(bucket)
        store.fence(1)
        store.move_timestamp(b"one", epoch=1)
        bucket.after_put = failing(lambda key: key == TIMESTAMP, "The store does not answer.")
        with pytest.raises(StoreError, match="does not answer"):
            store.move_timestamp(b"two", epoch=1)
        bucket.after_put = lambda _key: None
        store.move_timestamp(b"two", epoch=1)
        store.move_timestamp(b"three", epoch=1)
        assert bucket.objects[TIMESTAMP].data == b"three"

    def test_equal_bytes_of_a_newer_holder_are_no_success(self, bucket: MemoryBucket) -> None:
        old, new = S3MetadataStore(bucket), S3MetadataStore(bucket)
        old.fence(1)

        def take_over(key: str) -> None:
            if key == TIMESTAMP:
                bucket.before_put = lambda _key: None
                new.fence(2)
                new.move_timestamp(b"same", epoch=2)

        bucket.before_put = take_over
        with pytest.raises(LeaseLost):
            old.move_timestamp(b"same", epoch=1)

    def test_a_second_index_that_writes_the_same_place_is_told(self, bucket: MemoryBucket) -> None:
        store = S3MetadataStore(bucket)
        store.fence(1)
        number = 0

        def disturb(key: str) -> None:
            nonlocal number
            if key == TIMESTAMP:
                number += 1
                bucket.before_put = lambda _key: None
                found = bucket.get(key)
                tag = None if found is None else found.tag
                bucket.put(key, b"%d" % number, over=tag, headers={"ContentType": "", "CacheControl": ""})
                bucket.before_put = disturb

        bucket.before_put = disturb
        with pytest.raises(StoreError, match="second index"):
            store.move_timestamp(b"mine", epoch=1)
        assert number == 5

    def test_of_two_fences_that_race_the_higher_stays(self, bucket: MemoryBucket) -> None:
        low, high = S3MetadataStore(bucket), S3MetadataStore(bucket)

        def overtake(_key: str) -> None:
            bucket.before_put = lambda _key: None
            high.fence(7)

        bucket.before_put = overtake
        with pytest.raises(LeaseLost):
            low.fence(3)
        assert low.epoch() == 7


def test_caches_in_front_of_the_bucket_are_told_what_never_changes(moto_bucket: BotoBucket) -> None:
    prefix = new_prefix()
    store = S3MetadataStore(moto_bucket, prefix)
    store.create([("1.root.json", b"{}")])
    store.move_timestamp(b"{}", epoch=1)
    said = {}
    for name in ("1.root.json", TIMESTAMP):
        answer = moto_bucket._client.head_object(Bucket=moto_bucket._name, Key=f"{prefix}/{name}")
        said[name] = (answer["ContentType"], answer["CacheControl"])
    assert said == {
        "1.root.json": ("application/json", "public, max-age=31536000, immutable"),
        TIMESTAMP: ("application/json", "public, max-age=5"),
    }


def test_a_bucket_of_moto_passes_the_probe_at_its_root_too(moto_bucket: BotoBucket) -> None:
    S3MetadataStore(moto_bucket).probe()
