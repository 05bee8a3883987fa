"""Storage of keys, presets, finished generations and spending: the usage journal, then the database."""

from trunkline.storage.database import Database, DatabaseUnusable, open_database
from trunkline.storage.flusher import Flusher
from trunkline.storage.generations import GenerationStore, Spend
from trunkline.storage.idempotency import IdempotencyStore
from trunkline.storage.journal import FileJournal
from trunkline.storage.keys import KeyRing, digest
from trunkline.storage.presets import PresetStore

__all__ = [
    "Database",
    "DatabaseUnusable",
    "FileJournal",
    "Flusher",
    "GenerationStore",
    "IdempotencyStore",
    "KeyRing",
    "PresetStore",
    "Spend",
    "digest",
    "open_database",
]
