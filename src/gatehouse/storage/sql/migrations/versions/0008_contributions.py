"""Why a score is what it is. Adds a column that may be empty, so that the release before runs beside it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from gatehouse.storage.sql.types import Json

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("screenings", sa.Column("contributions", Json, nullable=True))
