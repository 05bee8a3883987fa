"""Captured requests of Converse, read in our words and written again. Skipped where ../shared is not there."""

import msgspec
import pytest
from chat_help import Shared
from converse_help import endpoint
from converse_reader import read
from reread import Absent, Form, Instead, Json, Respaced, at_model, compare

from trunkline.dialects.bedrock_converse.turns import NOTHING
from trunkline.dialects.registry import UPSTREAMS

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
