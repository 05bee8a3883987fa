"""Alibaba's Qwen."""

from trunkline.families.traits import Family

SOURCE = "langchain-aws #1188 and #1266, rust-genai #315 (efforts on Bedrock, tried there), read 2026-11-26"

FAMILY = (Family(pattern=r"qwen", source=SOURCE, thinking="reasoning_config", structured_output=True),)
