"""DeepSeek's models."""

from trunkline.families.traits import Family

SOURCE = 'Bedrock user guide, "Get validated JSON results", read 2026-11-26'

FAMILY = (Family(pattern=r"deepseek[./](?:deepseek-)?v", source=SOURCE, structured_output=True),)
