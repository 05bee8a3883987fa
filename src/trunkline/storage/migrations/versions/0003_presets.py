"""Presets and their versions."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.create_table(
        "presets",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("slug", sa.Text, nullable=False),
        sa.Column("version_id", sa.Text, nullable=False, comment="the one that is used: the newest"),
        sa.Column("created", sa.Double, nullable=False),
        sa.Column("updated", sa.Double, nullable=False),
    )
    op.create_index("presets_by_slug", "presets", ["slug"], unique=True)
    op.create_table(
        "preset_versions",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("preset_id", sa.Text, nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False, comment="1, 2, 3 … of its preset"),
        sa.Column("creator", sa.Text, nullable=False, comment="the name of the key that made it"),
        sa.Column("created", sa.Double, nullable=False),
        sa.Column("bytes", sa.BigInteger, nullable=False, comment="of `data`"),
        sa.Column("data", sa.Text, nullable=False, comment="the fields and the system text, as JSON"),
    )
    op.create_index("preset_versions_by_number", "preset_versions", ["preset_id", "version"], unique=True)
