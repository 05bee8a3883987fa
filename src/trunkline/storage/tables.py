"""The tables, as migrations leave them; a test compares the two.

Money is pico-dollars. Times are Unix seconds. `day` is `YYYY-MM-DD` in UTC.
"""

from sqlalchemy import BigInteger, Boolean, Column, Double, Index, MetaData, Table, Text

METADATA = MetaData()

KEYS = Table(
    "keys",
    METADATA,
    Column("id", Text, primary_key=True, comment="hex SHA-256 of the secret, which is kept nowhere"),
    Column("name", Text, nullable=False),
    Column("label", Text, nullable=False),
    Column("limit_pico", BigInteger, comment="NULL: no limit"),
    Column("disabled", Boolean, nullable=False),
    Column("created", Double, nullable=False),
    Column("expires", Double),
)

COUNTERS = Table(
    "counters",
    METADATA,
    Column("name", Text, primary_key=True, comment="`keys`: grows with every change of the table `keys`"),
    Column("value", BigInteger, nullable=False),
)

GENERATIONS = Table(
    "generations",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("created", Double, nullable=False),
    Column("key_id", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("provider", Text),
    Column("status", Text, nullable=False),
    Column("cost_pico", BigInteger, nullable=False),
    Column("prompt_tokens", BigInteger, nullable=False),
    Column("completion_tokens", BigInteger, nullable=False),
    Column("data", Text, nullable=False, comment="the record, as JSON"),
    Index("generations_by_key", "key_id", "created"),
)

KEY_SPEND = Table(
    "key_spend",
    METADATA,
    Column("key_id", Text, primary_key=True),
    Column("day", Text, primary_key=True),
    Column("cost_pico", BigInteger, nullable=False),
    Column("requests", BigInteger, nullable=False),
    Column("prompt_tokens", BigInteger, nullable=False),
    Column("completion_tokens", BigInteger, nullable=False),
)
