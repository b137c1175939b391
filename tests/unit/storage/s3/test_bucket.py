"""What S3 and the way there answer, in words for the operator: one line, without a trace of boto3."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from gatehouse.core.errors import OperatorError, StoreError
from gatehouse.storage.s3 import bucket as module
from gatehouse.storage.s3.bucket import BotoBucket
from tests.support.moto_server import ENVIRONMENT

HEADERS = {"ContentType": "text/plain", "CacheControl": "no-store"}


@pytest.fixture(scope="module", autouse=True)
def credentials() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in ENVIRONMENT.items():
            patch.setenv(name, value)
        yield


@dataclass
class Scripted:
    """A server that answers everything with one error of S3; from request number `good_from` on with success."""

    status: int = 200
    code: str = ""
    good_from: int = 10**6
    seen: list[str] = field(default_factory=list)
    address: str = ""
    once: BotoBucket | None = None

    def says(self, status: int, code: str, *, good_from: int = 10**6) -> None:
        self.status, self.code, self.good_from, self.seen = status, code, good_from, []

    @property
    def bucket(self) -> BotoBucket:
        """A bucket of it that repeats nothing."""
        assert self.once is not None
        return self.once


@pytest.fixture(scope="module")
def server() -> Iterator[Scripted]:
    script = Scripted()

    class Handler(BaseHTTPRequestHandler):
        # The client asks whether to go on before it sends a body; an older server would let it wait for a second.
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            good = len(script.seen) >= script.good_from
            script.seen.append(self.command)
            error = f"<Error><Code>{script.code}</Code><Message>private</Message></Error>"
            body = b"" if good else error.encode()
            self.send_response(200 if good else script.status)
            self.send_header("ETag", '"tag"')
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_PUT = do_POST = answer  # noqa: N815  the names that http.server calls

        def log_message(self, *_: object) -> None:
            """Nothing: a test reads `seen`."""

    listening = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    script.address = f"http://127.0.0.1:{listening.server_port}"
    script.once = BotoBucket("bucket", endpoint=script.address, attempts=1)
    thread = Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield script
    finally:
        listening.shutdown()
        thread.join()
        listening.server_close()


ACTS: dict[str, Callable[[BotoBucket], object]] = {
    "read": lambda bucket: bucket.get("key"),
    "write": lambda bucket: bucket.put("key", b"data", over='"tag"', headers=HEADERS),
    "list": lambda bucket: list(bucket.list("")),
    "delete": lambda bucket: bucket.delete(["key"]),
}


@pytest.mark.parametrize(
    ("status", "code", "words"),
    [
        (404, "NoSuchBucket", "there is no such bucket"),
        (403, "AccessDenied", "these credentials may not"),
        (403, "InvalidAccessKeyId", "access key is not known"),
        (403, "SignatureDoesNotMatch", "secret of the access key is wrong"),
        (400, "ExpiredToken", "credentials have ended"),
        (403, "RequestTimeTooSkewed", "set the clock"),
        (405, "MethodNotAllowed", "read-only"),
        (507, "XMinioStorageFull", "no space is left"),
        (400, "Peculiar", "the store says Peculiar"),
        (400, "<b>", "the store"),
    ],
)
def test_every_refusal_is_one_line_that_says_what_to_mend(
    server: Scripted, status: int, code: str, words: str
) -> None:
    server.says(status, code)
    for act in ACTS.values():
        with pytest.raises(StoreError, match=words) as caught:
            act(server.bucket)
        assert "private" not in caught.value.message
        assert "\n" not in caught.value.message
        assert caught.value.__cause__ is not None


@pytest.mark.parametrize("status", [409, 412])
def test_a_condition_that_does_not_hold_is_an_answer_and_no_error(server: Scripted, status: int) -> None:
    server.says(status, "ConditionalRequestConflict")
    assert server.bucket.put("key", b"data", over=None, headers=HEADERS) is None
    assert server.bucket.put("key", b"data", over='"tag"', headers=HEADERS) is None


def test_a_store_that_fails_is_asked_again_a_few_times(server: Scripted, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0.01)
    bucket = BotoBucket("bucket", endpoint=server.address, attempts=3)
    server.says(503, "SlowDown", good_from=2)
    assert bucket.put("key", b"data", over=None, headers=HEADERS) == '"tag"'
    assert len(server.seen) == 3
    server.says(503, "SlowDown")
    with pytest.raises(StoreError, match="fewer requests"):
        bucket.get("key")
    assert len(server.seen) == 3
    server.says(412, "PreconditionFailed")
    assert bucket.put("key", b"data", over=None, headers=HEADERS) is None
    assert len(server.seen) == 1, "a refusal is not repeated"


def test_a_store_that_is_not_there_is_told() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{unused.getsockname()[1]}"
        bucket = BotoBucket("bucket", endpoint=address, attempts=1)
        for act in ACTS.values():
            with pytest.raises(StoreError, match="cannot be reached"):
                act(bucket)


def test_a_store_that_does_not_answer_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_READ_SECONDS", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        bucket = BotoBucket("bucket", endpoint=f"http://127.0.0.1:{silent.getsockname()[1]}", attempts=1)
        with pytest.raises(StoreError, match="does not answer"):
            bucket.get("key")


def test_without_credentials_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    with pytest.raises(StoreError, match="no credentials"):
        BotoBucket("bucket", endpoint="http://127.0.0.1:9").get("key")


def test_without_boto3_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "find_spec", lambda _: None)
    with pytest.raises(OperatorError, match=r"install gatehouse-index\[s3\]"):
        BotoBucket("bucket")


def test_what_is_not_there_reads_as_none_and_cannot_be_replaced(server: Scripted) -> None:
    server.says(404, "NoSuchKey")
    assert server.bucket.get("key") is None
    assert server.bucket.put("key", b"data", over='"tag"', headers=HEADERS) is None
    with pytest.raises(StoreError, match="NoSuchKey"):
        server.bucket.put("key", b"data", over=None, headers=HEADERS)


def test_files_that_stay_although_the_store_answered_are_told(server: Scripted) -> None:
    server.says(200, "unused")
    answer = {"Errors": [{"Key": "key", "Code": "AccessDenied", "Message": "private"}]}
    client = server.bucket._client
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(client, "delete_objects", lambda **_: answer)
        with pytest.raises(StoreError, match="deleted from the bucket: these credentials may not"):
            server.bucket.delete(["key"])
