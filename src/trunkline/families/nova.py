"""Amazon's Nova."""

from trunkline.families.traits import Family

SOURCE = 'Bedrock user guide, "Amazon Nova" (request schema, reasoning) and "Prompt caching", read 2026-11-26'

_MARKS = frozenset({"system", "messages"})

FAMILY = (
    Family(
        pattern=r"nova-2", source=SOURCE, thinking="nova", top_k="topK", cache_marks=_MARKS, forced_tool=True,
        server_tools=(
            ("web_search", "nova_grounding"), ("openrouter:web_search", "nova_grounding"),
            ("google_search", "nova_grounding"), ("code_execution", "nova_code_interpreter"),
            ("code_interpreter", "nova_code_interpreter"),
        ),
    ),
    Family(pattern=r"amazon[./]nova", source=SOURCE, top_k="topK", cache_marks=_MARKS, forced_tool=True),
)  # fmt: skip
