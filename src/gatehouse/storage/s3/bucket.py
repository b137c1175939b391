"""The few things that we ask of a bucket, with its errors in our words.

Every write carries a condition, so that repeating one is harmless: a lost answer is followed by a refusal, and
whoever asked reads what is there. That is why the client may repeat them all, a few times and within seconds.

boto3 comes with the extra `s3`, and is imported when a bucket is opened.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, Protocol

from gatehouse.core.errors import OperatorError, StoreError

_CONNECT_SECONDS = 3
_READ_SECONDS = 10
_ATTEMPTS = 4
#: What S3 lists, or deletes, with one request.
_PAGE = 1000
#: The condition did not hold; or another conditional write of the same object was under way (S3 alone says so).
_REFUSALS = frozenset({409, 412})
_NOT_FOUND = 404

_WORDS = {
    "NoSuchBucket": "there is no such bucket",
    "AccessDenied": "these credentials may not write, read or list there",
    "AllAccessDisabled": "these credentials may not write, read or list there",
    "MethodNotAllowed": "the bucket is read-only",
    "InvalidAccessKeyId": "the access key is not known there",
    "SignatureDoesNotMatch": "the secret of the access key is wrong",
    "ExpiredToken": "the credentials have ended",
    "InvalidToken": "the credentials are not valid",
    "RequestTimeTooSkewed": "the clock of this machine and that of the store differ too much: set the clock",
    "SlowDown": "the store asks for fewer requests",
    "ServiceUnavailable": "the store is not available",
    "InternalError": "the store failed",
    "QuotaExceeded": "no space is left in the bucket",
    "XMinioStorageFull": "no space is left in the store",
    "InsufficientStorage": "no space is left in the store",
    "507": "no space is left in the store",
    "NotImplemented": "the store does not know conditional writes",
    "PermanentRedirect": "the bucket lies in another region",
    "AuthorizationHeaderMalformed": "the bucket lies in another region",
    "NoCredentialsError": "there are no credentials for it",
    "PartialCredentialsError": "the credentials are not whole",
    "EndpointConnectionError": "the store cannot be reached",
    "ConnectTimeoutError": "the store cannot be reached",
    "ReadTimeoutError": "the store does not answer",
    "ConnectionClosedError": "the store does not answer",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Read:
    """An object as it was read: its bytes, and the tag that names this state of it."""

    data: bytes
    tag: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Listed:
    """An object as a listing shows it: `size` in bytes."""

    key: str
    size: int


class Bucket(Protocol):
    """Objects by key. Safe for many threads."""

    def get(self, key: str) -> Read | None:
        """An object; None if there is none.

        Raises:
            StoreError: it cannot be read.
        """
        ...

    def put(self, key: str, data: bytes, *, over: str | None, headers: Mapping[str, str]) -> str | None:
        """Write an object if it is in a certain state.

        Args:
            key: where.
            data: its new content.
            over: the tag of the state to replace; None: there must be no such object.
            headers: `ContentType` and `CacheControl`.

        Returns:
            The new tag; None if the object is in another state, and so perhaps after a repeated request.

        Raises:
            StoreError: it cannot be written, or nobody knows whether it was.
        """
        ...

    def list(self, prefix: str) -> Iterator[Listed]:
        """The objects whose keys begin so and have no slash after that, as a stream.

        Raises:
            StoreError: they cannot be listed.
        """
        ...

    def delete(self, keys: Iterable[str]) -> None:
        """Delete objects; one that is gone is success.

        Raises:
            StoreError: they cannot be deleted; some may be.
        """
        ...


class BotoBucket:
    """A bucket through boto3."""

    def __init__(
        self, name: str, *, endpoint: str = "", attempts: int = _ATTEMPTS, connections: int = 32, page: int = _PAGE
    ) -> None:
        """Open it; nothing is asked of it yet.

        Args:
            name: the bucket.
            endpoint: the address of a store other than AWS. Without it boto3's own settings say where.
            attempts: how often a request is made at most.
            connections: how many requests are under way at most.
            page: how many objects are listed or deleted with one request, at most 1000.

        Raises:
            OperatorError: boto3 is not installed, or its settings are wrong.
        """
        if find_spec("boto3") is None:
            raise OperatorError("Metadata on S3 needs boto3: install gatehouse-index[s3].")
        import boto3  # type: ignore[import-untyped]  # noqa: PLC0415  ships no types; only whoever uses S3 has it
        from botocore.config import Config  # type: ignore[import-untyped]  # noqa: PLC0415  as above
        from botocore.exceptions import BotoCoreError, ClientError  # type: ignore[import-untyped] # noqa: PLC0415

        self._name = name
        self._page = page
        self._refused = ClientError
        self._failed = (BotoCoreError, ValueError)
        with self._translated("The metadata bucket cannot be opened"):
            self._client: Any = boto3.session.Session().client(
                "s3",
                endpoint_url=endpoint or None,
                config=Config(
                    connect_timeout=_CONNECT_SECONDS,
                    read_timeout=_READ_SECONDS,
                    retries={"mode": "standard", "total_max_attempts": attempts},
                    max_pool_connections=connections,
                    # The store proves the bytes by the signature's hash, which every kind of store does; the
                    # newer checksums are unknown to some.
                    request_checksum_calculation="when_required",
                    response_checksum_validation="when_required",
                    s3={"payload_signing_enabled": True, "addressing_style": "path" if endpoint else "auto"},
                ),
            )

    def get(self, key: str) -> Read | None:
        """An object; None if there is none."""
        with self._translated("The metadata bucket cannot be read"):
            try:
                answer = self._client.get_object(Bucket=self._name, Key=key)
                with answer["Body"] as body:
                    return Read(data=body.read(), tag=answer["ETag"])
            except self._refused as error:
                if _status(error) == _NOT_FOUND and _code(error) != "NoSuchBucket":
                    return None
                raise

    def put(self, key: str, data: bytes, *, over: str | None, headers: Mapping[str, str]) -> str | None:
        """Write an object if it is in a certain state; None if it is not."""
        condition = {"IfNoneMatch": "*"} if over is None else {"IfMatch": over}
        with self._translated("The metadata bucket cannot be written"):
            try:
                answer = self._client.put_object(Bucket=self._name, Key=key, Body=data, **condition, **headers)
            except self._refused as error:
                # A state to replace that is not there at all is "not found" to S3.
                gone = over is not None and _status(error) == _NOT_FOUND and _code(error) != "NoSuchBucket"
                if gone or _status(error) in _REFUSALS:
                    return None
                raise
            tag: str = answer["ETag"]
            return tag

    def list(self, prefix: str) -> Iterator[Listed]:
        """The objects whose keys begin so and have no slash after that, as a stream."""
        with self._translated("The metadata bucket cannot be listed"):
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self._name, Prefix=prefix, Delimiter="/", PaginationConfig={"PageSize": self._page}
            )
            for page in pages:
                for item in page.get("Contents", ()):
                    yield Listed(key=item["Key"], size=item["Size"])

    def delete(self, keys: Iterable[str]) -> None:
        """Delete objects; one that is gone is success."""
        wanted = list(keys)
        with self._translated("Metadata cannot be deleted from the bucket"):
            for start in range(0, len(wanted), self._page):
                objects = [{"Key": key} for key in wanted[start : start + self._page]]
                answer = self._client.delete_objects(Bucket=self._name, Delete={"Objects": objects, "Quiet": True})
                if errors := answer.get("Errors"):
                    reason = _words(errors[0].get("Code", ""))
                    raise StoreError(f"Metadata cannot be deleted from the bucket: {reason}.")

    @contextmanager
    def _translated(self, what: str) -> Iterator[None]:
        try:
            yield
        except self._refused as error:
            raise StoreError(f"{what}: {_words(_code(error))}.") from error
        except self._failed as error:
            raise StoreError(f"{what}: {_words(type(error).__name__)}.") from error
        except OSError as error:
            raise StoreError(f"{what}: the connection broke.") from error


def _code(error: Exception) -> str:
    return str(_response(error).get("Error", {}).get("Code", ""))


def _status(error: Exception) -> int:
    return int(_response(error).get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def _response(error: Exception) -> Mapping[str, Any]:
    answer: Mapping[str, Any] = error.response  # type: ignore[attr-defined]  # every ClientError has it
    return answer


def _words(code: str) -> str:
    # A foreign store's own word is shown only if it is one.
    known = re.fullmatch(r"[A-Za-z0-9]{1,60}", code)
    return _WORDS.get(code) or (f"the store says {code}" if known else "the store refused")
