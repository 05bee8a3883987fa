"""State of an answer while it is decoded."""

from typing import Any

from msgspec import Struct


class PendingCall(Struct):
    """A call under way."""

    call: dict[str, Any]
    signature: str = ""
    args: Any = None


class OpenCandidate(Struct):
    """What is open in one candidate."""

    open: tuple[Any, ...] = ()
    """What the open text-like part is, and its index last."""
    text: int = -1
    """The last text part."""
    said: list[str] = []
    """All visible text, for offsets."""
    length: int = 0
    """Characters of it."""
    before: int = 0
    """Characters of it that are in earlier parts than the last one."""
    calls: int = 0
    pending: PendingCall | None = None
    cited: list[dict[str, Any]] = []
    """Sources so far; some models say them again with each chunk."""
    seen: set[str] = set()
    """These sources, each as a text that is equal for equal ones."""
    grounded: dict[str, Any] | None = None
    extra: dict[str, Any] = {}
    native: str | None = None
    rest: bytes = b""
    """What of the open audio is too short for base64 without padding."""
