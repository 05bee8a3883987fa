"""Answers that are kept for their `Idempotency-Key`."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "idempotency",
        sa.Column("key_id", sa.Text, primary_key=True),
        sa.Column("idem_key", sa.Text, primary_key=True),
        sa.Column("body_hash", sa.Text, nullable=False, comment="hex SHA-256 of path and body"),
        sa.Column("state", sa.Text, nullable=False, comment="`running` or `done`"),
        sa.Column("status", sa.BigInteger),
        sa.Column("content_type", sa.Text),
        sa.Column("generation_id", sa.Text, nullable=False),
        sa.Column("body", sa.LargeBinary),
        sa.Column("created", sa.Double, nullable=False),
        sa.Column("expires", sa.Double, nullable=False, comment="of one that runs: the end of its lease"),
    )
    op.create_index("idempotency_by_expires", "idempotency", ["expires"])
