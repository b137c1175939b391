"""A corpus: a folder whose `corpus.toml` says which labelled archives there are and where their bytes lie.

Implements `gate.replay.Archives`. Malicious archives are read from the objects of a git repository, in memory:
they never stand on a disk as a file of their own. A list of tab-separated columns names them: `cluster`,
`path_in_git`, `payload_where`; others may be there. Benign archives are the wheels and sdists of a folder. Paths
are relative to the corpus's own folder.
"""

from __future__ import annotations

import csv
import os
import shutil
import subprocess
import threading
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path, PurePosixPath
from typing import Any, Protocol, Self

from gatehouse.catalog.distribution import parse_distribution_filename
from gatehouse.core.errors import CallerError, NotFound
from gatehouse.core.names import InvalidName, normalize_name
from gatehouse.gate.screen_archives import SUFFIXES
from gatehouse.malware.evaluation.model import Label, Specimen

FILE = "corpus.toml"
_COLUMNS = ("cluster", "path_in_git", "payload_where")
_TABLES: Mapping[str, frozenset[str]] = {
    "malicious": frozenset({"list", "repository", "commit"}),
    "benign": frozenset({"folder"}),
}
_END = 5.0


class _Source(Protocol):
    """Where the bytes of some archives lie."""

    def read(self, name: str) -> bytes:
        """The bytes of an archive."""
        ...

    def close(self) -> None:
        """Let go of what is held."""
        ...


class Corpus:
    """A corpus that is open. `specimens` are all that it has, whatever the split."""

    def __init__(self, name: str, held: Mapping[Specimen, _Source], close: ExitStack) -> None:
        """Take what `open` read."""
        self.name = name
        self.specimens = tuple(held)
        self._held = held
        self._close = close

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Read the lists of a corpus; no archive is read.

        Raises:
            CallerError: the corpus, or a list of it, is not of the form.
        """
        told = _read_toml(folder / FILE)
        held: dict[Specimen, _Source] = {}
        with ExitStack() as opened:
            for entry in _entries(told, "malicious", folder):
                objects = _GitObjects(folder / entry["repository"], entry["commit"])
                opened.callback(objects.close)
                held.update(dict.fromkeys(_listed(folder / entry["list"]), objects))
            for entry in _entries(told, "benign", folder):
                files = _Folder(folder / entry["folder"])
                held.update(dict.fromkeys(files.specimens(), files))
            if not held:
                raise CallerError(f"{folder / FILE} names no archive.")
            return cls(str(told.get("name", folder.name)), held, opened.pop_all())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._close.close()

    def read(self, specimen: Specimen) -> bytes:
        """The bytes of an archive. Any thread may call it.

        Raises:
            NotFound: it is not where its list says.
        """
        return self._held[specimen].read(specimen.name)


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        told = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise CallerError(f"There is no corpus in {path.parent}: {path.name} cannot be read.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise CallerError(f"{path} is not TOML: {error}.") from error
    if unknown := sorted(told.keys() - _TABLES.keys() - {"name"}):
        raise CallerError(f"{path}: {unknown[0]!r} is not known; it may have a name, malicious and benign.")
    return told


def _entries(told: Mapping[str, Any], table: str, folder: Path) -> Iterator[Mapping[str, str]]:
    entries = told.get(table, [])
    keys = _TABLES[table]
    if not isinstance(entries, list):
        raise CallerError(f"{folder / FILE}: {table} is not a list of tables.")
    for entry in entries:
        values = entry.values() if isinstance(entry, dict) and entry.keys() == keys else (None,)
        if not all(isinstance(value, str) for value in values):
            raise CallerError(f"{folder / FILE}: each {table} has exactly these texts: {', '.join(sorted(keys))}.")
        yield entry


def _listed(path: Path) -> Iterator[Specimen]:
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = csv.DictReader(file, delimiter="\t")
            if missing := [column for column in _COLUMNS if column not in (rows.fieldnames or ())]:
                raise CallerError(f"{path} has no column {missing[0]}.")
            for row in rows:
                cluster, name, place = (row[column] for column in _COLUMNS)
                if not (cluster and name and place):
                    raise CallerError(f"{path}, line {rows.line_num}: a column is empty.")
                yield Specimen(label=Label.MALICIOUS, name=name, group=cluster, place=place)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise CallerError(f"The list {path} cannot be read.") from error


class _Folder:
    """Benign archives, as files in a folder and below."""

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise CallerError(f"There is no folder {folder}.")
        self._folder = folder

    def specimens(self) -> Iterator[Specimen]:
        for path in sorted(self._folder.rglob("*")):
            if path.name.endswith(SUFFIXES) and path.is_file():
                yield Specimen(
                    label=Label.BENIGN,
                    name=path.relative_to(self._folder).as_posix(),
                    group=_project(path.name),
                    place="wheel" if path.name.endswith(".whl") else "sdist",
                )

    def read(self, name: str) -> bytes:
        try:
            return (self._folder / name).read_bytes()
        except OSError as error:
            raise NotFound(f"{self._folder / name} cannot be read.") from error

    def close(self) -> None:
        """Nothing is held."""


def _project(filename: str) -> str:
    """The project of an archive, also where its name is not as it should be: what comes before a version."""
    with suppress(CallerError):
        return parse_distribution_filename(filename).project
    stem = filename.removesuffix(".zip").removesuffix(".tar.gz")
    stem = filename.partition("-")[0] if filename.endswith(".whl") else stem.rpartition("-")[0]
    try:
        return normalize_name(stem)
    except InvalidName:
        return filename


class _GitObjects:
    """Archives as objects of a git repository at a commit, by their path in it."""

    def __init__(self, repository: Path, commit: str) -> None:
        git = shutil.which("git")
        if git is None:
            raise CallerError("git is not installed, and the corpus lies in a git repository.")
        if not repository.is_dir() or not commit.isalnum():
            raise CallerError(f"There is no commit {commit!r} in a repository {repository}.")
        self._command = [git, "-C", str(repository), "cat-file", "--batch"]
        self._commit = commit
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None

    def read(self, name: str) -> bytes:
        # A line is a request, so a name with a line's end in it would be two.
        if not name.isprintable() or ".." in PurePosixPath(name).parts:
            raise NotFound(f"{name!r} is no path in a repository.")
        with self._lock:
            process = self._started()
            assert process.stdin is not None and process.stdout is not None  # noqa: S101, PT018 -- both are pipes
            try:
                process.stdin.write(f"{self._commit}:{name}\n".encode())
                process.stdin.flush()
                head = process.stdout.readline().split()
                if head[1:2] != [b"blob"]:
                    raise NotFound(
                        f"{name!r} is not in the repository at {self._commit!r}, or there is no such commit."
                    )
                data = process.stdout.read(int(head[2]) + 1)[:-1]
            except OSError as error:
                raise NotFound(f"git does not read {name!r}.") from error
        if len(data) != int(head[2]):
            raise NotFound(f"git ended while it read {name!r}.")
        return data

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            # An object that is not there is not fetched: nothing here reaches a network.
            environment = {**os.environ, "GIT_NO_LAZY_FETCH": "1"}
            self._process = subprocess.Popen(  # noqa: S603 -- git itself, with a folder that the operator names
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=environment,
            )
        return self._process

    def close(self) -> None:
        if self._process is not None:
            assert self._process.stdin is not None  # noqa: S101 -- it is a pipe
            self._process.stdin.close()
            self._process.wait(_END)
            if self._process.stdout is not None:
                self._process.stdout.close()
