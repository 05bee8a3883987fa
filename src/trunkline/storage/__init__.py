"""What is kept: keys, finished generations, what was spent. The usage journal stands before the database."""

from trunkline.storage.database import Database, DatabaseUnusable, open_database
from trunkline.storage.flusher import Flusher
from trunkline.storage.generations import GenerationStore, Spend
from trunkline.storage.idempotency import IdempotencyStore
from trunkline.storage.journal import FileJournal
from trunkline.storage.keys import KeyRing, digest

__all__ = [
    "Database",
    "DatabaseUnusable",
    "FileJournal",
    "Flusher",
    "GenerationStore",
    "IdempotencyStore",
    "KeyRing",
    "Spend",
    "digest",
    "open_database",
]
