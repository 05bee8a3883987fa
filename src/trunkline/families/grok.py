"""xAI's Grok."""

from trunkline.families.traits import Family

SOURCE = "OpenRouter, Reasoning tokens, read 2026-11-26"

FAMILY = (Family(pattern=r"grok", source=SOURCE, reasoning_format="xai-responses-v1"),)
