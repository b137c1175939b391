"""A child reaches nothing: no network, no file, no process; and each layer holds when the others are missing."""

from __future__ import annotations

import errno
import os
import signal
import socket
import struct
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from gatehouse.malware.model import Outcome
from gatehouse.sandbox import landlock, seccomp
from gatehouse.sandbox.model import Isolation, SandboxUnavailable
from gatehouse.sandbox.screener import ZygoteScreener
from tests.support.sandboxes import children_of, job, misbehaving, outcome, zygote_of
from tests.support.waiting import wait_until

FORBIDDEN = f"the child was killed by signal {signal.SIGSYS:d}: it tried what the sandbox forbids"


@pytest.fixture(scope="module")
def screener() -> Iterator[ZygoteScreener]:
    with misbehaving() as screener:
        yield screener


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    path = tmp_path / "aloe-1.0.tar.gz"
    path.write_bytes(b"bytes")
    path.chmod(0o666)
    tmp_path.chmod(0o777)
    return path


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0)
        yield server


def said(screener: ZygoteScreener, what: str, archive: Path) -> str:
    screened = outcome(screener, what, archive)
    return screened.incomplete_reason or screened.engine_version


def test_the_network_is_kept_away_here(screener: ZygoteScreener) -> None:
    isolation = screener.start()
    assert isolation.network
    assert isolation.landlock == landlock.abi()


def test_every_layer_that_is_missing_has_its_reason(screener: ZygoteScreener) -> None:
    isolation = screener.start()
    missing = [isolation.namespaces, isolation.landlock > 0, isolation.syscalls].count(False)
    assert len(isolation.faults) >= missing


@pytest.mark.parametrize("runner", ["prepare", "only_namespaces", "only_landlock", "only_syscalls"])
def test_no_connection_arrives_whatever_layers_there_are(
    runner: str, archive: Path, listener: socket.socket
) -> None:
    with misbehaving(runner) as screener:
        screened = outcome(screener, f"connect:{listener.getsockname()[1]}", archive)
    assert screened.outcome is Outcome.INCOMPLETE
    with pytest.raises(BlockingIOError):
        listener.accept()


@pytest.mark.parametrize("what", ["socket", "fork", "thread", "execute", "kill-zygote"])
def test_what_no_reader_does_ends_the_child_aloud(screener: ZygoteScreener, archive: Path, what: str) -> None:
    zygote = zygote_of(screener)
    assert said(screener, what, archive) == FORBIDDEN
    assert children_of(zygote) == []
    assert zygote_of(screener) == zygote


@pytest.mark.parametrize(
    ("runner", "refused"), [("prepare", "EPERM"), ("only_landlock", "EACCES"), ("only_syscalls", "EPERM")]
)
def test_no_file_can_be_read_written_or_removed(runner: str, refused: str, archive: Path) -> None:
    other = archive.with_name("other")
    with misbehaving(runner) as screener:
        assert said(screener, "read-file:/etc/passwd", archive) == refused
        assert said(screener, f"read-file:{archive}", archive) == refused
        assert said(screener, "list-folder:/", archive) == refused
        assert said(screener, f"write-file:{other}", archive) == refused
        assert said(screener, f"remove-file:{archive}", archive) == refused
    assert archive.read_bytes() == b"bytes"
    assert not other.exists()


def test_with_namespaces_alone_no_byte_is_written_and_no_process_made(archive: Path) -> None:
    other = archive.with_name("other")
    with misbehaving("only_namespaces") as screener:
        assert said(screener, f"write-file:{other}", archive) in {"EFBIG", "EACCES"}
        assert said(screener, "fork", archive).startswith("the checks failed: BlockingIOError")
    assert not other.exists() or other.read_bytes() == b""


def test_the_archive_cannot_be_written_and_memory_not_be_run(screener: ZygoteScreener, archive: Path) -> None:
    assert said(screener, "write-archive", archive) == "EBADF"
    assert said(screener, "executable-memory", archive) == "EPERM"


def test_a_child_holds_the_null_device_its_archive_and_its_pipe(screener: ZygoteScreener, archive: Path) -> None:
    assert said(screener, "descriptors", archive) == "0 1 2 4 5"


def test_nothing_that_a_child_prints_comes_out(
    screener: ZygoteScreener, archive: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert outcome(screener, "print", archive).outcome is Outcome.CLEAN
    assert capfd.readouterr() == ("", "")


def test_no_secret_of_the_environment_reaches_a_child(archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEHOUSE_ONLINE_KEY", "file:secret")
    with misbehaving() as screener:
        assert set(said(screener, "environment", archive).split()) <= {"LC_CTYPE", "LD_LIBRARY_PATH", "1"}
        assert b"secret" not in Path(f"/proc/{zygote_of(screener)}/cmdline").read_bytes()


def test_a_child_runs_without_rights_in_a_session_of_its_own_and_under_its_limits(archive: Path) -> None:
    with misbehaving() as screener, ThreadPoolExecutor(1) as pool:
        zygote = zygote_of(screener)
        pending = pool.submit(outcome, screener, "sleep", archive)
        wait_until(lambda: len(children_of(zygote)) == 1)
        (child,) = children_of(zygote)
        wait_until(lambda: "Seccomp:\t2" in Path(f"/proc/{child}/status").read_text())
        status = dict(line.split(":\t", 1) for line in Path(f"/proc/{child}/status").read_text().splitlines())
        limits = Path(f"/proc/{child}/limits").read_text()
        assert os.getsid(child) == child
        assert os.getsid(zygote) == zygote
        os.kill(child, signal.SIGKILL)
        pending.result()
    assert int(status["CapEff"], 16) == int(status["CapPrm"], 16) == 0
    assert status["NoNewPrivs"] == "1"
    assert "0" not in status["Uid"].split()
    expected = {"cpu time": 20, "open files": 16, "file size": 0, "core file size": 0, "processes": 0}
    for name, value in expected.items():
        (line,) = [line for line in limits.splitlines() if line.startswith(f"Max {name}")]
        assert line.removeprefix(f"Max {name}").split()[0] == str(value)


def test_without_any_layer_against_the_network_nothing_is_screened(archive: Path) -> None:
    with misbehaving("bare") as screener, pytest.raises(SandboxUnavailable, match="off the network"):
        screener.screen(job(""), archive)


def test_a_layer_that_was_found_and_does_not_come_ends_the_child_before_it_reads(archive: Path) -> None:
    with misbehaving("promised") as screener:
        assert said(screener, "read", archive) == "the child could not be confined, so it read nothing"


def test_one_layer_against_the_network_is_enough_and_none_is_not() -> None:
    assert Isolation(namespaces=True, landlock=0, syscalls=False).network
    assert Isolation(namespaces=False, landlock=0, syscalls=True).network
    assert not Isolation(namespaces=False, landlock=7, syscalls=False).network


ALLOWED, KILLED, REFUSED = 0x7FFF0000, 0x80000000, 0x00050000 | errno.EPERM


def decide(architecture: seccomp.Architecture, number: int, *arguments: int, audit: int | None = None) -> int:
    """What the filter answers a call, by the rules of the kernel's own interpreter."""
    program = list(struct.iter_unpack("=HBBI", seccomp.program(architecture, own_pid=4711)))
    padded = (*arguments, *[0] * (6 - len(arguments)))
    data = struct.pack("=IIQ6Q", number, audit or architecture.audit, 0, *padded)
    at = accumulator = 0
    while True:
        code, if_true, if_false, operand = program[at]
        at += 1
        if code == 0x20:
            (accumulator,) = struct.unpack_from("=I", data, operand)
        elif code == 0x54:
            accumulator &= operand
        elif code == 0x15:
            at += if_true if accumulator == operand else if_false
        else:
            assert code == 0x06
            return int(operand)


@pytest.mark.parametrize("name", seccomp.ARCHITECTURES)
class TestFilter:
    def test_it_allows_computing(self, name: str) -> None:
        machine = seccomp.ARCHITECTURES[name]
        for call in ("read", "write", "pread64", "lseek", "brk", "munmap", "futex", "clock_gettime", "exit_group"):
            assert decide(machine, machine.numbers[call]) == ALLOWED

    def test_it_kills_for_networks_processes_and_programs(self, name: str) -> None:
        machine = seccomp.ARCHITECTURES[name]
        for call in ("socket", "connect", "sendto", "clone", "clone3", "execve", "execveat", "ptrace", "kill"):
            assert decide(machine, machine.numbers[call]) == KILLED

    def test_it_refuses_every_call_that_is_not_named(self, name: str) -> None:
        machine = seccomp.ARCHITECTURES[name]
        for number in set(range(600)) - set(machine.numbers.values()):
            assert decide(machine, number) == REFUSED
        assert decide(machine, 0x40000000 | machine.numbers["read"]) == REFUSED

    def test_it_kills_for_calls_of_another_architecture(self, name: str) -> None:
        machine = seccomp.ARCHITECTURES[name]
        assert decide(machine, machine.numbers["read"], audit=0x40000003) == KILLED

    def test_it_looks_at_arguments_where_they_decide(self, name: str) -> None:
        machine = seccomp.ARCHITECTURES[name]
        assert decide(machine, machine.numbers["mmap"], 0, 4096, 3) == ALLOWED
        assert decide(machine, machine.numbers["mmap"], 0, 4096, 7) == REFUSED
        assert decide(machine, machine.numbers["mprotect"], 0, 4096, 4) == REFUSED
        assert decide(machine, machine.numbers["tgkill"], 4711, 4711, 6) == ALLOWED
        assert decide(machine, machine.numbers["tgkill"], 4710, 4710, 6) == REFUSED
        assert decide(machine, machine.numbers["newfstatat"], 3, 0, 0, 0x1000) == ALLOWED
        assert decide(machine, machine.numbers["newfstatat"], 3, 0, 0, 0) == REFUSED
