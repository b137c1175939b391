"""Settings: read once at the start from the environment and a TOML file, then frozen.

Every name is `GATEHOUSE_<FIELD>` in the environment and `<field>` in the file that `GATEHOUSE_CONFIG` names;
the environment wins. An unknown or wrong setting stops the start with one line that names it.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from gatehouse.core.errors import SettingsError
from gatehouse.gate.policy import PublishPolicy, WhenScreeningFails

PREFIX = "GATEHOUSE_"
CONFIG = "GATEHOUSE_CONFIG"
_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_SIZES = {"": 1, "k": 1024, "m": 1024**2, "g": 1024**3}
_SIZE = re.compile(r"(\d+)([kmg]?)", re.IGNORECASE)
_S3 = re.compile(
    r"s3://(?P<bucket>[a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?P<prefix>(?:/(?!\.{1,2}(?:/|$))[A-Za-z0-9!_.*'()-]+)*)/?",
    re.ASCII,
)


def _duration(value: object) -> object:
    if not isinstance(value, str):
        return value
    match = _DURATION.fullmatch(value.strip())
    if match is None:
        raise ValueError("give a number and a unit, such as 500ms, 30s, 15m, 12h or 7d")
    return timedelta(seconds=float(match[1]) * _UNITS[match[2]])


def _size(value: object) -> object:
    if not isinstance(value, str):
        return value
    match = _SIZE.fullmatch(value.strip())
    if match is None:
        raise ValueError("give bytes, or a number with K, M or G")
    return int(match[1]) * _SIZES[match[2].lower()]


Duration = Annotated[timedelta, BeforeValidator(_duration)]
Size = Annotated[int, BeforeValidator(_size)]


class Settings(BaseModel):
    """All that an operator can set."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    home: Path = Field(
        default=Path("gatehouse-data"),
        description="The folder of the embedded state: database, blobs, metadata and keys.",
    )
    host: str = Field(default="127.0.0.1", description="The address to listen on.")
    port: int = Field(default=6458, ge=0, le=65535, description="The port to listen on; 0 takes a free one.")
    public_url: str = Field(
        default="",
        description="Where users reach this index. Without it: the address and port it listens on.",
    )
    database_url: str = Field(
        default="",
        description="An SQLAlchemy URL, `sqlite:///…` or `postgresql://…` (extra `postgres`). "
        "Without it: `gatehouse.db` in the home.",
    )
    blobs: str = Field(
        default="",
        description="The folder that holds files and pages by digest. Without it: `blobs` in the home.",
    )
    metadata: str = Field(
        default="",
        description="What holds the TUF metadata: a folder, or `s3://bucket/prefix` (extra `s3`). Without it: "
        "`tuf/metadata` in the home.",
    )
    metadata_s3_endpoint: str = Field(
        default="",
        description="The address of a store other than AWS that speaks S3. Without it, and for credentials and "
        "region: what boto3 finds, as in `AWS_ENDPOINT_URL_S3` and `AWS_ACCESS_KEY_ID`.",
    )
    online_key: str = Field(
        default="",
        description="The signer of every online role, as a URI: a path or `file2:` (PEM file), `awskms:`, "
        "`gcpkms:`, `azurekms:`, `hv:` (Vault), `hsm:`. Without it: `keys/online.pem` in the home.",
    )
    key_timestamp: str = Field(default="", description="The signer of the timestamp, instead of `online_key`.")
    key_snapshot: str = Field(default="", description="The signer of the snapshot, instead of `online_key`.")
    key_bins: str = Field(default="", description="The signer of the hash bins, instead of `online_key`.")
    token_secret_file: str = Field(
        default="",
        description="The file with the secret from which upload tokens are derived; never in the database. "
        "Without it: `keys/tokens.key` in the home.",
    )
    expiry_timestamp: Duration = Field(
        default=timedelta(days=1), description="How long a timestamp is valid (PEP 458: one day)."
    )
    expiry_snapshot: Duration = Field(
        default=timedelta(days=1), description="How long a snapshot is valid (PEP 458: one day)."
    )
    expiry_bins: Duration = Field(
        default=timedelta(days=1), description="How long a hash bin is valid (PEP 458: one day)."
    )
    publish_delay: Duration = Field(
        default=timedelta(milliseconds=20),
        description="How long the publisher waits for more changes to put into one publication.",
    )
    lease_seconds: Duration = Field(
        default=timedelta(seconds=5),
        description="How long a publisher that fell silent keeps others waiting.",
    )
    root_grace: Duration = Field(
        default=timedelta(hours=1),
        description="How long a cache may deny that there is a newer root: until then a key that the older root "
        "does not know signs nothing. `0s` when keys were cut without overlap and that cannot wait.",
    )
    publish_policy: PublishPolicy = Field(
        default=PublishPolicy.SCREEN_THEN_PUBLISH,
        description="When an accepted file becomes visible: `screen_then_publish` (nothing is visible before its "
        "screening has ended) or `publish_then_screen` (visible at once, taken back if need be).",
    )
    when_screening_fails: WhenScreeningFails = Field(
        default=WhenScreeningFails.HOLD,
        description="What a screening that stays incomplete means for the file: `hold` or `publish_and_alarm`.",
    )
    screening_slots: int = Field(
        default=2,
        ge=0,
        le=64,
        description="How many files a process screens at once; 0 leaves it to `gatehouse worker` elsewhere. A "
        "server with a `broker_url` screens no uploads itself.",
    )
    broker_url: str = Field(
        default="",
        description="The Redis that wakes workers on other machines, `redis://…` (extra `redis`); it needs a "
        "`database_url`. Without it: whoever screens looks at the database each second.",
    )
    worker_memory: Size = Field(
        default=512 * 1024**2,
        ge=64 * 1024**2,
        description="How much memory a `gatehouse worker` may have itself, in bytes (or with K, M, G). One that "
        "has more finishes what it has in hand and ends, so that another takes its place.",
    )
    screening_seconds: Duration = Field(
        default=timedelta(seconds=30), description="How long the screening of one file may take."
    )
    check_packs: str = Field(
        default="",
        description="The packs whose checks run beside Gatehouse's own: names of installed distributions, with "
        "spaces between several. Without it none does, whatever is installed.",
    )
    backfill_slots: int = Field(
        default=1,
        ge=0,
        le=64,
        description="How many files the server screens at once for runs over all that the index holds; "
        "0 leaves all of that to `gatehouse checks run work`.",
    )
    check_alarms_a_day: int = Field(
        default=100,
        ge=1,
        description="How many subjects one check may bring to the queue within a day before it loses a tier. "
        "Of one account no more than a tenth of them count, and none that people removed.",
    )
    uploads_a_day: int = Field(
        default=20_000,
        ge=1,
        description="How many files come in a day, about: with the next two it says where the tiers begin "
        "(`gatehouse checks budget`). The default is about what PyPI takes.",
    )
    queue_a_day: float = Field(
        default=20,
        ge=0,
        description="How many honest files a day may wait at the queue or above, among so many uploads.",
    )
    alerts_a_day: float = Field(
        default=2, ge=0, description="How many honest files a day may cause an alert or be held, likewise."
    )
    max_file_size: Size = Field(
        default=100 * 1024**2, gt=0, description="The largest file to accept, in bytes (or with K, M, G)."
    )
    purge_kind: Literal["", "fastly", "varnish"] = Field(
        default="",
        description="The cache in front that is told of every change, `fastly` or `varnish`. Without it: none is.",
    )
    purge_url: str = Field(
        default="",
        description="Where purges go: the address of each Varnish, with spaces between several; for Fastly the "
        "address of its API. Without it: Fastly's own.",
    )
    purge_service: str = Field(default="", description="The id of the service at Fastly.")
    purge_token_file: str = Field(
        default="",
        description="The file with the token that purges at Fastly; it needs the scope `purge_select` alone.",
    )
    purge_soft: bool = Field(
        default=False,
        description="Whether pages that changed may be handed out once more while they are fetched anew. Files "
        "that left the index never are.",
    )
    edge_lifetime: Duration = Field(
        default=timedelta(hours=1),
        description="How long a cache that is told of changes may hold a page: the longest that an old page "
        "outlives a purge gone astray.",
    )
    metadata_grace: Duration = Field(
        default=timedelta(hours=1),
        description="How long metadata and pages that were replaced stay for clients in the middle of a session.",
    )
    metadata_snapshots: int = Field(
        default=10, ge=1, le=100_000, description="How many of the last snapshots stay whole, however old."
    )
    metadata_archive: str = Field(
        default="",
        description="The folder that gets an archive of all metadata once a day, never deleted by "
        "us. Without it: none is written.",
    )
    keep_removed_files: bool = Field(
        default=True,
        description="Whether the bytes of removed files stay, unserved, as evidence and so that a removal "
        "can be taken back. If not, they are deleted with the decision.",
    )
    threads: int = Field(default=8, ge=1, le=256, description="How many requests are worked on at once.")
    slow_sender_grace: Duration = Field(
        default=timedelta(seconds=30),
        description="How long a request may take before its sender must keep up `slow_sender_rate`.",
    )
    slow_sender_rate: Size = Field(
        default=1024, ge=1, description="The least bytes a second, on average, that a sender must keep up."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="The least level of what is logged."
    )

    @field_validator("expiry_timestamp", "expiry_snapshot", "expiry_bins")
    @classmethod
    def _expiry(cls, value: timedelta) -> timedelta:
        if not timedelta(seconds=10) <= value <= timedelta(days=365):
            raise ValueError("must lie between 10s and 365d")
        return value

    @field_validator("publish_delay", "lease_seconds", "slow_sender_grace", "screening_seconds")
    @classmethod
    def _short(cls, value: timedelta) -> timedelta:
        if not timedelta(0) <= value <= timedelta(hours=1):
            raise ValueError("must lie between 0s and 1h")
        return value

    @field_validator("edge_lifetime", "metadata_grace", "root_grace")
    @classmethod
    def _edge(cls, value: timedelta) -> timedelta:
        if not timedelta(0) <= value <= timedelta(days=30):
            raise ValueError("must lie between 0s and 30d")
        return value

    @field_validator("purge_url")
    @classmethod
    def _purge_url(cls, value: str) -> str:
        for address in value.split():
            if not re.fullmatch(r"https?://[^\s/?#\"'<>\\@]+(/[^\s?#\"'<>\\]*)?", address):
                raise ValueError(f"{address[:80]!r} must begin with http:// or https:// and name a host alone")
        return value

    @field_validator("purge_service")
    @classmethod
    def _service(cls, value: str) -> str:
        if not re.fullmatch(r"[A-Za-z0-9]{0,64}", value):
            raise ValueError("must have letters and digits alone")
        return value

    @field_validator("check_packs")
    @classmethod
    def _packs(cls, value: str) -> str:
        for name in value.split():
            if not re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,98}[A-Za-z0-9])?", name):
                raise ValueError(f"{name[:80]!r} cannot be the name of a distribution")
        return value

    @field_validator("database_url")
    @classmethod
    def _database(cls, value: str) -> str:
        try:
            known = not value or make_url(value).get_backend_name() in {"sqlite", "postgresql"}
        except ArgumentError:
            known = False
        if not known:
            raise ValueError("must be a URL that begins with sqlite:/// or postgresql://")
        return value

    @field_validator("broker_url")
    @classmethod
    def _broker(cls, value: str) -> str:
        if value and not re.fullmatch(r"(rediss?://[^\s]+|redis\+socket:///[^\s]+)", value):
            raise ValueError("must be a URL that begins with redis://, rediss:// or redis+socket:///")
        return value

    @field_validator("blobs", "metadata_archive")
    @classmethod
    def _folder(cls, value: str) -> str:
        if "://" in value:
            raise ValueError("must be a folder; buckets are not supported yet")
        return value

    @field_validator("metadata")
    @classmethod
    def _metadata(cls, value: str) -> str:
        if "://" in value and not _S3.fullmatch(value):
            raise ValueError("must be a folder or s3://bucket/prefix")
        return value

    @field_validator("metadata_s3_endpoint")
    @classmethod
    def _endpoint(cls, value: str) -> str:
        if value and not re.fullmatch(r"https?://[^\s/?#\"'<>\\@]+/?", value):
            raise ValueError("must begin with http:// or https:// and name a host alone")
        return value

    @field_validator("public_url")
    @classmethod
    def _url(cls, value: str) -> str:
        if value and not re.fullmatch(r"https?://[^\s/?#\"'<>\\]+(/[^\s?#\"'<>\\]*)?", value):
            raise ValueError("must begin with http:// or https:// and name a host, without query or fragment")
        return value.rstrip("/")

    # What follows is derived from the fields; defaults that lie in the home are made here and nowhere else.

    @property
    def packs(self) -> tuple[str, ...]:
        """The packs of checks that are allowed."""
        return tuple(dict.fromkeys(self.check_packs.split()))

    @property
    def database(self) -> str:
        """The database URL in force."""
        return self.database_url or f"sqlite:///{self.home.absolute() / 'gatehouse.db'}"

    @property
    def embedded(self) -> bool:
        """Whether all state lies in the home, so that one process may set it up and own it."""
        return not self.database_url

    @property
    def blobs_folder(self) -> Path:
        """Where blobs lie."""
        return Path(self.blobs) if self.blobs else self.home / "blobs"

    @property
    def metadata_s3(self) -> S3Address | None:
        """Where TUF metadata lies, if that is a bucket."""
        match = _S3.fullmatch(self.metadata)
        return None if match is None else S3Address(bucket=match["bucket"], prefix=match["prefix"].strip("/"))

    @property
    def metadata_place(self) -> str:
        """Where TUF metadata lies, for people."""
        return self.metadata if self.metadata_s3 else str(self.metadata_folder)

    @property
    def metadata_folder(self) -> Path:
        """Where TUF metadata lies, if that is a folder."""
        return Path(self.metadata) if self.metadata else self.home / "tuf" / "metadata"

    @property
    def keys_folder(self) -> Path:
        """Where the development ceremony puts keys."""
        return self.home / "keys"

    @property
    def token_secret_path(self) -> Path:
        """The file with the secret of the upload tokens."""
        return Path(self.token_secret_file) if self.token_secret_file else self.keys_folder / "tokens.key"

    def signer_uri(self, role: Literal["timestamp", "snapshot", "bins"]) -> str:
        """The signer of an online role, as a URI."""
        own: str = getattr(self, f"key_{role}")
        return own or self.online_key or f"file2:{(self.keys_folder / 'online.pem').absolute()}"

    def url(self, port: int | None = None) -> str:
        """Where users reach this index; `port` is the one really listened on."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return self.public_url or f"http://{host}:{port or self.port}"

    @property
    def listens_on_loopback(self) -> bool:
        """Whether only this machine reaches the index."""
        try:
            return self.host == "localhost" or ip_address(self.host).is_loopback
        except ValueError:
            return False


@dataclass(frozen=True, kw_only=True, slots=True)
class S3Address:
    """A bucket, and a prefix without slashes at its ends, which may be empty."""

    bucket: str
    prefix: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Loaded:
    """Settings, and for each field where its value came from."""

    settings: Settings
    origins: Mapping[str, str]


def load(environment: Mapping[str, str], overrides: Mapping[str, Any] | None = None) -> Loaded:
    """Read the settings.

    Args:
        environment: the process's environment.
        overrides: fields given on the command line; they win over everything.

    Raises:
        SettingsError: a setting is unknown or wrong, or the file cannot be read. One line, naming it.
    """
    values: dict[str, Any] = {}
    origins = dict.fromkeys(Settings.model_fields, "default")
    config = environment.get(CONFIG)
    if config:
        for name, value in _read_toml(Path(config)).items():
            values[name] = value
            origins[name] = config
    for variable, value in environment.items():
        # An empty variable is one that a script or a compose file left unset.
        if variable.startswith(PREFIX) and variable != CONFIG and value:
            name = variable.removeprefix(PREFIX).lower()
            values[name] = value
            origins[name] = variable
    for name, value in (overrides or {}).items():
        values[name] = value
        origins[name] = "command line"
    unknown = sorted(values.keys() - Settings.model_fields.keys())
    if unknown:
        raise SettingsError(f"Unknown setting {unknown[0]!r} (from {origins[unknown[0]]}).")
    try:
        settings = Settings.model_validate(values)
    except ValidationError as error:
        fault = error.errors()[0]
        name = str(fault["loc"][0])
        reason = fault["msg"].removeprefix("Value error, ")
        raise SettingsError(f"Wrong setting {name!r} (from {origins[name]}): {reason}.") from error
    return Loaded(settings=settings, origins=origins)


def masked(name: str, value: object) -> str:
    """A setting's value for people to see: passwords in URLs are hidden."""
    if name in ("database_url", "broker_url") and value:
        return make_url(str(value)).render_as_string(hide_password=True)
    if isinstance(value, timedelta):
        return f"{value.total_seconds():g}s"
    return str(value)


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"Cannot read {CONFIG} file {path}: {error.strerror}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{CONFIG} file {path} is not valid TOML: {error}.") from error
