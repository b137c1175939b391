"""What `tuf.ports.MetadataStore` promises, whatever it lies in."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from gatehouse.core.errors import LeaseLost, StoreError
from gatehouse.tuf.ports import MetadataStore
from tests.support.metadata_places import NO_NAMES, MetadataPlace


@pytest.fixture
def store(metadata_place: MetadataPlace) -> MetadataStore:
    return metadata_place.open()


def names(store: MetadataStore) -> list[str]:
    return sorted(file.name for file in store.files())


class TestCreating:
    def test_files_are_created_read_and_listed(self, store: MetadataStore) -> None:
        files = {"1.root.json": b"root", "12.files-bins-0a3f.json": b"", "000000000001.a.json": b"x"}
        store.create(iter(files.items()))
        assert {name: store.read(name) for name in files} == files
        assert {(file.name, file.size) for file in store.files()} == {
            (name, len(data)) for name, data in files.items()
        }
        assert store.read("2.root.json") is None

    def test_to_expect_a_file_changes_nothing_whether_it_comes_or_not(self, store: MetadataStore) -> None:
        store.create([("1.root.json", b"root")])
        for name in ("1.root.json", "2.root.json", "timestamp.json", *NO_NAMES):
            store.expect(name)
        assert names(store) == ["1.root.json"]
        assert store.read("1.root.json") == b"root"

    def test_nothing_to_create_is_success(self, store: MetadataStore) -> None:
        store.create([])
        assert names(store) == []

    def test_many_files_are_created(self, store: MetadataStore) -> None:
        files = {f"1.bins-{number:04x}.json": b"%d" % number for number in range(60)}
        store.create(files.items())
        assert {name: store.read(name) for name in names(store)} == files

    def test_equal_content_again_is_success(self, store: MetadataStore) -> None:
        store.create([("1.root.json", b"one"), ("1.root.json", b"one")])
        store.create([("1.root.json", b"one"), ("2.root.json", b"two")])
        assert names(store) == ["1.root.json", "2.root.json"]

    @pytest.mark.parametrize("many", [False, True])
    def test_other_content_is_refused_and_nothing_is_overwritten(
        self,
        store: MetadataStore,
        many: bool,  # noqa: FBT001 a parameter of the test
    ) -> None:
        store.create([("2.root.json", b"two")])
        more = [("3.root.json", b"three")] if many else []
        with pytest.raises(StoreError, match=r"2\.root\.json exists with other content"):
            store.create([("2.root.json", b"other"), *more])
        assert store.read("2.root.json") == b"two"

    def test_one_name_with_two_contents_is_refused(self, store: MetadataStore) -> None:
        with pytest.raises(StoreError, match=r"twice|other content"):
            store.create([("1.root.json", b"one"), ("1.root.json", b"other")])
        assert store.read("1.root.json") in (None, b"one", b"other")

    def test_only_versioned_names_are_created_and_others_read_as_nothing(self, store: MetadataStore) -> None:
        store.fence(1)
        for name in NO_NAMES:
            with pytest.raises(StoreError, match="not the name"):
                store.create([("1.root.json", b"one"), (name, b"bad")])
            assert store.read(name) is None, name
        with pytest.raises(StoreError, match="not the name"):
            store.create([("timestamp.json", b"bad")])
        assert set(names(store)) <= {"1.root.json"}
        assert store.epoch() == 1

    def test_creators_that_race_agree_or_fail(self, metadata_place: MetadataPlace) -> None:
        together = Barrier(8)

        def create(number: int) -> bool:
            store = metadata_place.open()
            together.wait()
            try:
                store.create([("1.root.json", b"same"), ("2.root.json", b"%d" % (number % 2))])
            except StoreError:
                return False
            return True

        with ThreadPoolExecutor(8) as pool:
            won = list(pool.map(create, range(8)))
        store = metadata_place.open()
        content = store.read("2.root.json")
        assert store.read("1.root.json") == b"same"
        assert content in (b"0", b"1")
        # Whoever was told of success finds its own bytes.
        assert won == [content == b"%d" % (number % 2) for number in range(8)]


class TestStaging:
    def test_what_was_staged_is_seen_by_nobody_before_it_is_created(self, store: MetadataStore) -> None:
        with store.staging() as stage:
            for number in range(60):
                stage(f"1.bins-{number:04x}.json", b"%d" % number)
            assert names(store) == []
            assert store.read("1.bins-0000.json") is None
            store.create((f"1.bins-{number:04x}.json", b"%d" % number) for number in range(30))
            store.create([("1.snapshot.json", b"s")])
            assert len(names(store)) == 31
        assert len(names(store)) == 31, "what was staged and never created is gone"
        assert store.read("1.bins-001d.json") == b"29"

    def test_what_counts_is_what_is_created_and_not_what_was_staged(self, store: MetadataStore) -> None:
        store.create([("1.b.json", b"there")])
        with store.staging() as stage:
            stage("1.a.json", b"staged")
            stage("1.b.json", b"staged")
            store.create([("1.a.json", b"created")])
            with pytest.raises(StoreError, match=r"1\.b\.json exists with other content"):
                store.create([("1.b.json", b"staged")])
        assert (store.read("1.a.json"), store.read("1.b.json")) == (b"created", b"there")

    def test_threads_stage_side_by_side_and_a_block_that_fails_leaves_nothing(self, store: MetadataStore) -> None:
        def fail() -> None:
            with store.staging() as stage, ThreadPoolExecutor(4) as pool:
                list(pool.map(lambda number: stage(f"{number}.a.json", b"x"), range(1, 40)))
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            fail()
        assert names(store) == []
        store.create([("7.a.json", b"other")])
        assert store.read("7.a.json") == b"other"


class TestDeleting:
    def test_versioned_files_go_and_one_that_is_gone_is_success(self, store: MetadataStore) -> None:
        store.create([("1.root.json", b"r"), ("1.bin-0.json", b"a"), ("2.bin-0.json", b"b")])
        assert store.delete(["1.bin-0.json"]) == 1
        store.delete(["1.bin-0.json", "9.bin-0.json"])
        assert store.delete([]) == 0
        assert names(store) == ["1.root.json", "2.bin-0.json"]

    @pytest.mark.parametrize("name", ["1.root.json", "timestamp.json", ".store/epoch", "../x"])
    def test_a_root_and_the_timestamp_never_go(self, store: MetadataStore, name: str) -> None:
        store.create([("1.root.json", b"r"), ("1.bin-0.json", b"a"), ("2.bin-0.json", b"b")])
        store.move_timestamp(b"t", epoch=1)
        with pytest.raises(StoreError, match="never deleted"):
            store.delete(["1.bin-0.json", name, "2.bin-0.json"])
        assert names(store) == ["1.root.json", "2.bin-0.json", "timestamp.json"]
        assert store.epoch() == 1

    def test_more_files_than_one_request_takes_are_listed_and_go(self, store: MetadataStore) -> None:
        files = [f"{number}.bin-0.json" for number in range(1, 20)]
        store.create((name, b"x") for name in files)
        assert names(store) == sorted(files)
        assert store.delete(files) == 19
        assert names(store) == []


class TestFencing:
    def test_the_timestamp_is_moved(self, store: MetadataStore) -> None:
        assert store.read("timestamp.json") is None
        assert store.epoch() == 0
        store.fence(3)
        store.move_timestamp(b"one", epoch=3)
        store.move_timestamp(b"two", epoch=3)
        store.move_timestamp(b"two", epoch=3)
        assert store.read("timestamp.json") == b"two"
        assert names(store) == ["timestamp.json"]
        assert store.epoch() == 3

    def test_a_stale_epoch_moves_nothing(self, store: MetadataStore) -> None:
        store.fence(3)
        store.move_timestamp(b"new", epoch=3)
        store.fence(4)
        with pytest.raises(LeaseLost, match="epoch 4"):
            store.move_timestamp(b"stale", epoch=3)
        with pytest.raises(LeaseLost):
            store.fence(3)
        assert store.read("timestamp.json") == b"new"

    def test_a_fence_binds_every_process_and_its_own_epoch_passes(self, metadata_place: MetadataPlace) -> None:
        former, newer = metadata_place.open(), metadata_place.open()
        former.fence(6)
        former.move_timestamp(b"one", epoch=6)
        newer.fence(7)
        newer.fence(7)
        with pytest.raises(LeaseLost):
            former.move_timestamp(b"stale", epoch=6)
        with pytest.raises(LeaseLost):
            metadata_place.open().move_timestamp(b"stale", epoch=6)
        metadata_place.open().move_timestamp(b"two", epoch=7)
        assert newer.read("timestamp.json") == b"two"

    def test_a_higher_epoch_that_moves_fences_too(self, store: MetadataStore) -> None:
        store.move_timestamp(b"new", epoch=5)
        with pytest.raises(LeaseLost):
            store.move_timestamp(b"stale", epoch=4)

    @pytest.mark.parametrize("content", [b"", b"many", b"1.5", b"\xff"])
    def test_a_damaged_epoch_stops_everything(self, metadata_place: MetadataPlace, content: bytes) -> None:
        store = metadata_place.open()
        store.move_timestamp(b"old", epoch=1)
        metadata_place.overwrite(".store/epoch", content)
        for act in (lambda: store.move_timestamp(b"new", epoch=9), lambda: store.fence(9), store.epoch):
            with pytest.raises(StoreError, match="epoch of the metadata store is damaged"):
                act()
        assert store.read("timestamp.json") == b"old"

    def test_a_timestamp_that_was_altered_or_moved_away_is_replaced(self, metadata_place: MetadataPlace) -> None:
        store = metadata_place.open()
        store.fence(1)
        store.move_timestamp(b"one", epoch=1)
        metadata_place.overwrite("timestamp.json", b"altered")
        store.move_timestamp(b"two", epoch=1)
        assert store.read("timestamp.json") == b"two"
        metadata_place.remove("timestamp.json")
        store.move_timestamp(b"three", epoch=1)
        assert store.read("timestamp.json") == b"three"

    def test_of_two_publishers_the_stale_one_never_has_the_last_word(self, metadata_place: MetadataPlace) -> None:
        begun = Barrier(2)

        def stale() -> int:
            store, moved = metadata_place.open(), 0
            begun.wait()
            try:
                while True:
                    store.move_timestamp(b"stale %d" % moved, epoch=1)
                    moved += 1
            except LeaseLost:
                return moved

        def fresh() -> bytes | None:
            store = metadata_place.open()
            begun.wait()
            store.fence(2)
            store.move_timestamp(b"fresh", epoch=2)
            return store.read("timestamp.json")

        with ThreadPoolExecutor(2) as pool:
            former, newest = pool.submit(stale), pool.submit(fresh)
            assert newest.result(60) == b"fresh"
            former.result(60)
        assert metadata_place.open().read("timestamp.json") == b"fresh"


def test_a_good_place_passes_the_probe_and_nothing_stays(store: MetadataStore) -> None:
    store.move_timestamp(b"old", epoch=1)
    store.probe()
    assert names(store) == ["timestamp.json"]
    assert store.epoch() == 1
    store.move_timestamp(b"new", epoch=1)
