"""Any repository can be recorded over http and tried: `gatehouse tuf observe`, `gatehouse tuf conformance`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from gatehouse.cli import main
from gatehouse.conformance.folder import RecordingFolder, save
from gatehouse.conformance.recording import BadRecording
from tests.support.live_repository import LiveRepository, live
from tests.support.synthetic import PATHS, Synthetic

METADATA, TIMESTAMP = "metadata/", "metadata/timestamp.json"


class Watch:
    """A live repository, and the command that looks at it."""

    def __init__(self, made: Synthetic, app: LiveRepository, url: str, folder: Path) -> None:
        self.made, self.app, self.url = made, app, url
        self.out = folder / "recording"
        self.root = folder / "root.json"
        self.root.write_bytes(made.recorder.root)

    def observe(self, *more: str) -> Result:
        self.app.asked.clear()
        words = ["--metadata-url", f"{self.url}metadata", "--targets-url", f"{self.url}targets/"]
        words += ["--root", str(self.root), "--out", str(self.out)]
        for path in PATHS:
            words += ["--path", path]
        return CliRunner().invoke(main, ["tuf", "observe", *words, *more])

    def upload(self, path: str, edition: int = 1) -> None:
        self.made.put(path, edition)
        self.made.sign_bins("A")
        self.made.announce("A")

    def play(self, *more: str) -> Result:
        return conformance(self.out, *more)


def conformance(folder: Path, *more: str) -> Result:
    return CliRunner().invoke(main, ["tuf", "conformance", str(folder), *more])


@pytest.fixture
def watch(tmp_path: Path) -> Iterator[Watch]:
    # Valid at the moment of the test, which observing needs.
    made = Synthetic(life=timedelta(days=36500))
    with live(made.recorder, tmp_path / "server") as (app, url):
        yield Watch(made, app, url, tmp_path)


def test_a_repository_is_recorded_state_by_state_and_tried(watch: Watch) -> None:
    watch.upload(PATHS[0])
    first = watch.observe()
    assert first.exit_code == 0, first.output
    assert re.search(
        r"^20\S+ \S+ UTC  state 0: timestamp 2, snapshot 2, 1 targets found$", first.output, re.MULTILINE
    )

    watch.upload(PATHS[0], 2)
    watch.made.root("AB")
    watch.upload(PATHS[1])
    assert "state 1: timestamp 4, snapshot 4, 2 targets found" in watch.observe().output

    played = watch.play()
    assert played.exit_code == 0, played.output
    table = {line.split()[0]: line.split()[1:] for line in played.output.splitlines()}
    assert table["fresh"] == ["2", "2", "0", "0"]
    assert table["switch"] == ["2", *table["switch"][1:2], "0", "0"]
    assert int(table["heals"][1]) > 40
    assert re.search(
        r"^2 states, \d+ plays \(\d+ different sessions\) in \S+ s, \S+ a second\.$", played.output, re.MULTILINE
    )


def test_a_quiet_repository_is_asked_twice_a_look(watch: Watch) -> None:
    watch.upload(PATHS[0])
    watch.observe()
    again = watch.observe()
    assert (again.exit_code, again.output) == (0, "")
    assert watch.app.asked == [TIMESTAMP, "metadata/2.root.json"]

    (state,) = RecordingFolder(watch.out).load().states
    assert state.until is not None
    assert state.until > state.moment
    assert "lasting" in watch.play("--law", "lasting").output


def test_it_is_noted_how_long_a_state_was_served(watch: Watch) -> None:
    watch.upload(PATHS[0])
    assert watch.observe("--every", "1s", "--for", "2s").exit_code == 0
    watch.upload(PATHS[1])
    watch.observe()
    first, second = RecordingFolder(watch.out).load().states
    assert first.until is not None
    assert first.moment < first.until < second.moment


def test_a_new_root_alone_is_a_new_state(watch: Watch) -> None:
    watch.upload(PATHS[0])
    watch.observe()
    watch.made.root("AB")
    assert "state 1: timestamp 2" in watch.observe().output


def test_files_that_went_too_early_are_found(watch: Watch) -> None:
    """The observer asks again for what a session of the state before may still need."""
    watch.upload(PATHS[0])
    watch.observe()
    watch.upload(PATHS[1])
    watch.made.collect(["2.snapshot.json"])
    watch.observe()
    assert f"{METADATA}2.snapshot.json" in watch.app.asked

    played = watch.play()
    assert played.exit_code == 1
    broken = r"^switch: .*from request 2 on: .*there is no metadata/2.snapshot.json"
    assert re.search(broken, played.output, re.MULTILINE)


def test_what_a_new_client_refuses_is_recorded_as_it_is(watch: Watch) -> None:
    watch.upload(PATHS[0])
    watch.observe()
    watch.made.timestamp("B")
    refused = watch.observe()
    assert refused.exit_code == 1
    assert "REFUSED  UnsignedMetadataError: timestamp was signed by 0/1 keys" in refused.output

    played = watch.play()
    assert played.exit_code == 1
    assert "fresh: a new client met state 1 (timestamp 3, snapshot 2; a new client was refused)" in played.output


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (("500 Internal Server Error", [], b""), "answered with 500"),
        (("302 Found", [("Location", "ftp://files.invalid/x")], b""), "less safe"),
        (("302 Found", [("Location", "/metadata/timestamp.json")], b""), "redirected more than"),
        (("200 OK", [], b"x" * 20_000), "DownloadLengthMismatchError"),
    ],
)
def test_a_server_that_cannot_be_asked_is_one_line_and_no_state(
    watch: Watch, answer: tuple[str, list[tuple[str, str]], bytes], said: str
) -> None:
    watch.upload(PATHS[0])
    watch.observe()
    watch.app.says[TIMESTAMP] = answer
    result = watch.observe()
    assert (result.exit_code, len(result.output.splitlines())) == (2, 1)
    assert said in result.output
    assert len(RecordingFolder(watch.out).load().states) == 1


def test_nobody_there_is_one_line(watch: Watch) -> None:
    watch.url = "http://127.0.0.1:9/"
    result = watch.observe()
    assert (result.exit_code, len(result.output.splitlines())) == (2, 1)
    assert "could not be walked" in result.output
    with pytest.raises(BadRecording, match="holds no state"):
        RecordingFolder(watch.out).load()


def test_watching_goes_on_while_the_server_is_away(watch: Watch) -> None:
    watch.upload(PATHS[0])
    watch.app.says[TIMESTAMP] = ("503 Service Unavailable", [], b"")
    result = watch.observe("--every", "1s", "--for", "2s")
    assert result.exit_code == 0
    assert result.output.count("Looking again later.") >= 2


def test_a_recording_keeps_its_root_and_paths(watch: Watch) -> None:
    watch.upload(PATHS[0])
    watch.observe()
    result = watch.observe("--path", "another/path")
    assert (result.exit_code, len(result.output.splitlines())) == (2, 1)
    assert "another root or other paths" in result.output


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--metadata-url", "ftp://index.invalid/"], "is not the http or https URL"),
        (["--metadata-url", "http://index.invalid/?token=1"], "is not the http or https URL"),
        (["--root", "/nowhere/root.json"], "Cannot read the root"),
        (["--every", "0s"], "is no span of time"),
        (["--every", "often"], "is no span of time"),
    ],
)
def test_misuse_is_told(watch: Watch, words: list[str], said: str) -> None:
    result = watch.observe(*words)
    assert result.exit_code == 2
    assert said in result.output


def test_a_root_that_is_none_is_refused(watch: Watch) -> None:
    watch.root.write_bytes(b"hello")
    result = watch.observe()
    assert (result.exit_code, result.output) == (
        2,
        "gatehouse: The root to trust first is no TUF root metadata.\n",
    )


# --- the other command -------------------------------------------------------------------------------------------


def test_a_sample_says_how_much_of_what_was_tried(tmp_path: Path) -> None:
    made = Synthetic()
    for edition in range(1, 5):
        made.put(PATHS[0], edition)
        made.sign_bins("A")
        made.announce("A")
    save(made.recording(), tmp_path / "recording")
    result = conformance(tmp_path / "recording", "--sample", "10", "--seed", "3")
    assert result.exit_code == 0, result.output
    assert re.search(r"^switch +10 of \d+ ", result.output, re.MULTILINE)
    assert result.output.splitlines()[-1].endswith("; sampled with seed 3.")


def test_every_law_is_told() -> None:
    result = CliRunner().invoke(main, ["tuf", "conformance", "--laws"])
    assert result.exit_code == 0
    assert re.search(r"^resting +A client that holds any earlier state", result.output, re.MULTILINE)


def test_an_unknown_law_and_an_empty_recording_are_misuse(watch: Watch, tmp_path: Path) -> None:
    watch.upload(PATHS[0])
    watch.observe()
    unknown = watch.play("--law", "gravity")
    assert (unknown.exit_code, len(unknown.output.splitlines())) == (2, 1)
    assert "no law 'gravity'; there are altered, drift" in unknown.output
    nothing = watch.play("--law", "switch")
    assert (nothing.exit_code, nothing.output) == (
        2,
        "gatehouse: The recording gives these laws nothing to try.\n",
    )
    nowhere = conformance(tmp_path / "nowhere")
    assert (nowhere.exit_code, len(nowhere.output.splitlines())) == (2, 1)


def test_what_a_repository_serves_cannot_steer_the_terminal(tmp_path: Path) -> None:
    made = Synthetic()
    made.put(PATHS[0])
    made.sign_bins("A")
    made.announce("A")
    made.recorder.state(made.now, "an \x1b[2J escape", dict.fromkeys(PATHS))
    save(made.recording(), tmp_path / "recording")
    result = conformance(tmp_path / "recording")
    assert result.exit_code == 1
    (told,) = (line for line in result.output.splitlines() if "escape" in line)
    assert told.startswith(
        r"written-once: state 5 (an \x1b[2J escape): the same timestamp is expected to mean other"
    )
