"""Families of which one fact is known: MiniMax, Z.AI's GLM, NVIDIA's Nemotron, Google's Gemma."""

from trunkline.families.traits import Family

SOURCE = 'Bedrock user guide, "Get validated JSON results", read 2026-11-26'

FAMILY = (Family(pattern=r"minimax|zai|z-ai|glm|nemotron|gemma", source=SOURCE, structured_output=True),)
