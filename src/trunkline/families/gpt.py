"""OpenAI's GPT models, and the open-weight gpt-oss."""

from trunkline.families.traits import LOW_TO_MAX, Family

BEDROCK = "langchain-aws #1188 and #1266, rust-genai #315 (efforts on Bedrock, tried there), read 2026-11-26"
RESPONSES = "OpenRouter's OpenAPI document, ResponsesRequest; OpenRouter, Reasoning tokens, read 2026-11-26"

_EFFORTS = ("none", *LOW_TO_MAX)

FAMILY = (
    Family(pattern=r"gpt-oss", source=BEDROCK, thinking="reasoning_effort", structured_output=True),
    Family(
        pattern=r"(?:^|/)gpt-5\.[6-9]-chat", source=RESPONSES, thinking="reasoning", efforts=_EFFORTS,
        structured_output=True, reasons=False, cache_breakpoints=True,
    ),
    Family(
        pattern=r"(?:^|/)(?:gpt-3|gpt-4|chatgpt-4|gpt-5(?:\.\d)?-chat)", source=RESPONSES, thinking="reasoning",
        efforts=_EFFORTS, structured_output=True, reasons=False,
    ),
    Family(
        pattern=r"gpt-(?:5\.(?:[6-9]|\d\d)|[6-9]|\d\d)", source=RESPONSES, thinking="reasoning", efforts=_EFFORTS,
        structured_output=True, cache_breakpoints=True,
    ),
    Family(
        pattern=r"openai[./]", source=BEDROCK, thinking="reasoning", efforts=_EFFORTS, structured_output=True,
    ),
)  # fmt: skip
