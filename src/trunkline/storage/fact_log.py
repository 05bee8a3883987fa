"""The port `FactLog`: the log that replicas share, and the names and bounds of its streams.

See docs/guides/replicas.md.
"""

from collections.abc import Mapping, Sequence
from typing import Final, Protocol

ATTEMPTS: Final = "trunkline:attempts"
"""The stream of attempts and probes, from which replicas compute health."""
FACTS: Final = "trunkline:facts"
"""The stream of facts that matter for longer: rests of credentials, and where conversations are served."""
RETENTION_S: Final[Mapping[str, float]] = {ATTEMPTS: 300.0, FACTS: 12 * 3600.0}
"""Seconds for which an entry of a stream is of use. No conversation stays with an endpoint for longer."""
MAX_ENTRIES: Final[Mapping[str, int]] = {ATTEMPTS: 10_000, FACTS: 50_000}
"""Entries of a stream, about. The oldest are removed first."""
MAX_ENTRY_BYTES: Final = 64 * 1024
"""Bytes of an entry."""
PAGE: Final = 200
"""Entries of a stream that one read returns at most."""
BLOCK_S: Final = 1.0
"""Seconds that a read waits for new entries."""


class LogUnavailable(Exception):
    """The log cannot be used now. The message is one word or two, and contains nothing of the log's address."""


class FactLog(Protocol):
    """Named streams of entries, in the same order for everyone. Ids are `<Unix milliseconds>-<number>`.

    Every method raises `LogUnavailable` within seconds where the log does not work.
    """

    async def now(self) -> float:
        """Return Unix seconds by the clock that makes the ids."""
        ...

    async def append(self, entries: Sequence[tuple[str, bytes]]) -> None:
        """Append all *entries* (stream, data) or none of them."""
        ...

    async def read(self, after: Mapping[str, str], wait_s: float) -> list[tuple[str, str, bytes]]:
        """Return entries as (stream, id, data), at most `PAGE` of each stream.

        Args:
            after: for each stream, the id after which to read.
            wait_s: seconds to wait where there are no such entries.
        """
        ...

    async def trim(self, before: Mapping[str, str]) -> None:
        """Remove the entries of each stream that are older than an id."""
        ...

    async def close(self) -> None:
        """Close the connections."""
        ...
