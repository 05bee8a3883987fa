"""Presets belong to the key that made them. Those that exist become shared: their owner is ''."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

_COMMENT = "the id of the key that made it; '' for all keys"


def upgrade() -> None:
    op.drop_index("presets_by_slug", "presets")
    if op.get_bind().dialect.name == "postgresql":
        op.add_column("presets", sa.Column("owner", sa.Text, nullable=False, server_default="", comment=_COMMENT))
        op.alter_column("presets", "owner", server_default=None)
    else:
        # SQLite cannot take a default away; a copy has the columns as a new table has them.
        op.rename_table("presets", "presets_before")
        op.create_table(
            "presets",
            sa.Column("id", sa.Text, primary_key=True),
            sa.Column("owner", sa.Text, nullable=False, comment=_COMMENT),
            sa.Column("slug", sa.Text, nullable=False),
            sa.Column("version_id", sa.Text, nullable=False, comment="the one that is used: the newest"),
            sa.Column("created", sa.Double, nullable=False),
            sa.Column("updated", sa.Double, nullable=False),
        )
        op.execute(
            "INSERT INTO presets (id, owner, slug, version_id, created, updated)"
            " SELECT id, '', slug, version_id, created, updated FROM presets_before"
        )
        op.drop_table("presets_before")
    op.create_index("presets_by_owner", "presets", ["owner", "slug"], unique=True)
