"""Usage of generateContent, and the tier that served it. Source: recorded traffic of AI Studio and Vertex.

`promptTokenCount` counts what came from a cache in; `toolUsePromptTokenCount` is input too and stands beside it, and
thoughts stand beside `candidatesTokenCount`: ours counts both in.
"""

from typing import Any

from trunkline.model.usage import Usage

MAX_TOKENS = 2**53
"""Beyond this JSON numbers are not exact, and no model's output either."""
KNOWN = frozenset(
    {"promptTokenCount", "candidatesTokenCount", "thoughtsTokenCount", "cachedContentTokenCount", "totalTokenCount",
     "toolUsePromptTokenCount", "serviceTier"}
)  # fmt: skip


def decode(found: Any) -> Usage | None:
    """The usage object of an upstream, or None where there is none. Nonsense is clamped and marked, never trusted."""
    if not isinstance(found, dict):
        return None
    bad = False

    def count(value: Any) -> int | None:
        nonlocal bad
        if value is None:
            return None
        if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= MAX_TOKENS:
            bad = True
            return MAX_TOKENS if isinstance(value, int | float) and value > MAX_TOKENS else 0
        return int(value)

    prompt, tools = count(found.get("promptTokenCount")) or 0, count(found.get("toolUsePromptTokenCount")) or 0
    said, thought = count(found.get("candidatesTokenCount")) or 0, count(found.get("thoughtsTokenCount"))
    cached, total = count(found.get("cachedContentTokenCount")), count(found.get("totalTokenCount"))
    into, out = _modalities(found.get("promptTokensDetails")), _modalities(found.get("candidatesTokensDetails"))
    if total is None and "promptTokenCount" not in found:
        return None
    return Usage(
        prompt=prompt + tools,
        completion=said + (thought or 0),
        total=total,
        cached=cached,
        reasoning=thought,
        audio_prompt=count(into.get("AUDIO")),
        video_prompt=count(into.get("VIDEO")),
        audio_completion=count(out.get("AUDIO")),
        image_completion=count(out.get("IMAGE")),
        inconsistent=bad or (cached or 0) > prompt + tools,
        extra={key: value for key, value in found.items() if key not in KNOWN},
    )


def tier(found: Any) -> str | None:
    """The service tier in a usage object, by OpenAI's word for it; None where it says none."""
    said = found.get("serviceTier") if isinstance(found, dict) else None
    if not isinstance(said, str) or not said:
        return None
    return "default" if said.lower() == "standard" else said.lower()


def _modalities(found: Any) -> dict[str, Any]:
    """Tokens by modality."""
    entries = found if isinstance(found, list) else []
    return {
        entry["modality"]: entry.get("tokenCount")
        for entry in entries
        if isinstance(entry, dict) and isinstance(entry.get("modality"), str)
    }
