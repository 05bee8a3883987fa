"""Mistral's models."""

from trunkline.families.traits import Family

SOURCE = 'Bedrock user guide, "Get validated JSON results", read 2026-11-26'

FAMILY = (Family(pattern=r"mistral", source=SOURCE, top_k="top_k", structured_output=True),)
