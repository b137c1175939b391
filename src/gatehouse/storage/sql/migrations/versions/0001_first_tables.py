"""The first tables."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from gatehouse.storage.sql.append_only import (
    POSTGRESQL_FUNCTION,
    refuse_all,
    refuse_all_but_set_once,
)
from gatehouse.storage.sql.types import BigInt, Json, PlainText, RawSha256, UtcDateTime

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_FACTS = ("subjects", "screenings", "findings", "verdicts", "decisions", "events", "offline_metadata")
_JOURNAL = ("id", "at", "path", "family", "bin", "sha256", "length", "cause")
_PUBLICATIONS = (
    "id",
    "epoch",
    "snapshot_version",
    "timestamp_version",
    "reason",
    "changes",
    "committed_at",
    "roles",
)


def upgrade() -> None:
    _catalog()
    _screening()
    _signing()
    _work()
    _triggers()
    op.execute("INSERT INTO sources (name) VALUES ('local')")


def _triggers() -> None:
    dialect = op.get_bind().dialect.name
    if dialect == "postgresql":
        op.execute(POSTGRESQL_FUNCTION)
        # Targets are read by index alone where the visibility map says so; vacuum after one change in a hundred
        # rows instead of one in five, so that it nearly always does.
        op.execute(
            "ALTER TABLE targets SET (autovacuum_vacuum_scale_factor = 0.01, "
            "autovacuum_vacuum_insert_scale_factor = 0.01)"
        )
    statements = [statement for table in _FACTS for statement in refuse_all(dialect, table)]
    statements += refuse_all_but_set_once(dialect, "journal", "publication_id", _JOURNAL)
    statements += refuse_all_but_set_once(dialect, "publications", "published_at", _PUBLICATIONS)
    for statement in statements:
        # Not `op.execute`, which would read the `:name` in a cast as a parameter.
        op.get_bind().exec_driver_sql(statement)


def _catalog() -> None:
    op.create_table(
        "sources",
        sa.Column("id", BigInt, autoincrement=True, nullable=False),
        sa.Column("name", PlainText(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sources")),
        sa.UniqueConstraint("name", name=op.f("uq_sources_name")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "accounts",
        sa.Column("id", BigInt, autoincrement=True, nullable=False),
        sa.Column("name", PlainText(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_accounts")),
        sa.UniqueConstraint("name", name=op.f("uq_accounts_name")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "upload_tokens",
        sa.Column("id", PlainText(), nullable=False),
        sa.Column("account_id", BigInt, nullable=False),
        sa.Column("description", PlainText(), nullable=False),
        sa.Column("projects", Json, nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("expires_at", UtcDateTime(), nullable=True),
        sa.Column("revoked_at", UtcDateTime(), nullable=True),
        sa.Column("last_used_at", UtcDateTime(), nullable=True),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_upload_tokens_account_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_upload_tokens")),
    )
    op.create_index(op.f("ix_upload_tokens_account_id"), "upload_tokens", ["account_id"], unique=False)
    op.create_table(
        "projects",
        sa.Column("id", BigInt, autoincrement=True, nullable=False),
        sa.Column("source_id", BigInt, nullable=False),
        sa.Column("name", PlainText(), nullable=False),
        sa.Column("display_name", PlainText(), nullable=False),
        sa.Column("status", PlainText(), nullable=False),
        sa.Column("status_reason", PlainText(), nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("html_sha256", PlainText(), nullable=True),
        sa.Column("html_length", BigInt, nullable=True),
        sa.Column("json_sha256", PlainText(), nullable=True),
        sa.Column("json_length", BigInt, nullable=True),
        sa.CheckConstraint(
            "status IN ('active', 'archived', 'quarantined', 'deprecated')", name=op.f("ck_projects_status")
        ),
        sa.CheckConstraint("(html_sha256 IS NULL) = (html_length IS NULL)", name=op.f("ck_projects_html")),
        sa.CheckConstraint("(json_sha256 IS NULL) = (json_length IS NULL)", name=op.f("ck_projects_json")),
        sa.ForeignKeyConstraint(["source_id"], ["sources.id"], name=op.f("fk_projects_source_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_projects")),
        sa.UniqueConstraint("source_id", "name", name=op.f("uq_projects_source_id_name")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "project_owners",
        sa.Column("project_id", BigInt, nullable=False),
        sa.Column("account_id", BigInt, nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_project_owners_account_id")),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"], name=op.f("fk_project_owners_project_id")),
        sa.PrimaryKeyConstraint("project_id", "account_id", name=op.f("pk_project_owners")),
    )
    op.create_index(op.f("ix_project_owners_account_id"), "project_owners", ["account_id"], unique=False)
    op.create_table(
        "releases",
        sa.Column("id", BigInt, autoincrement=True, nullable=False),
        sa.Column("project_id", BigInt, nullable=False),
        sa.Column("version", PlainText(), nullable=False),
        sa.Column("version_key", PlainText(), nullable=False),
        sa.Column("yanked_at", UtcDateTime(), nullable=True),
        sa.Column("yanked_reason", PlainText(), nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"], name=op.f("fk_releases_project_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_releases")),
        sa.UniqueConstraint("project_id", "version_key", name=op.f("uq_releases_project_id_version_key")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "files",
        sa.Column("id", BigInt, autoincrement=True, nullable=False),
        sa.Column("source_id", BigInt, nullable=False),
        sa.Column("project_id", BigInt, nullable=False),
        sa.Column("release_id", BigInt, nullable=False),
        sa.Column("filename", PlainText(), nullable=False),
        sa.Column("identity", PlainText(), nullable=False),
        sa.Column("packagetype", PlainText(), nullable=False),
        sa.Column("python_tag", PlainText(), nullable=False),
        sa.Column("sha256", PlainText(), nullable=False),
        sa.Column("md5", PlainText(), nullable=False),
        sa.Column("blake2_256", PlainText(), nullable=False),
        sa.Column("size", BigInt, nullable=False),
        sa.Column("requires_python", PlainText(), nullable=True),
        sa.Column("metadata_sha256", PlainText(), nullable=True),
        sa.Column("core_metadata", Json, nullable=False),
        sa.Column("uploader", PlainText(), nullable=False),
        sa.Column("token_id", PlainText(), nullable=True),
        sa.Column("user_agent", PlainText(), nullable=True),
        sa.Column("comment", PlainText(), nullable=True),
        sa.Column("publisher", Json, nullable=True),
        sa.Column("external_url", PlainText(), nullable=True),
        sa.Column("state", PlainText(), nullable=False),
        sa.Column("state_changed_at", UtcDateTime(), nullable=False),
        sa.Column("received_at", UtcDateTime(), nullable=False),
        sa.Column("uploaded_at", UtcDateTime(), nullable=False),
        sa.CheckConstraint("packagetype IN ('bdist_wheel', 'sdist')", name=op.f("ck_files_packagetype")),
        sa.CheckConstraint(
            "state IN ('accepted', 'published', 'held', 'removed', 'deleted')", name=op.f("ck_files_state")
        ),
        sa.CheckConstraint("size >= 0", name=op.f("ck_files_size")),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"], name=op.f("fk_files_project_id")),
        sa.ForeignKeyConstraint(["release_id"], ["releases.id"], name=op.f("fk_files_release_id")),
        sa.ForeignKeyConstraint(["source_id"], ["sources.id"], name=op.f("fk_files_source_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_files")),
        sa.UniqueConstraint("source_id", "filename", name=op.f("uq_files_source_id_filename")),
        sa.UniqueConstraint("source_id", "identity", name=op.f("uq_files_source_id_identity")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_files_project_id"), "files", ["project_id"], unique=False)
    op.create_index(op.f("ix_files_release_id"), "files", ["release_id"], unique=False)
    op.create_index(op.f("ix_files_sha256"), "files", ["sha256"], unique=False)
    op.create_table(
        "events",
        sa.Column("id", BigInt, autoincrement=True, nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.Column("source", PlainText(), nullable=False),
        sa.Column("actor", PlainText(), nullable=False),
        sa.Column("action", PlainText(), nullable=False),
        sa.Column("project", PlainText(), nullable=False),
        sa.Column("version", PlainText(), nullable=True),
        sa.Column("filename", PlainText(), nullable=True),
        sa.Column("sha256", PlainText(), nullable=True),
        sa.Column("detail", PlainText(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_events")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_events_source_project"), "events", ["source", "project"], unique=False)


def _screening() -> None:
    op.create_table(
        "subjects",
        sa.Column("id", BigInt, autoincrement=True, nullable=False),
        sa.Column("source", PlainText(), nullable=False),
        sa.Column("kind", PlainText(), nullable=False),
        sa.Column("name", PlainText(), nullable=False),
        sa.Column("version", PlainText(), nullable=False),
        sa.Column("filename", PlainText(), nullable=False),
        sa.Column("sha256", PlainText(), nullable=False),
        sa.CheckConstraint("(kind = 'file') = (filename <> '')", name=op.f("ck_subjects_filename")),
        sa.CheckConstraint("(kind = 'file') = (sha256 <> '')", name=op.f("ck_subjects_digest")),
        sa.CheckConstraint("kind IN ('project', 'release', 'file')", name=op.f("ck_subjects_kind")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_subjects")),
        sa.UniqueConstraint(
            "source",
            "kind",
            "name",
            "version",
            "filename",
            "sha256",
            name=op.f("uq_subjects_source_kind_name_version_filename_sha256"),
        ),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_subjects_sha256"), "subjects", ["sha256"], unique=False)
    op.create_table(
        "screenings",
        sa.Column("id", BigInt, autoincrement=True, nullable=False),
        sa.Column("subject_id", BigInt, nullable=False),
        sa.Column("engine_version", PlainText(), nullable=False),
        sa.Column("trigger", PlainText(), nullable=False),
        sa.Column("attempt", BigInt, nullable=False),
        sa.Column("started_at", UtcDateTime(), nullable=False),
        sa.Column("finished_at", UtcDateTime(), nullable=False),
        sa.Column("outcome", PlainText(), nullable=False),
        sa.Column("incomplete_reason", PlainText(), nullable=True),
        sa.Column("tier", PlainText(), nullable=False),
        sa.Column("score", sa.Double(), nullable=False),
        sa.Column("seconds", sa.Double(), nullable=False),
        sa.Column("not_examined", Json, nullable=False),
        sa.Column("checks", Json, nullable=False),
        sa.CheckConstraint(
            "(outcome = 'incomplete') = (incomplete_reason IS NOT NULL)", name=op.f("ck_screenings_incomplete")
        ),
        sa.CheckConstraint("outcome IN ('clean', 'flagged', 'incomplete')", name=op.f("ck_screenings_outcome")),
        sa.CheckConstraint("tier IN ('none', 'rank', 'queue', 'alert', 'hold')", name=op.f("ck_screenings_tier")),
        sa.CheckConstraint("score >= 0 AND score <= 1", name=op.f("ck_screenings_score")),
        sa.ForeignKeyConstraint(["subject_id"], ["subjects.id"], name=op.f("fk_screenings_subject_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_screenings")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_screenings_subject_id"), "screenings", ["subject_id"], unique=False)
    op.create_table(
        "findings",
        sa.Column("id", BigInt, autoincrement=True, nullable=False),
        sa.Column("screening_id", BigInt, nullable=False),
        sa.Column("check", PlainText(), nullable=False),
        sa.Column("version", BigInt, nullable=False),
        sa.Column("message", PlainText(), nullable=False),
        sa.Column("classification", PlainText(), nullable=False),
        sa.Column("confidence", PlainText(), nullable=False),
        sa.Column("member", PlainText(), nullable=True),
        sa.Column("line", BigInt, nullable=True),
        sa.Column("context", PlainText(), nullable=True),
        sa.Column("chain", Json, nullable=False),
        sa.Column("excerpt", PlainText(), nullable=True),
        sa.ForeignKeyConstraint(["screening_id"], ["screenings.id"], name=op.f("fk_findings_screening_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_findings")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_findings_screening_id"), "findings", ["screening_id"], unique=False)
    op.create_table(
        "desk",
        sa.Column("subject_id", BigInt, autoincrement=False, nullable=False),
        sa.Column("screening_id", BigInt, nullable=False),
        sa.Column("tier_rank", BigInt, nullable=False),
        sa.Column("score", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(["screening_id"], ["screenings.id"], name=op.f("fk_desk_screening_id")),
        sa.ForeignKeyConstraint(["subject_id"], ["subjects.id"], name=op.f("fk_desk_subject_id")),
        sa.PrimaryKeyConstraint("subject_id", name=op.f("pk_desk")),
    )
    op.create_index(
        op.f("ix_desk_tier_rank_score_screening_id"), "desk", ["tier_rank", "score", "screening_id"], unique=False
    )
    op.create_table(
        "verdicts",
        sa.Column("id", BigInt, autoincrement=True, nullable=False),
        sa.Column("subject_id", BigInt, nullable=False),
        sa.Column("screening_id", BigInt, nullable=False),
        sa.Column("check", PlainText(), nullable=False),
        sa.Column("check_version", BigInt, nullable=False),
        sa.Column("engine_version", PlainText(), nullable=False),
        sa.Column("classification", PlainText(), nullable=False),
        sa.Column("confidence", PlainText(), nullable=False),
        sa.Column("tier", PlainText(), nullable=False),
        sa.Column("message", PlainText(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.CheckConstraint("tier IN ('none', 'rank', 'queue', 'alert', 'hold')", name=op.f("ck_verdicts_tier")),
        sa.ForeignKeyConstraint(["screening_id"], ["screenings.id"], name=op.f("fk_verdicts_screening_id")),
        sa.ForeignKeyConstraint(["subject_id"], ["subjects.id"], name=op.f("fk_verdicts_subject_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_verdicts")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_verdicts_check_check_version"), "verdicts", ["check", "check_version"], unique=False)
    op.create_index(op.f("ix_verdicts_screening_id"), "verdicts", ["screening_id"], unique=False)
    op.create_index(op.f("ix_verdicts_subject_id"), "verdicts", ["subject_id"], unique=False)
    op.create_table(
        "decisions",
        sa.Column("id", BigInt, autoincrement=True, nullable=False),
        sa.Column("subject_id", BigInt, nullable=False),
        sa.Column("actor", PlainText(), nullable=False),
        sa.Column("action", PlainText(), nullable=False),
        sa.Column("reason", PlainText(), nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(["subject_id"], ["subjects.id"], name=op.f("fk_decisions_subject_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_decisions")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_decisions_subject_id"), "decisions", ["subject_id"], unique=False)


def _signing() -> None:
    op.create_table(
        "publications",
        sa.Column("id", BigInt, autoincrement=True, nullable=False),
        sa.Column("epoch", BigInt, nullable=False),
        sa.Column("snapshot_version", BigInt, nullable=False),
        sa.Column("timestamp_version", BigInt, nullable=False),
        sa.Column("reason", PlainText(), nullable=False),
        sa.Column("changes", BigInt, nullable=False),
        sa.Column("committed_at", UtcDateTime(), nullable=False),
        sa.Column("published_at", UtcDateTime(), nullable=True),
        sa.Column("roles", Json, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_publications")),
        sa.UniqueConstraint("timestamp_version", name=op.f("uq_publications_timestamp_version")),
        sqlite_autoincrement=True,
    )
    op.create_index(
        "ix_publications_unpublished",
        "publications",
        ["id"],
        unique=False,
        sqlite_where=sa.text("published_at IS NULL"),
        postgresql_where=sa.text("published_at IS NULL"),
    )
    op.create_table(
        "journal",
        sa.Column("id", BigInt, autoincrement=True, nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.Column("path", PlainText(), nullable=False),
        sa.Column("family", BigInt, nullable=False),
        sa.Column("bin", BigInt, nullable=False),
        sa.Column("sha256", RawSha256(), nullable=True),
        sa.Column("length", BigInt, nullable=True),
        sa.Column("cause", PlainText(), nullable=False),
        sa.Column("publication_id", BigInt, nullable=True),
        sa.CheckConstraint("(sha256 IS NULL) = (length IS NULL)", name=op.f("ck_journal_removal")),
        sa.CheckConstraint("family IN (1, 2)", name=op.f("ck_journal_family")),
        sa.CheckConstraint("length(sha256) = 32", name=op.f("ck_journal_sha256")),
        sa.ForeignKeyConstraint(["publication_id"], ["publications.id"], name=op.f("fk_journal_publication_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_journal")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_journal_path_sha256"), "journal", ["path", "sha256"], unique=False)
    op.create_index(
        "ix_journal_pending",
        "journal",
        ["id"],
        unique=False,
        sqlite_where=sa.text("publication_id IS NULL"),
        postgresql_where=sa.text("publication_id IS NULL"),
    )
    op.create_index(op.f("ix_journal_publication_id"), "journal", ["publication_id"], unique=False)
    op.create_table(
        "targets",
        sa.Column("family", BigInt, autoincrement=False, nullable=False),
        sa.Column("bin", BigInt, autoincrement=False, nullable=False),
        sa.Column("path", PlainText(), nullable=False),
        sa.Column("sha256", RawSha256(), nullable=False),
        sa.Column("length", BigInt, nullable=False),
        sa.CheckConstraint("family IN (1, 2)", name=op.f("ck_targets_family")),
        sa.CheckConstraint("length >= 0", name=op.f("ck_targets_length")),
        sa.CheckConstraint("length(sha256) = 32", name=op.f("ck_targets_sha256")),
        sa.PrimaryKeyConstraint(
            "family", "bin", "path", name=op.f("pk_targets"), postgresql_include=["sha256", "length"]
        ),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "online_roles",
        sa.Column("name", PlainText(), nullable=False),
        sa.Column("version", BigInt, nullable=False),
        sa.Column("expires", UtcDateTime(), nullable=False),
        sa.Column("signatures", Json, nullable=False),
        sa.Column("sha256", RawSha256(), nullable=False),
        sa.Column("length", BigInt, nullable=False),
        sa.Column("publication_id", BigInt, nullable=False),
        sa.ForeignKeyConstraint(
            ["publication_id"], ["publications.id"], name=op.f("fk_online_roles_publication_id")
        ),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_online_roles")),
    )
    op.create_table(
        "offline_metadata",
        sa.Column("id", BigInt, autoincrement=True, nullable=False),
        sa.Column("role", PlainText(), nullable=False),
        sa.Column("version", BigInt, nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.Column("added_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_offline_metadata")),
        sa.UniqueConstraint("role", "version", name=op.f("uq_offline_metadata_role_version")),
        sqlite_autoincrement=True,
    )


def _work() -> None:
    op.create_table(
        "leases",
        sa.Column("name", PlainText(), nullable=False),
        sa.Column("holder", PlainText(), nullable=True),
        sa.Column("epoch", BigInt, nullable=False),
        sa.Column("expires_at", UtcDateTime(), nullable=True),
        sa.CheckConstraint("(holder IS NULL) = (expires_at IS NULL)", name=op.f("ck_leases_free")),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_leases")),
    )
    op.create_table(
        "outbox",
        sa.Column("id", BigInt, autoincrement=True, nullable=False),
        sa.Column("topic", PlainText(), nullable=False),
        sa.Column("payload", Json, nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("available_at", UtcDateTime(), nullable=False),
        sa.Column("leased_until", UtcDateTime(), nullable=True),
        sa.Column("attempts", BigInt, nullable=False),
        sa.Column("dead_at", UtcDateTime(), nullable=True),
        sa.Column("last_error", PlainText(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_outbox")),
        sqlite_autoincrement=True,
    )
    op.create_index(
        "ix_outbox_waiting",
        "outbox",
        ["topic", "id"],
        unique=False,
        sqlite_where=sa.text("dead_at IS NULL"),
        postgresql_where=sa.text("dead_at IS NULL"),
    )
