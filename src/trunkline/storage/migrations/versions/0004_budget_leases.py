"""What each process holds of the limits of keys."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.create_table(
        "key_budget_leases",
        sa.Column("key_id", sa.Text, primary_key=True),
        sa.Column("holder", sa.Text, primary_key=True, comment="the process"),
        sa.Column(
            "held_pico", sa.BigInteger, nullable=False, comment="what the process may spend or has not yet recorded"
        ),
        sa.Column("seq", sa.BigInteger, nullable=False, comment="the number of the process's last request"),
        sa.Column("expires", sa.Double, nullable=False),
    )
