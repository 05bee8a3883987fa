"""Captured requests of Converse, read in our words and written again. Skipped where ../shared is not there."""

from typing import Any

import msgspec
import pytest
from chat_help import Shared
from converse_help import endpoint
from converse_reader import read
from reread import Absent, Form, Instead, Json, Respaced, at_model, compare

from trunkline.dialects.bedrock_converse.request_normalization import NOTHING
from trunkline.dialects.interfaces import Quirks
from trunkline.dialects.registry import CLIENTS, UPSTREAMS

CONVERSE = UPSTREAMS["converse"]
FOLDER = "fixtures/upstream/bedrock_converse"

EMPTY = "it says nothing, and boto3 takes it or leaves it; we leave it out, which every model takes"
BLANKS = "a schema is JSON in a string; boto3 takes any, and ours has no blanks"
GUARDED = "no client's dialect marks what a guardrail is to look at; in Converse's own it comes back"

CONFIG = Absent(("inferenceConfig",), {}, EMPTY)
SYSTEM = Absent(("system",), [], EMPTY)
STOPS = Absent(("inferenceConfig", "stopSequences"), [], EMPTY)
SCHEMA = Respaced(("outputConfig", "textFormat", "structure", "jsonSchema", "schema"), BLANKS)
GUARD = Instead(
    ("messages", 0, "content"),
    [
        {"guardContent": {"text": {"text": text, "qualifiers": [what]}}}
        for text, what in (
            ("Tokyo is the capital of Japan 1234561666.", "grounding_source"),
            ("What is the capital of Japan?", "query"),
        )
    ],
    [{"text": NOTHING}],
    GUARDED,
)
FORMS: dict[str, dict[str, tuple[Form, ...]]] = {
    "converse": {"bedrock--bedrock-native-output-mistral--n0": (SCHEMA,)},
    "messages": {
        "bedrock--arch-with-bedrock-amazon-nova-2-lite-v1-0-streams-grounded-turns--s0": (CONFIG,),
        "bedrock--bedrock-converse-error--n0": (STOPS,),
        "bedrock--bedrock-converse-stream-prompt-caching--s1": (STOPS,),
        "bedrock--bedrock-model-thinking-part-anthropic-adaptive--n1": (CONFIG, SYSTEM),
        "bedrock--bedrock-model-thinking-part-deepseek--n1": (CONFIG, SYSTEM),
        "bedrock--bedrock-model-thinking-part-redacted--n0": (CONFIG, SYSTEM),
        "bedrock--bedrock-model-thinking-part-stream--s0": (CONFIG, SYSTEM),
        "bedrock--bedrock-model-with-code-execution-tool--n0": (CONFIG,),
        "bedrock--bedrock-moonshotai-tool-call--n0": (CONFIG,),
        "bedrock--bedrock-native-output-mistral--n0": (CONFIG, SYSTEM, SCHEMA),
        "bedrock--bedrock-single-tool-choice-preserves-cache-anthropic--n0": (CONFIG,),
        "bedrock--bedrock-single-tool-choice-preserves-cache-nova--n1": (CONFIG,),
        "bedrock--bedrock-thinking-high-qwen-variant--n0": (CONFIG, SYSTEM),
        "bedrock--bedrock-zai-native-output--n0": (CONFIG,),
        "bedrock--k-amazon-nova-2-lite-v1-0-handles-context-length-exceeded-errors--n0": (CONFIG,),
        "bedrock--k-claude-haiku-4-5-cites-tool-results-returned-as-search-results--n1": (CONFIG,),
        "bedrock--nova-converse-stream-with-events-with-no-content--s0": (GUARD,),
        "bedrock--odels-bedrock-amazon-nova-2-lite-v1-0-can-understand-remote-text--n1": (CONFIG,),
    },
}
"""Whose words the request is in → capture → where we write the same in another form."""
LOST = {
    ("messages", "bedrock--nova-converse-stream-with-events-with-no-content--s0"): [
        "messages[1].content[0]",
        "messages[1].content[1]",
    ]
}
"""Whose words it is in, and capture → what is told to be lost; the system text is the first message."""


@pytest.mark.parametrize("dialect", FORMS)
def test_every_request_comes_back(dialect: str, shared: Shared, subtests: pytest.Subtests) -> None:
    manifest = shared("fixtures/upstream/manifest.json").read_bytes()
    seen: set[str] = set()
    for path in sorted(shared(FOLDER).glob("*/request.json")):
        name = path.parent.name
        seen.add(name)
        with subtests.test(name):
            captured: Json = msgspec.json.decode(path.read_bytes())
            found = read(captured, dialect=dialect)
            encoded = CONVERSE.encode(found.request, at_model(endpoint(), manifest, name), found.quirks)
            compare(captured, msgspec.json.decode(encoded.body), FORMS[dialect].get(name, ()))
            assert [loss.path for loss in encoded.losses] == LOST.get((dialect, name), [])
    assert len(seen) == 20
    assert seen >= FORMS[dialect].keys()


# What a client of ours can say.

SCHEMA_OF_ONE: Json = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}
ASKED: Json = {
    "max_tokens": 2000, "temperature": 0.5, "stop_sequences": ["x"],
    "system": [{"type": "text", "text": "s", "cache_control": {"type": "ephemeral"}}],
    "messages": [
        {"role": "user", "content": "u"},
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "t", "signature": "c2ln"},
                {"type": "text", "text": "a"},
                {"type": "tool_use", "id": "c", "name": "f", "input": {"a": "b"}},
            ],
        },
        {
            "role": "user",
            "content": [
                {
                    "type": "tool_result", "tool_use_id": "c", "is_error": False,
                    "content": [
                        {"type": "text", "text": "r"},
                        {
                            "type": "search_result", "source": "https://a.example", "title": "t",
                            "content": [{"type": "text", "text": "found"}], "citations": {"enabled": True},
                        },
                    ],
                }
            ],
        },
    ],
    "tools": [
        {
            "name": "f", "description": "d", "input_schema": SCHEMA_OF_ONE, "strict": True,
            "cache_control": {"type": "ephemeral"},
        }
    ],
}  # fmt: skip
SONNET, NOVA, QWEN = "anthropic.claude-sonnet-4-5", "amazon.nova-2-lite-v1:0", "qwen.qwen3-32b-v1:0"
SHAPE = {"type": "json_schema", "json_schema": {"name": "n", "description": "d", "schema": SCHEMA_OF_ONE}}
CLIENTS_SAY: list[tuple[str, str, Json]] = [
    ("messages", SONNET, {**ASKED, "tool_choice": {"type": "auto"}}),
    ("messages", SONNET, {**ASKED, "tool_choice": {"type": "any"}}),
    ("messages", SONNET, {**ASKED, "tool_choice": {"type": "tool", "name": "f"}}),
    ("messages", SONNET, {**ASKED, "temperature": 1, "thinking": {"type": "enabled", "budget_tokens": 1024}}),
    ("messages", NOVA, {**ASKED, "top_p": 0.9, "top_k": 9, "tools": [{"type": "web_search_20250305", "name": "w"}]}),
    ("chat", QWEN, {"messages": [{"role": "user", "content": "u"}], "reasoning_effort": "high"}),
    ("chat", SONNET, {"messages": [{"role": "user", "content": "u"}], "response_format": SHAPE}),
]
"""A client's dialect, the model it asks, and with what."""
UNSAID = {
    "messages.content.guardContent": GUARDED,
    "guardrailConfig": "an operator's, by the quirk `body`",
}
"""What requests hold that no client of ours can say, and why."""


def kinds(found: Any, path: str = "") -> set[str]:
    """The fields in a request, down to what is the caller's own."""
    if path in UNSAID or path.endswith((".input", ".json", ".schema")) or isinstance(found, str | int | float):
        return {path}
    if isinstance(found, list):
        return {kind for one in found for kind in kinds(one, path)} or {path}
    return {kind for key, value in found.items() for kind in kinds(value, f"{path}.{key}".lstrip("."))} or {path}


def test_every_field_of_a_request_can_be_said(shared: Shared) -> None:
    written = set(UNSAID)
    for client, model, body in CLIENTS_SAY:
        speaks = CLIENTS[client]
        asked = speaks.decode(speaks.parse(msgspec.json.encode({"model": "acme/small", **body})))
        encoded = CONVERSE.encode(asked, endpoint(model), Quirks())
        written |= kinds(msgspec.json.decode(encoded.body))
    for path in sorted(shared(FOLDER).glob("*/request.json")):
        held = kinds(msgspec.json.decode(path.read_bytes())) - {"inferenceConfig", "system"}  # where they are empty
        assert held <= written, path.parent.name
