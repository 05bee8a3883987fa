"""Google's Gemini: a thinking budget in tokens (2.5), or a thinking level (3 and later, which also take a budget)."""

from trunkline.families.traits import Family

SOURCE = 'Gemini API, "Thinking" (the table of budgets), read 2026-11-26'

LEVELS = ("minimal", "low", "medium", "high")

FAMILY = (
    Family(pattern=r"gemini-3-pro", source=SOURCE, levels=("low", "high"), stops_thinking=False),
    Family(pattern=r"gemini-(?:[3-9]|\d\d)[.\d]*-pro", source=SOURCE, levels=LEVELS[1:], stops_thinking=False),
    Family(pattern=r"gemini-(?:[3-9]|\d\d)", source=SOURCE, levels=LEVELS, stops_thinking=False),
    Family(pattern=r"2\.5-pro", source=SOURCE, least_budget=128, most_budget=32_768, stops_thinking=False),
    Family(pattern=r"2\.5-flash-lite", source=SOURCE, least_budget=512, most_budget=24_576),
    Family(pattern=r"2\.5-flash", source=SOURCE, most_budget=24_576),
)
