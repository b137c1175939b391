"""A wrong or unknown setting stops the start with one line that names it; the rest is frozen and has an origin."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import ValidationError

from gatehouse.core.errors import SettingsError
from gatehouse.settings import S3Address, Settings, load, masked


def test_the_environment_wins_over_the_file_and_origins_say_so(tmp_path: Path) -> None:
    config = tmp_path / "gatehouse.toml"
    config.write_text('port = 7000\nhost = "127.0.0.2"\n', encoding="utf-8")
    loaded = load({"GATEHOUSE_CONFIG": str(config), "GATEHOUSE_PORT": "7001"}, {"home": tmp_path})
    assert (loaded.settings.port, loaded.settings.host, loaded.settings.home) == (7001, "127.0.0.2", tmp_path)
    assert loaded.origins["port"] == "GATEHOUSE_PORT"
    assert loaded.origins["host"] == str(config)
    assert loaded.origins["home"] == "command line"
    assert loaded.origins["threads"] == "default"


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("GATEHOUSE_PROT", "1", "Unknown setting 'prot'"),
        ("GATEHOUSE_PORT", "eighty", "Wrong setting 'port'"),
        ("GATEHOUSE_PORT", "70000", "Wrong setting 'port'"),
        ("GATEHOUSE_EXPIRY_BINS", "soon", "Wrong setting 'expiry_bins'"),
        ("GATEHOUSE_EXPIRY_BINS", "1s", "Wrong setting 'expiry_bins'"),
        ("GATEHOUSE_DATABASE_URL", "mysql://host/db", "Wrong setting 'database_url'"),
        ("GATEHOUSE_DATABASE_URL", "not a url", "Wrong setting 'database_url'"),
        ("GATEHOUSE_BLOBS", "s3://bucket", "Wrong setting 'blobs'"),
        ("GATEHOUSE_METADATA", "s3://", "Wrong setting 'metadata'"),
        ("GATEHOUSE_METADATA", "s3://Bucket", "Wrong setting 'metadata'"),
        ("GATEHOUSE_METADATA", "s3://bucket/../up", "Wrong setting 'metadata'"),
        ("GATEHOUSE_METADATA", "s3://bucket//x", "Wrong setting 'metadata'"),
        ("GATEHOUSE_METADATA", "gs://bucket", "Wrong setting 'metadata'"),
        ("GATEHOUSE_METADATA_S3_ENDPOINT", "s3.example.invalid", "Wrong setting 'metadata_s3_endpoint'"),
        ("GATEHOUSE_PUBLIC_URL", "javascript:alert(1)", "Wrong setting 'public_url'"),
        ("GATEHOUSE_PUBLIC_URL", 'https://host/"><script>', "Wrong setting 'public_url'"),
        ("GATEHOUSE_MAX_FILE_SIZE", "0", "Wrong setting 'max_file_size'"),
        ("GATEHOUSE_MAX_FILE_SIZE", "-5", "Wrong setting 'max_file_size'"),
        ("GATEHOUSE_LOG_LEVEL", "loud", "Wrong setting 'log_level'"),
        ("GATEHOUSE_PURGE_KIND", "squid", "Wrong setting 'purge_kind'"),
        ("GATEHOUSE_PURGE_URL", "http://one.invalid ftp://two.invalid", "Wrong setting 'purge_url'"),
        ("GATEHOUSE_PURGE_URL", "http://name:word@one.invalid", "Wrong setting 'purge_url'"),
        ("GATEHOUSE_PURGE_SERVICE", "../purge_all", "Wrong setting 'purge_service'"),
        ("GATEHOUSE_EDGE_LIFETIME", "31d", "Wrong setting 'edge_lifetime'"),
    ],
)
def test_a_wrong_setting_is_named_in_one_line(name: str, value: str, told: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load({name: value})
    assert caught.value.message.startswith(told)
    assert name in caught.value.message
    assert "\n" not in caught.value.message


@pytest.mark.parametrize("text", ["port = ", "\udcff", 'port = "x'])
def test_a_broken_file_is_named(tmp_path: Path, text: str) -> None:
    config = tmp_path / "gatehouse.toml"
    config.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(SettingsError, match=r"gatehouse\.toml is not valid TOML"):
        load({"GATEHOUSE_CONFIG": str(config)})


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="No such file"):
        load({"GATEHOUSE_CONFIG": str(tmp_path / "none.toml")})


@pytest.mark.parametrize(
    ("text", "value"), [("500ms", 0.5), ("30s", 30), ("1.5m", 90), ("12h", 43200), ("7d", 604800)]
)
def test_durations_have_units(text: str, value: float) -> None:
    name = "GATEHOUSE_EXPIRY_BINS" if value >= 10 else "GATEHOUSE_PUBLISH_DELAY"
    settings = load({name: text}).settings
    got = settings.expiry_bins if value >= 10 else settings.publish_delay
    assert got == timedelta(seconds=value)


def test_sizes_have_units() -> None:
    assert load({"GATEHOUSE_MAX_FILE_SIZE": "2G"}).settings.max_file_size == 2 * 1024**3


def test_settings_are_frozen() -> None:
    settings = load({}).settings
    with pytest.raises(ValidationError, match="frozen"):
        settings.port = 1


def test_each_role_may_name_its_own_signer(tmp_path: Path) -> None:
    settings = load({"GATEHOUSE_HOME": str(tmp_path), "GATEHOUSE_KEY_TIMESTAMP": "hsm:"}).settings
    assert settings.signer_uri("timestamp") == "hsm:"
    assert settings.signer_uri("bins") == f"file2:{tmp_path}/keys/online.pem"


def test_a_password_in_the_database_url_is_masked() -> None:
    shown = masked("database_url", "postgresql://user:secret@host/db")
    assert "secret" not in shown
    assert "user" in shown


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("127.0.0.1", True), ("localhost", True), ("::1", True), ("0.0.0.0", False)],  # noqa: S104 -- asked about, not bound
)
def test_it_knows_whether_it_listens_on_loopback_alone(host: str, loopback: bool) -> None:  # noqa: FBT001 -- a table
    assert load({"GATEHOUSE_HOST": host}).settings.listens_on_loopback is loopback


def test_metadata_lies_in_a_folder_or_in_a_bucket(tmp_path: Path) -> None:
    folder = Settings(home=tmp_path)
    assert (folder.metadata_s3, folder.metadata_place) == (None, str(tmp_path / "tuf" / "metadata"))
    bucket = Settings(metadata="s3://bucket/index/tuf/")
    assert bucket.metadata_s3 == S3Address(bucket="bucket", prefix="index/tuf")
    assert bucket.metadata_place == "s3://bucket/index/tuf/"
    assert Settings(metadata="s3://bucket").metadata_s3 == S3Address(bucket="bucket", prefix="")
