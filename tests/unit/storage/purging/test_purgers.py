"""What a purge looks like on the wire, and what becomes of a cache that does not answer or does not want."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from gatehouse.core.errors import OperatorError, StoreError
from gatehouse.gate.ports import Purger
from gatehouse.storage.purging.calls import MOST_BYTES, MOST_KEYS, pieces
from gatehouse.storage.purging.fastly import FastlyPurger, read_token
from gatehouse.storage.purging.varnish import VarnishPurger
from tests.support.purged import PurgeDouble, purge_double

TOKEN = "a-token-of-a-test"
KEYS = ["tuf/timestamp", "simple/example", "simple", "files/example", "tuf/root"]


@pytest.fixture
def double() -> Iterator[PurgeDouble]:
    with purge_double() as ready:
        yield ready


@pytest.fixture
def closed_port() -> Iterator[int]:
    """Bound and not listened on, so that nobody else gets it."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


def fastly(double: PurgeDouble, *, soft: bool = False) -> FastlyPurger:
    return FastlyPurger(service="abc123", token=TOKEN, address=double.url, soft=soft)


class TestFastly:
    """Fastly's API, "Purge multiple surrogate key tags"."""

    def test_one_request_names_the_service_the_token_and_all_keys(self, double: PurgeDouble) -> None:
        fastly(double).purge(KEYS)
        ((method, path, headers),) = double.asked
        assert (method, path) == ("POST", "/service/abc123/purge")
        assert headers["fastly-key"] == TOKEN
        assert headers["surrogate-key"].split() == KEYS
        assert "fastly-soft-purge" not in headers

    def test_softly_go_pages_alone_and_what_must_go_goes_first(self, double: PurgeDouble) -> None:
        fastly(double, soft=True).purge(KEYS)
        (_, _, hard), (_, _, soft) = double.asked
        assert hard["surrogate-key"].split() == ["tuf/timestamp", "files/example", "tuf/root"]
        assert "fastly-soft-purge" not in hard
        assert (soft["surrogate-key"].split(), soft["fastly-soft-purge"]) == (["simple/example", "simple"], "1")

    def test_no_key_is_no_request(self, double: PurgeDouble) -> None:
        fastly(double).purge([])
        assert double.asked == []

    @pytest.mark.parametrize("status", [301, 400, 401, 403, 404, 429, 500, 503])
    def test_a_refusal_says_whose_and_which_and_never_the_token(self, double: PurgeDouble, status: int) -> None:
        double.status = status
        with pytest.raises(StoreError, match=f"Fastly refuses to purge: it answers {status}") as caught:
            fastly(double).purge(KEYS)
        assert TOKEN not in str(caught.value)
        assert len(double.asked) == 1

    def test_a_purge_fits_into_a_request_whatever_its_size(self, double: PurgeDouble) -> None:
        many = [f"files/{'x' * 180}-{number}" for number in range(300)]
        fastly(double).purge(many)
        assert [key for piece in double.keys("surrogate-key") for key in piece] == many


class TestVarnish:
    """PURGE with the keys in `xkey`, to each."""

    def test_every_varnish_is_told(self) -> None:
        with purge_double() as one, purge_double() as other:
            VarnishPurger([one.url, f"{other.url}/"]).purge(KEYS)
            for double in (one, other):
                ((method, path, headers),) = double.asked
                assert (method, path, headers["xkey"].split()) == ("PURGE", "/", KEYS)

    def test_one_that_is_away_keeps_no_other_from_being_told_and_is_named(
        self, double: PurgeDouble, closed_port: int
    ) -> None:
        away = f"http://127.0.0.1:{closed_port}"
        with pytest.raises(StoreError, match=f"Varnish at {away}/ cannot be told of changes"):
            VarnishPurger([away, double.url]).purge(KEYS)
        assert double.keys("xkey") == [KEYS]

    def test_softly_go_pages_alone(self, double: PurgeDouble) -> None:
        VarnishPurger([double.url], soft=True).purge(KEYS)
        assert double.keys("xkey") == [["tuf/timestamp", "files/example", "tuf/root"]]
        assert double.keys("xkey-soft") == [["simple/example", "simple"]]

    def test_a_refusal_is_a_fault(self, double: PurgeDouble) -> None:
        double.status = 403
        with pytest.raises(StoreError, match="it answers 403"):
            VarnishPurger([double.url]).purge(KEYS)


@pytest.mark.parametrize("kind", ["fastly", "varnish"])
def test_nobody_who_hangs_holds_a_purge_for_ever(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gatehouse.storage.purging.calls._TIMEOUT", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        purger: Purger = (
            VarnishPurger([url]) if kind == "varnish" else FastlyPurger(service="a", token=TOKEN, address=url)
        )
        with pytest.raises(StoreError, match="cannot be told of changes: ReadTimeoutError"):
            purger.purge(KEYS)


def test_keys_come_once_and_in_pieces_that_a_header_holds() -> None:
    assert list(pieces(["a", "b", "a"])) == ["a b"]
    assert list(pieces([])) == []
    short, long = [f"k{number}" for number in range(600)], [f"{number}-{'x' * 190}" for number in range(50)]
    for keys in (short, long):
        found = [piece.split() for piece in pieces(keys)]
        assert [key for piece in found for key in piece] == keys
        assert len(found) > 1
        assert all(len(piece) <= MOST_KEYS and len(" ".join(piece)) <= MOST_BYTES for piece in found)


class TestToken:
    def test_it_is_the_one_line_of_a_file_that_its_owner_alone_reads(self, tmp_path: Path) -> None:
        path = tmp_path / "token"
        path.write_text(f"{TOKEN}\n")
        path.chmod(0o600)
        assert read_token(path) == TOKEN

    @pytest.mark.parametrize("content", [b"", b"\n", b"two words", b"two\nlines", b"\xff", b"a\r\nX-Evil: b"])
    def test_a_file_without_one_token_is_refused(self, tmp_path: Path, content: bytes) -> None:
        path = tmp_path / "token"
        path.write_bytes(content)
        path.chmod(0o600)
        with pytest.raises(OperatorError, match="token"):
            read_token(path)

    def test_a_file_that_others_read_is_refused(self, tmp_path: Path) -> None:
        path = tmp_path / "token"
        path.write_text(TOKEN)
        path.chmod(0o640)
        with pytest.raises(OperatorError, match="chmod 600"):
            read_token(path)

    def test_a_missing_file_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(OperatorError, match="absent"):
            read_token(tmp_path / "absent")
