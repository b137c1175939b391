"""TUF metadata in a folder: implements `tuf.ports.MetadataStore`.

    <root>/<version>.<role>.json   created once by a link, which never overwrites
    <root>/timestamp.json          moved by rename, under a lock and for the newest epoch only
    <root>/.store/                 the epoch, two lock files, and what is being written
    <root>/.encoded/               versioned files as they are sent compressed, which the web keeps there

Immutable files first, pointer last: a crash between any two writes leaves a repository that a client accepts, and
at most some files that nothing points to yet and some nameless ones, which the next start sweeps.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from gatehouse.core.errors import LeaseLost, StoreError
from gatehouse.gate.ports import Coding
from gatehouse.storage.blobs import durable
from gatehouse.storage.blobs.metadata_names import TIMESTAMP, is_deletable, is_metadata, is_versioned
from gatehouse.tuf.ports import Stage, StoredFile

_STATE = ".store"
_ENCODED = ".encoded"
_SUFFIXES = tuple(coding.suffix for coding in Coding)
# From here on, one sync of the file system is cheaper than one of each file.
_MANY = 16


class FolderMetadataStore:
    """Metadata files by name, in a folder. Safe for many threads and many processes on one machine."""

    def __init__(self, root: Path) -> None:
        """Makes the folder if it is missing.

        Raises:
            StoreError: it cannot be made.
        """
        self._root = root
        self._state = root / _STATE
        self._fence = self._state / "epoch"
        # Two locks, because creating takes long and moving the timestamp must not wait for it.
        self._pointer_lock = self._state / "pointer.lock"
        self._create_lock = self._state / "create.lock"
        self._staged: dict[str, tuple[Path, bytes]] = {}
        with durable.translated("The metadata folder cannot be made"):
            durable.make_folder(self._state)

    def probe(self) -> None:
        """Prove that this file system keeps the store's promises; also sweep what crashes left.

        Raises:
            StoreError: it does not, or cannot be written.
        """
        self.sweep()
        self._probe_creation()
        scratch = self._state / f"new-probe-{secrets.token_hex(8)}"
        try:
            # Beside the real store, because the real epoch must not rise for a test.
            FolderMetadataStore(scratch)._probe_fencing()  # noqa: SLF001 it is one of us
        finally:
            with durable.translated("The probe cannot be cleaned up"):
                shutil.rmtree(scratch)

    def create(self, files: Iterable[tuple[str, bytes]]) -> None:
        """Create files durably; one that exists with equal content is success.

        The files are taken one by one, so they may be more than memory holds.

        Raises:
            StoreError: a name is not one of versioned metadata, a file exists with other content (then no file
                of this call appears), or the folder cannot be written.
        """
        with durable.translated("The metadata cannot be created"), self._new_scratch() as scratch:
            written = self._write_new(scratch, files)
            # A crash up to here leaves a scratch folder, which the next probe sweeps.
            for name, path in written.items():
                self._give_name(path, name)
            # A crash amid the names leaves some of them. They are whole, nothing points to them, and the same
            # publication creates the same bytes again.
            durable.sync_folder(self._root)

    @contextmanager
    def staging(self) -> Iterator[Stage]:
        """A block in which files that may be created are written ahead. A crash in it leaves what `create` does.

        Raises:
            StoreError: the folder cannot be written; staging raises it too.
        """
        failed = "The metadata cannot be created"
        stack = ExitStack()
        with durable.translated(failed):
            scratch = stack.enter_context(self._new_scratch())

        def stage(name: str, data: bytes) -> None:
            with durable.translated(failed):
                self._staged[name] = (_write(scratch, name, data), data)

        try:
            yield stage
        finally:
            self._staged.clear()
            with durable.translated(failed):
                stack.close()

    def read(self, name: str) -> bytes | None:
        """A file's bytes, or None if there is none or the name is not one of a metadata file.

        Raises:
            StoreError: it cannot be read.
        """
        if not is_metadata(name):
            return None
        with durable.translated("The metadata cannot be read"), suppress(FileNotFoundError):
            descriptor = os.open(self._root / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            with os.fdopen(descriptor, "rb") as file:
                return file.read()
        return None

    def expect(self, name: str) -> None:
        """Have the disk begin to read a file, if it must."""
        if is_metadata(name):
            with suppress(OSError):
                durable.begin_to_read(self._root / name)

    def files(self) -> Iterator[StoredFile]:
        """Every metadata file, in no order, as a stream.

        Raises:
            StoreError: the folder cannot be read.
        """
        with durable.translated("The metadata cannot be listed"), os.scandir(self._root) as entries:
            for entry in entries:
                if is_metadata(entry.name):
                    # One that a clean-up deletes amid the listing is simply not there.
                    with suppress(FileNotFoundError):
                        yield StoredFile(name=entry.name, size=entry.stat(follow_symlinks=False).st_size)

    def delete(self, names: Iterable[str]) -> int:
        """Delete versioned files and what is kept of them compressed; one that is gone is success. How many went.

        Raises:
            StoreError: a name is a root's or the timestamp's, or the folder cannot be written.
        """
        deleted = 0
        with durable.translated("The metadata cannot be deleted"):
            for name in names:
                if not is_deletable(name):
                    raise StoreError(f"{name[:80]!r} is never deleted.")
                with suppress(FileNotFoundError):
                    (self._root / name).unlink()
                    deleted += 1
                for suffix in _SUFFIXES:
                    (self._root / _ENCODED / f"{name}{suffix}").unlink(missing_ok=True)
            # A crash before this may bring a file back: a later clean-up deletes it again.
            durable.sync_folder(self._root)
        return deleted

    def epoch(self) -> int:
        """The newest epoch that has fenced the store; 0 before the first.

        Raises:
            StoreError: what is written there is not an epoch, or cannot be read.
        """
        with durable.translated("The epoch cannot be read"):
            return self._fenced()

    def fence(self, epoch: int) -> None:
        """From now on, refuse to move the timestamp for any epoch below this one.

        Raises:
            LeaseLost: a higher epoch has fenced the store already.
            StoreError: the folder cannot be written.
        """
        with (
            durable.translated("The epoch cannot be kept"),
            durable.locked(self._pointer_lock, fcntl.LOCK_EX),
        ):
            self._raise_fence(epoch)

    def move_timestamp(self, data: bytes, *, epoch: int) -> None:
        """Replace `timestamp.json` atomically and durably. A higher epoch than the store's fences it too.

        Raises:
            LeaseLost: a higher epoch has fenced the store.
            StoreError: the folder cannot be written. The timestamp is whole; it is the old one, except when the
                very last sync failed: then the new one is seen and may not outlast a power cut, so move it again.
        """
        with (
            durable.translated("The timestamp cannot be moved"),
            durable.locked(self._pointer_lock, fcntl.LOCK_EX),
        ):
            self._raise_fence(epoch)
            # A crash here leaves the old timestamp behind the new fence: its publication is moved again.
            durable.replace_durably(self._root / TIMESTAMP, data, self._state / "timestamp.new")

    def sweep(self) -> int:
        """Remove what crashed calls of `create` left; nothing while another one runs. How many leftovers went.

        Raises:
            StoreError: the folder cannot be written.
        """
        swept = 0
        with durable.translated("The metadata folder cannot be swept"):
            try:
                with durable.locked(self._create_lock, fcntl.LOCK_EX | fcntl.LOCK_NB):
                    for left in self._state.glob("new-*"):
                        shutil.rmtree(left)
                        swept += 1
            except BlockingIOError:
                return 0
        return swept

    @contextmanager
    def _new_scratch(self) -> Iterator[Path]:
        """A folder for files that have no name yet; it goes with the block, and what was given a name stays."""
        scratch = self._state / f"new-{secrets.token_hex(8)}"
        # Shared with other creators, against a sweep.
        with durable.locked(self._create_lock, fcntl.LOCK_SH):
            scratch.mkdir()
            try:
                yield scratch
            finally:
                shutil.rmtree(scratch)

    def _write_new(self, scratch: Path, files: Iterable[tuple[str, bytes]]) -> dict[str, Path]:
        """Write what is neither there nor staged; where each lies, on disk when this returns, by name."""
        written: dict[str, Path] = {}
        for name, data in files:
            existing = self.read(_versioned(name))
            if existing is not None:
                if existing != data:
                    raise _exists(name)
                continue
            path, staged = self._staged.get(name, (scratch, None))
            if staged != data:
                path = _write(scratch, name, data)
            if written.setdefault(name, path) != path:
                raise _twice(name)
        if len(written) < _MANY or not durable.sync_file_system(self._root):
            for path in written.values():
                _sync_file(path)
        return written

    def _give_name(self, temporary: Path, name: str) -> None:
        try:
            os.link(temporary, self._root / name)
        except FileExistsError:
            # Another publisher was faster. The same bytes are welcome; others mean that one of us is stale.
            if self.read(name) != temporary.read_bytes():
                raise _exists(name) from None

    def _raise_fence(self, epoch: int) -> None:
        """Refuse a stale epoch, and note a newer one. The pointer's lock is held."""
        fenced = self._fenced()
        if epoch < fenced:
            raise LeaseLost(f"Epoch {epoch} is over: epoch {fenced} holds the metadata store.")
        if epoch > fenced:
            durable.replace_durably(self._fence, f"{epoch}\n".encode(), self._state / "epoch.new")

    def _fenced(self) -> int:
        try:
            text = self._fence.read_bytes()
        except FileNotFoundError:
            return 0
        try:
            return int(text.decode("ascii"))
        except ValueError as error:
            # To take it for zero would let a stale publisher in.
            raise StoreError(
                "The epoch of the metadata store is damaged: stop every publisher and write into .store/epoch a "
                "number that is no lower than any that was there; `gatehouse tuf fsck` names one."
            ) from error

    def _probe_creation(self) -> None:
        # No real version is 0, and no role has a random name.
        name = f"0.probe-{secrets.token_hex(8)}.json"
        try:
            self.create([(name, b"one")])
            self.create([(name, b"one")])
            refused = False
            try:
                self.create([(name, b"two")])
            except StoreError:
                refused = True
            # Past the comparison, which could hide that a link overwrites.
            try:
                os.link(self._create_lock, self._root / name)
                refused = False
            except FileExistsError:
                refused &= self.read(name) == b"one"
            except OSError as error:
                raise StoreError("The metadata folder's file system cannot link files.") from error
            if not refused:
                raise StoreError("The metadata folder's file system overwrites what it must not.")
        finally:
            with durable.translated("The probe cannot be cleaned up"):
                (self._root / name).unlink(missing_ok=True)

    def _probe_fencing(self) -> None:
        self.fence(2)
        self.move_timestamp(b"new", epoch=2)
        with suppress(LeaseLost):
            self.move_timestamp(b"stale", epoch=1)
        if self.read(TIMESTAMP) != b"new":
            raise StoreError("The metadata store lets a stale epoch move the timestamp.")
        with durable.translated("The metadata folder cannot be locked"):
            try:
                with (
                    durable.locked(self._pointer_lock, fcntl.LOCK_EX),
                    durable.locked(self._pointer_lock, fcntl.LOCK_EX | fcntl.LOCK_NB),
                ):
                    raise StoreError("The metadata folder's file system does not lock files.")
            except BlockingIOError:
                return


def _write(folder: Path, name: str, data: bytes) -> Path:
    """Write a new file there and have the disk begin with it; equal content again is success."""
    path = folder / _versioned(name)
    try:
        descriptor = durable.create_new(path)
    except FileExistsError:
        if path.read_bytes() != data:
            raise _twice(name) from None
        return path
    try:
        durable.write_all(descriptor, data)
        os.fchmod(descriptor, durable.FILE_MODE)
        durable.begin_to_sync(descriptor)
    finally:
        os.close(descriptor)
    return path


def _versioned(name: str) -> str:
    if not is_versioned(name):
        raise StoreError(f"{name[:80]!r} is not the name of a versioned metadata file.")
    return name


def _twice(name: str) -> StoreError:
    return StoreError(f"{name} was given twice, with different content.")


def _exists(name: str) -> StoreError:
    return StoreError(f"{name} exists with other content; nothing is overwritten.")


def _sync_file(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
