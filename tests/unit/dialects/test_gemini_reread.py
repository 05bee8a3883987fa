"""Captured requests of Gemini, read in our words and written again. Skipped where ../shared is not there."""

import msgspec
import pytest
from chat_help import Shared
from gemini_help import GEMINI, endpoint
from gemini_reader import read
from reread import Absent, Form, Instead, Joined, Json, Spelled, at_model, compare

FOLDER = "fixtures/upstream/gemini"

EMPTY = "an empty object says nothing"
PROTO = "the API takes both spellings, and its own is this one; what google-genai writes it spells so too"
WRONG = "a role that there is not: the capture shows what the refusal is, and nobody can ask that of us"
TURNS = "turns alternate: two of the user's are one"

SNAKE = Spelled(("tools", 0, "functionDeclarations", 0, "parameters_json_schema"), "parametersJsonSchema", PROTO)
FORMS: dict[str, tuple[Form, ...]] = {
    "google--google-model-safety-settings--n0": (Absent(("generationConfig",), {}, EMPTY),),
    "google--google-streaming-tool-call-thought-signature--s1": (SNAKE,),
    "google--l-tool-return-matrix-tool-return-content-url-document-google-2-5--n2": (
        SNAKE,
        Joined(("contents", 3), TURNS),
    ),
    "google--mini-3-5-flash-grounds-the-answer-and-exposes-the-queries-it-ran--n0": (
        Absent(("generationConfig",), {}, EMPTY),
        Spelled(("tools", 0, "google_search"), "googleSearch", PROTO),
    ),
    "google--mini-gemini-3-5-flash-runs-code-server-side-and-replays-the-turn--n0": (
        Absent(("generationConfig",), {}, EMPTY),
        Spelled(("tools", 0, "code_execution"), "codeExecution", PROTO),
    ),
    "vertex--generate-content-invalid-role--n0": (Instead(("contents", 0, "role"), "invalid_role", "user", WRONG),),
}
"""Capture → where we write the same in another form."""


def test_every_request_comes_back(shared: Shared, subtests: pytest.Subtests) -> None:
    manifest = shared("fixtures/upstream/manifest.json").read_bytes()
    seen: set[str] = set()
    for path in sorted(shared(FOLDER).glob("*/request.json")):
        name = path.parent.name
        seen.add(name)
        with subtests.test(name):
            captured: Json = msgspec.json.decode(path.read_bytes())
            found = read(captured, vertex=name.startswith("vertex--"))
            encoded = GEMINI.encode(found.request, at_model(endpoint(), manifest, name), found.quirks)
            compare(captured, msgspec.json.decode(encoded.body), FORMS.get(name, ()))
            assert not encoded.losses
    assert len(seen) == 16
    assert seen >= FORMS.keys()
