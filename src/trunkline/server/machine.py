"""What the machine has. Linux control groups, which containers use, can allow less than the machine."""

import os
from pathlib import Path

_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
FALLBACK_BYTES = 2 << 30
"""Assumed where the system does not tell its memory."""


def memory_bytes() -> int:
    """The memory that this process may use, in bytes."""
    try:
        found = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        found = FALLBACK_BYTES
    for path in _LIMITS:
        try:
            text = Path(path).read_text(encoding="ascii").strip()
        except (OSError, ValueError):
            continue
        if text.isdigit():
            found = min(found, int(text))
    return max(found, 1)
