"""A recording on disk: what goes in comes out, and what is damaged says so in one sentence."""

from __future__ import annotations

import errno
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from gatehouse.conformance.folder import RecordingFolder, save
from gatehouse.conformance.recording import BadRecording, Recording, State
from tests.support.faults import failing
from tests.support.synthetic import PATHS, START, Synthetic


@pytest.fixture(scope="module")
def recording() -> Recording:
    made = Synthetic()
    made.put(PATHS[0])
    made.sign_bins("A")
    made.announce("A")
    made.collect(["1.bin-0.json"])
    made.lapsed = True
    made.wait(timedelta(days=8))
    made.note("lapsed")
    return made.recording()


@pytest.fixture
def folder(recording: Recording, tmp_path: Path) -> Path:
    save(recording, tmp_path / "recording")
    return tmp_path / "recording"


def test_what_is_saved_is_loaded(recording: Recording, folder: Path) -> None:
    seen = replace(recording.states[-1], until=recording.states[-1].moment + timedelta(minutes=3))
    RecordingFolder(folder).seen(seen.moment + timedelta(minutes=3))
    loaded = RecordingFolder(folder).load()

    assert loaded.states == (*recording.states[:-1], seen)
    assert (loaded.root, loaded.paths, loaded.complete) == (recording.root, recording.paths, recording.complete)
    assert {digest: loaded.objects[digest] for digest in loaded.objects} == dict(recording.objects)


def test_withdrawn_targets_are_kept_in_mind(recording: Recording, tmp_path: Path) -> None:
    taken_back = replace(recording.states[0], withdrawn=frozenset({PATHS[0]}))
    save(replace(recording, states=(taken_back,)), tmp_path / "recording")
    assert RecordingFolder(tmp_path / "recording").load().states == (taken_back,)


def test_a_line_that_a_crash_cut_off_never_was(recording: Recording, folder: Path) -> None:
    lines = folder / "states.jsonl"
    whole = lines.read_bytes()
    for cut in (1, 10, len(whole.splitlines()[-1])):
        lines.write_bytes(whole[:-cut])
        assert RecordingFolder(folder).load().states == recording.states[:-1]

    # The next line takes its place.
    RecordingFolder(folder).append(recording.states[-2], recording.states[-1], recording.objects)
    assert RecordingFolder(folder).load().states == recording.states


def test_a_full_disk_leaves_the_recording_as_it_was(
    recording: Recording, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    newer = State(moment=START + timedelta(days=99), label="newer", files={"metadata/timestamp.json": "0" * 64})
    with failing(monkeypatch, "fsync", errno.ENOSPC), pytest.raises(BadRecording, match="No space left"):
        RecordingFolder(folder).append(recording.states[-1], newer, {"0" * 64: b"more"})
    assert RecordingFolder(folder).load().states == recording.states


def test_an_altered_object_is_named(folder: Path) -> None:
    loaded = RecordingFolder(folder).load()
    digest = loaded.states[0].files["metadata/timestamp.json"]
    (folder / "objects" / digest).write_bytes(b"{}")
    with pytest.raises(BadRecording, match=rf"object {digest} has other content"):
        loaded.objects[digest]
    (folder / "objects" / digest).unlink()
    with pytest.raises(BadRecording, match=rf"object {digest} cannot be read: No such file"):
        loaded.objects[digest]


def _first(change: Callable[[dict[str, object]], None]) -> Callable[[list[bytes]], list[bytes]]:
    def changed(lines: list[bytes]) -> list[bytes]:
        line = json.loads(lines[1])
        change(line)
        return [lines[0], json.dumps(line).encode(), *lines[2:]]

    return changed


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda lines: [b"{}", *lines[1:]], "Line 1 .*does not begin a recording"),
        (lambda lines: [b"[" * 100_000, *lines[1:]], "Line 1 .*cannot be read"),
        (lambda lines: [lines[0], b"\xff", *lines[1:]], "Line 2 .*cannot be read"),
        (lambda lines: [lines[0], b'{"seen": "2030-01-01T00:00:00Z"}'], "Line 2 .*cannot be read"),
        (_first(lambda line: line.update(moment="yesterday")), "Line 2 .*yesterday"),
        (_first(lambda line: line.update(moment="2030-01-01T00:00:00")), "Line 2 .*no time zone"),
        (_first(lambda line: line.update(gone=["metadata/9.root.json"])), r"Line 2 .*9\.root\.json"),
        (_first(lambda line: line.update(put={"metadata/timestamp.json": "../../etc/passwd"})), "is no SHA-256"),
        (_first(lambda line: line.update(expected={"a": {"hashes": 7}})), "Line 2 .*cannot be read"),
        (lambda lines: [*lines[:2], lines[1].replace(b"2031", b"2029")], "State 1 .*older than the one before"),
        (lambda lines: lines[:1], "holds no state"),
        (lambda _lines: [], "is empty"),
    ],
)
def test_a_damaged_recording_is_one_clear_error(
    folder: Path, damage: Callable[[list[bytes]], list[bytes]], said: str
) -> None:
    path = folder / "states.jsonl"
    path.write_bytes(b"".join(line + b"\n" for line in damage(path.read_bytes().splitlines())))
    with pytest.raises(BadRecording, match=said) as error:
        RecordingFolder(folder).load()
    assert "\n" not in error.value.message


def test_no_recording_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(BadRecording, match=r"There is no recording in .*: No such file"):
        RecordingFolder(tmp_path / "nowhere").load()


def test_a_recording_begins_in_an_empty_folder(recording: Recording, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(BadRecording, match="is not empty"):
        save(recording, tmp_path)
    assert (tmp_path / "thesis.tex").read_text() == "years of work"


def test_two_observers_do_not_write_into_one_recording(folder: Path) -> None:
    with (
        RecordingFolder(folder).owned(),
        pytest.raises(BadRecording, match="Another observer"),
        RecordingFolder(folder).owned(),
    ):
        pytest.fail("both own it")
