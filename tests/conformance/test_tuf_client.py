"""python-tuf's own client, against what the signing wing publishes.

The statement that all of this comes to: every served state is acceptable to a client that holds any earlier
state, and to one that is caught by a publication between any two of its requests.
"""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from tuf.api.exceptions import DownloadHTTPError, RepositoryError
from tuf.ngclient.fetcher import FetcherInterface
from tuf.ngclient.updater import Updater

from gatehouse.core.digests import sha256_hex
from gatehouse.core.errors import OperatorError
from gatehouse.tuf.plan import OnlineSigners
from tests.support.tuf_repository import LAYOUT, Repository, Seen, fixed_signer

BASE = "http://index.invalid/"
PAGE, FILE = "simple/spam/index.html", "files/spam/spam-1.0.tar.gz"
NEWER, GONE = "files/spam/spam-1.1.tar.gz", "files/ham/ham-0.1-py3-none-any.whl"
PATHS = (PAGE, FILE, NEWER, GONE)


@dataclass(kw_only=True)
class Server(FetcherInterface):
    """Serves files from memory, as they were after one publication; another may come between two requests."""

    files: dict[str, bytes]
    seen: Seen
    later: Seen | None = None
    switch_after: int = -1
    requests: list[str] = field(default_factory=list)

    def _fetch(self, url: str) -> Iterator[bytes]:
        if len(self.requests) == self.switch_after and self.later is not None:
            self.seen = self.later
        name = url.removeprefix(BASE)
        self.requests.append(name)
        data = self.seen.timestamp if name == "metadata/timestamp.json" else self.files.get(name)
        if data is None:
            raise DownloadHTTPError(f"no {name}", 404)
        yield data


@dataclass(frozen=True, kw_only=True)
class Visit:
    """What a client got: the contents by path (None: no such target), and which timestamp it trusted."""

    contents: dict[str, bytes | None]
    timestamp: int
    requests: list[str]


def visit(server: Server, cache: Path, root: bytes, *, paths: tuple[str, ...] = PATHS, now: datetime) -> Visit:
    """Refresh and fetch as an application would."""
    (cache / "targets").mkdir(parents=True, exist_ok=True)
    updater = Updater(
        str(cache),
        f"{BASE}metadata/",
        str(cache / "targets"),
        f"{BASE}targets/",
        fetcher=server,
        bootstrap=root,
    )
    updater._trusted_set.reference_time = now
    updater.refresh()
    contents: dict[str, bytes | None] = {}
    for path in paths:
        info = updater.get_targetinfo(path)
        contents[path] = None if info is None else Path(updater.download_target(info)).read_bytes()
    return Visit(contents=contents, timestamp=updater._trusted_set.timestamp.version, requests=server.requests)


def expect(got: Visit, seen: Seen) -> None:
    """The client trusts that state and found in it what was published, nothing else."""
    assert got.timestamp == seen.version
    digests = {path: None if data is None else sha256_hex(data) for path, data in got.contents.items()}
    assert digests == {path: target.sha256 if (target := seen.targets.get(path)) else None for path in digests}


@pytest.fixture(scope="module")
def repository() -> Repository:
    """A repository with a past: targets came, changed and went, and everything was renewed along the way."""
    made = Repository()
    made.publish()
    made.publish({made.put(PAGE), made.put(FILE), made.put(GONE)})
    made.advance(timedelta(hours=1))
    made.publish({made.put(PAGE, 2), made.put(NEWER)})
    made.advance(timedelta(hours=19))
    made.publish()  # bins ride along here, those that the second publication did not sign
    made.advance(timedelta(hours=2))
    made.publish({made.remove(GONE)})
    made.advance(timedelta(hours=1))
    made.publish()  # the timestamp alone
    made.advance(timedelta(hours=16))
    made.publish({made.put(PAGE, 3), made.put(GONE, 2)})
    return made


@pytest.fixture(scope="module")
def root(repository: Repository) -> bytes:
    return repository.files["metadata/1.root.json"]


@pytest.fixture(scope="module")
def rested(repository: Repository, root: bytes, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The caches of clients that came by after each publication and not since."""
    caches = []
    for seen in repository.history:
        cache = tmp_path_factory.mktemp("rested")
        expect(visit(Server(files=repository.files, seen=seen), cache, root, now=seen.now), seen)
        caches.append(cache)
    return caches


def test_the_past_holds_what_it_is_meant_to(repository: Repository) -> None:
    versions = [seen.version for seen in repository.history]
    snapshots = sorted(name for name in repository.files if name.endswith(".snapshot.json"))

    assert versions == [1, 2, 3, 4, 5, 6, 7]
    assert len(snapshots) == 6
    assert [len(seen.targets) for seen in repository.history] == [0, 3, 4, 4, 3, 3, 4]


def test_a_fresh_client_fetches_a_page_and_a_file_with_eleven_requests(
    repository: Repository, root: bytes, tmp_path: Path
) -> None:
    seen = repository.history[-1]
    got = visit(Server(files=repository.files, seen=seen), tmp_path, root, paths=(PAGE, FILE), now=seen.now)

    expect(got, seen)
    assert len(got.requests) == 11


def test_a_client_that_comes_back_to_the_same_state_asks_for_no_more_than_the_next_root_and_the_timestamp(
    repository: Repository, root: bytes, rested: list[Path], tmp_path: Path
) -> None:
    seen = repository.history[-1]
    cache = shutil.copytree(rested[-1], tmp_path / "cache", symlinks=True)
    got = visit(Server(files=repository.files, seen=seen), cache, root, paths=(), now=seen.now)

    assert got.requests == ["metadata/2.root.json", "metadata/timestamp.json"]


def test_every_later_state_is_taken_by_a_client_that_rested_at_any_earlier_one(
    repository: Repository, root: bytes, rested: list[Path], tmp_path: Path
) -> None:
    for start, cache in enumerate(rested):
        for end, seen in enumerate(repository.history[start:], start):
            copy = shutil.copytree(cache, tmp_path / f"{start}-{end}", symlinks=True)
            expect(visit(Server(files=repository.files, seen=seen), copy, root, now=seen.now), seen)


def test_a_publication_between_any_two_requests_disturbs_no_client(
    repository: Repository, root: bytes, rested: list[Path], tmp_path: Path
) -> None:
    history = repository.history
    interrupted = 0
    for number, (seen, later) in enumerate(itertools.pairwise(history)):
        # A fresh client, and one that rested at each of the earlier states.
        for cache in (None, *rested[: number + 1]):
            switch_after = 0
            while True:
                copy = tmp_path / "cache"
                if cache is not None:
                    shutil.copytree(cache, copy, symlinks=True)
                server = Server(files=repository.files, seen=seen, later=later, switch_after=switch_after)
                got = visit(server, copy, root, now=later.now)
                expect(got, seen if got.timestamp == seen.version else later)
                shutil.rmtree(copy)
                if switch_after >= len(got.requests):
                    break
                switch_after += 1
                interrupted += 1
    assert interrupted > 200


# --- what a client must refuse ---------------------------------------------------------------------------------


def newest(repository: Repository, **files: bytes) -> Server:
    return Server(files={**repository.files, **files}, seen=repository.history[-1])


def test_signatures_by_a_key_that_nobody_authorised_are_refused(tmp_path: Path) -> None:
    """The plan itself refuses such a key, so a thief is played by a repository with other online keys."""
    made = Repository()
    made.publish({made.put(PAGE)})
    thief = fixed_signer("thief")
    signers = OnlineSigners(timestamp=thief, snapshot=thief, bins=thief)
    stolen = Repository(signers=signers, keys=replace(made.keys, timestamp=thief.public_key))
    with pytest.raises(OperatorError, match="not authorised"):
        stolen.publish({stolen.put(PAGE)})

    other = Repository(
        signers=signers,
        keys=replace(
            made.keys, timestamp=thief.public_key, snapshot=thief.public_key, online_bins=thief.public_key
        ),
    )
    other.publish({other.put(PAGE)})
    server = Server(files=other.files, seen=other.history[-1])
    with pytest.raises(RepositoryError, match="timestamp was signed by 0/1 keys"):
        visit(server, tmp_path, made.files["metadata/1.root.json"], now=made.now)


def test_a_replayed_timestamp_is_refused(
    repository: Repository, root: bytes, rested: list[Path], tmp_path: Path
) -> None:
    cache = shutil.copytree(rested[-1], tmp_path / "cache", symlinks=True)
    old = Server(files=repository.files, seen=repository.history[-2])

    with pytest.raises(RepositoryError, match="timestamp version"):
        visit(old, cache, root, now=repository.now)


def test_an_expired_timestamp_is_refused(repository: Repository, root: bytes, tmp_path: Path) -> None:
    server = newest(repository)

    with pytest.raises(RepositoryError, match=r"timestamp\.json is expired"):
        visit(server, tmp_path, root, now=repository.timestamp.expires)
    assert server.requests == ["metadata/2.root.json", "metadata/timestamp.json"]


def test_a_tampered_bin_is_refused(repository: Repository, root: bytes, tmp_path: Path) -> None:
    role = repository.online[LAYOUT.role_name(LAYOUT.bin_of(FILE))]
    name = f"metadata/{role.version}.{role.name}.json"
    evil = repository.files[name].replace(repository.targets[FILE].sha256.encode(), b"0" * 64)
    assert evil != repository.files[name]

    with pytest.raises(RepositoryError, match="signed by 0/1 keys"):
        visit(newest(repository, **{name: evil}), tmp_path, root, paths=(FILE,), now=repository.now)


def test_an_older_bin_in_the_place_of_a_newer_one_is_refused(
    repository: Repository, root: bytes, tmp_path: Path
) -> None:
    role = repository.online[LAYOUT.role_name(LAYOUT.bin_of(PAGE))]
    old = repository.files[f"metadata/{role.version - 1}.{role.name}.json"]

    with pytest.raises(RepositoryError, match=f"Expected {role.name} v{role.version}"):
        visit(
            newest(repository, **{f"metadata/{role.version}.{role.name}.json": old}),
            tmp_path,
            root,
            paths=(PAGE,),
            now=repository.now,
        )


def test_another_snapshot_than_the_one_named_is_refused(
    repository: Repository, root: bytes, tmp_path: Path
) -> None:
    version = repository.online["snapshot"].version
    evil = repository.files[f"metadata/{version - 1}.snapshot.json"]

    with pytest.raises(RepositoryError, match=r"(?i)length|hash"):
        visit(
            newest(repository, **{f"metadata/{version}.snapshot.json": evil}), tmp_path, root, now=repository.now
        )


def test_a_target_with_other_bytes_is_refused(repository: Repository, root: bytes, tmp_path: Path) -> None:
    (name,) = [name for name in repository.files if name.endswith(".spam-1.1.tar.gz")]
    evil = bytes(len(repository.files[name]))

    with pytest.raises(RepositoryError, match="expected hash"):
        visit(newest(repository, **{name: evil}), tmp_path, root, paths=(NEWER,), now=repository.now)


# --- what changes beside the bins ------------------------------------------------------------------------------


def test_the_spare_key_takes_over_without_any_offline_key(root: bytes, tmp_path: Path) -> None:
    made = Repository()
    made.publish({made.put(PAGE), made.put(FILE)})
    first = made.history[-1]
    cache = tmp_path / "cache"
    expect(visit(Server(files=made.files, seen=first), cache, root, now=first.now), first)

    spare = fixed_signer("spare")
    made.signers = OnlineSigners(timestamp=spare, snapshot=spare, bins=spare)
    made.advance(timedelta(minutes=5))
    made.publish(set(made.layout.refs()))

    seen = made.history[-1]
    expect(visit(Server(files=made.files, seen=seen), cache, root, now=seen.now), seen)
    expect(visit(Server(files=made.files, seen=seen), tmp_path / "fresh", root, now=seen.now), seen)


def test_a_new_root_and_new_offline_metadata_reach_a_client_that_rested_before(tmp_path: Path) -> None:
    made = Repository()
    first_root = made.files["metadata/1.root.json"]
    made.publish({made.put(PAGE), made.put(FILE)})
    first = made.history[-1]
    expect(visit(Server(files=made.files, seen=first), tmp_path / "cache", first_root, now=first.now), first)

    made.add_offline([made.resign("root"), made.resign("targets"), made.resign("simple-bins")])
    made.advance(timedelta(minutes=5))
    draft = made.publish()

    assert [item.role.name for item in draft.signed] == ["snapshot", "timestamp"]
    seen = made.history[-1]
    got = visit(Server(files=made.files, seen=seen), tmp_path / "cache", first_root, now=seen.now)
    expect(got, seen)
    assert "metadata/2.targets.json" in got.requests
    assert "metadata/2.simple-bins.json" in got.requests
    assert "metadata/3.root.json" in got.requests
