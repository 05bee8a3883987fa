"""The tables, as the migrations make them; a test compares the two.

Money is pico-dollars. Times are Unix seconds. `day` is `YYYY-MM-DD` in UTC.
"""

from sqlalchemy import BigInteger, Boolean, Column, Double, Index, LargeBinary, MetaData, Table, Text

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

KEY_BUDGET_LEASES = Table(
    "key_budget_leases",
    METADATA,
    Column("key_id", Text, primary_key=True),
    Column("holder", Text, primary_key=True, comment="the process"),
    Column("held_pico", BigInteger, nullable=False, comment="what the process may spend or has not yet recorded"),
    Column("seq", BigInteger, nullable=False, comment="the number of the process's last request"),
    Column("expires", Double, nullable=False),
)

IDEMPOTENCY = Table(
    "idempotency",
    METADATA,
    Column("key_id", Text, primary_key=True),
    Column("idem_key", Text, primary_key=True),
    Column("body_hash", Text, nullable=False, comment="hex SHA-256 of path and body"),
    Column("state", Text, nullable=False, comment="`running` or `done`"),
    Column("status", BigInteger),
    Column("content_type", Text),
    Column("generation_id", Text, nullable=False),
    Column("body", LargeBinary),
    Column("created", Double, nullable=False),
    Column("expires", Double, nullable=False, comment="of one that runs: the end of its lease"),
    Index("idempotency_by_expires", "expires"),
)

PRESETS = Table(
    "presets",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("owner", Text, nullable=False, comment="the id of the key that made it; '' for all keys"),
    Column("slug", Text, nullable=False),
    Column("version_id", Text, nullable=False, comment="the one that is used: the newest"),
    Column("created", Double, nullable=False),
    Column("updated", Double, nullable=False),
    Index("presets_by_owner", "owner", "slug", unique=True),
)

PRESET_VERSIONS = Table(
    "preset_versions",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("preset_id", Text, nullable=False),
    Column("version", BigInteger, nullable=False, comment="1, 2, 3 … of its preset"),
    Column("creator", Text, nullable=False, comment="the name of the key that made it"),
    Column("created", Double, nullable=False),
    Column("bytes", BigInteger, nullable=False, comment="of `data`"),
    Column("data", Text, nullable=False, comment="the fields and the system text, as JSON"),
    Index("preset_versions_by_number", "preset_id", "version", unique=True),
)
