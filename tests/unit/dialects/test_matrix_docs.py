"""docs/reference/matrix.md counts the outcomes of recorded answers; `--update-golden` writes it.

Skipped without ../shared.
"""

import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from matrix_help import FOLDERS, Capture, captures, carry

from trunkline.dialects.registry import RELAYS
from trunkline.model.loss import Loss
from trunkline.testing.golden import Golden

_NUMBER = re.compile(r"\[\d+\]")
PAGE = Path(__file__).parents[3] / "docs" / "reference" / "matrix.md"
CLIENTS = ("chat", "messages", "responses")
HEAD = """# The matrix

After this page you know how much of real answers arrives when it crosses from one dialect to another.

Each recording is one answer of a real provider. It is carried to a client of each dialect, as a stream and as one body.
The official SDK of the client's dialect must then assemble the text, reasoning, signatures, tool calls, citations,
finish reason and usage that the provider's own SDK assembles from the recording. `tests/acceptance/sdk/test_matrix.py`
checks that. `tests/unit/dialects/test_matrix_docs.py` counts and writes this page. No recording is left out.

- **whole**: everything arrives.
- **reported**: everything that the client's dialect can express arrives. The rest is in the loss report.
- **error**: the recording holds an error, or breaks off. The client gets an error, never half an answer as if complete.

| from | recordings | to | way | whole | reported | error |
|---|---|---|---|---|---|---|
"""


def _outcome(capture: Capture, client: str, way: str, *, stream: bool) -> str:
    got = carry(client, capture.dialect, [capture.body], sse=capture.stream, stream=stream, way=way)
    if got.error is not None:
        assert not capture.whole, (capture.name, got.error)
        return "error"
    return "reported" if got.converter.outcome.losses else "whole"


def _row(dialect: str, client: str, loss: Loss) -> str:
    """What is lost, whatever its number."""
    return f"| {dialect} | {client} | `{_NUMBER.sub('', loss.path)}` | {loss.why} |"


def test_the_page_counts_right(shared: Callable[[str], Path], golden: Golden) -> None:
    every = captures(shared)
    rows: list[str] = []
    why: Counter[str] = Counter()
    for dialect in FOLDERS:
        for client in CLIENTS:
            ways = ("relay", "translate") if (client, dialect) in RELAYS else ("translate",)
            for way in ways:
                found: Counter[str] = Counter()
                for capture in every[dialect]:
                    outcomes = {_outcome(capture, client, way, stream=stream) for stream in (True, False)}
                    assert len(outcomes) == 1, f"{capture.name}: a stream and a body come to the same"
                    found[outcomes.pop()] += 1
                    got = carry(client, dialect, [capture.body], sse=capture.stream, stream=False, way=way)
                    why.update({_row(dialect, client, loss) for loss in got.converter.outcome.losses})
                assert sum(found.values()) == len(every[dialect]), "none is left out"
                rows.append(
                    f"| {dialect} | {len(every[dialect])} | {client} | {way} | {found['whole']} | {found['reported']} "
                    f"| {found['error']} |\n"
                )
    reasons = "".join(f"{row} {count} |\n" for row, count in sorted(why.items()))
    tail = f"\n## What is reported\n\n| from | to | what | why | recordings |\n|---|---|---|---|---|\n{reasons}"
    golden(PAGE, (HEAD + "".join(rows) + tail).encode())
