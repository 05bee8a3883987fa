"""The stream: what an upstream says, piece by piece. A non-streaming answer is `fold` of the same events.

    Started (PartStarted | Delta | PartEnded | ChoiceEnded | Reported | Noted)* Finished

Parts are numbered 0, 1, 2 … in order of appearance over the whole answer, whatever the upstream numbered them; each
belongs to one choice (`n` > 1 gives several). Each Delta lies between the start and the end of its index. `extra` holds
what a dialect says beyond the vocabulary, by the wire's own names; an encoder of the same dialect gives it back, others
leave it out.
"""

from collections.abc import Iterable
from typing import Any, Literal, TypeAlias

from msgspec import Struct, field

from trunkline.model.citation import Citation
from trunkline.model.usage import Usage

PartKind = Literal[
    "text", "reasoning", "refusal", "tool_call", "server_tool_call", "server_tool_result", "image", "audio", "opaque"
]
"""tool_call: for the client to run; server_tool_call, server_tool_result: one that the provider runs itself, and what
came of it; opaque: a part of a kind we do not know, carried as it came, in the dialect that `Started.dialect` names."""

FinishReason = Literal["stop", "length", "tool_calls", "content_filter", "error"]

Extra: TypeAlias = dict[str, Any]


class Item(Struct, frozen=True, omit_defaults=True):
    """The item that a part stands in, in dialects where one item becomes several parts (Responses).

    `at` is its number in the answer, `fields` what it says beside its content. `empty` says that it has no content: the
    part stands for the item alone. `content` is an opaque part of its content, as it came.
    """

    at: int
    fields: Extra
    empty: bool = False
    content: Extra | None = None


class Native(Struct, frozen=True, omit_defaults=True):
    """What a delta says beyond the vocabulary and beside `extra`; only an encoder of the same dialect reads it.

    `item` holds the fields of the part's item as they are in the end, `event` an event about the part, as it came.
    `kind` is the type of a delta whose fields are in `extra` (Messages). `bare`: the image came as base64 alone.
    """

    item: Extra | None = None
    event: Extra | None = None
    kind: str | None = None
    bare: bool = False


class Started(Struct, frozen=True, tag="started", omit_defaults=True):
    """The answer has begun. `id` and `model` are the upstream's own; `created` is Unix seconds, 0 where not said."""

    id: str = ""
    model: str = ""
    created: int = 0
    dialect: str = ""
    """Whose words `extra`, `native` and opaque parts of this answer are in: the upstream's dialect."""
    usage: Usage | None = None
    """What is known of the input already (Anthropic says so at once); None where nothing is."""
    extra: Extra = field(default_factory=dict)


class PartStarted(Struct, frozen=True, tag="part_started", omit_defaults=True):
    """A part begins. `id` and `name` are a tool call's; `form` is the shape of a reasoning part, below.

    Reasoning forms: `plain` (only text is known), `text` (may be signed), `summary`, `encrypted` (opaque `data`),
    `server_tool_call`. `format` names whose reasoning it is (`anthropic-claude-v1` …), None where nobody said. Parts of
    reasoning that are one item upstream (OpenAI's summaries and encrypted content) share its `id`. An encrypted part
    whose `id` is a tool call's is that call's own signature (Gemini's thought signature), and comes before it.

    Tool calls have the form `custom` where their input is free text. A server tool call's `name` is what the upstream
    calls the tool (`web_search`), its deltas are its arguments as JSON text; a server tool result's `id` is its call's.
    Both have what the upstream said of them in `extra`. An image's text is its http(s) or data URL.
    """

    index: int
    kind: PartKind
    choice: int = 0
    id: str | None = None
    name: str | None = None
    form: str | None = None
    format: str | None = None
    extra: Extra = field(default_factory=dict)
    item: Item | None = None


class Delta(Struct, frozen=True, tag="delta", omit_defaults=True):
    """A piece of a part. Pieces append: text, reasoning, refusal, arguments, base64 audio, encrypted data.

    `signature` replaces what was there; `logprobs` entries and `citations` extend; `extra` is merged over what was
    there. Citations belong to the text part that they come with.
    """

    index: int
    text: str = ""
    signature: str | None = None
    logprobs: dict[str, Any] | None = None
    citations: tuple[Citation, ...] | None = None
    extra: Extra | None = None
    native: Native | None = None


class PartEnded(Struct, frozen=True, tag="part_ended"):
    """Nothing more comes of this part."""

    index: int


class ChoiceEnded(Struct, frozen=True, tag="choice_ended", omit_defaults=True):
    """A choice is complete. `native` is the upstream's own word, `reason` ours; None where it gave none.

    `stop` is the stop sequence that was met, None where it was none or nobody said.
    """

    choice: int = 0
    reason: FinishReason | None = None
    native: str | None = None
    stop: str | None = None
    extra: Extra = field(default_factory=dict)


class Reported(Struct, frozen=True, tag="reported"):
    """Usage so far, replacing what was reported before."""

    usage: Usage


class Noted(Struct, frozen=True, tag="noted", omit_defaults=True):
    """Fields beside the choices that the vocabulary has no name for (`x_groq`, `timings`, `citations` …).

    `event` is a whole event of the upstream's that the vocabulary has no name for.
    """

    extra: Extra = field(default_factory=dict)
    event: Extra | None = None


class Finished(Struct, frozen=True, tag="finished"):
    """The dialect's own end was seen. Always the last event, and there is none without it."""


Event: TypeAlias = Started | PartStarted | Delta | PartEnded | ChoiceEnded | Reported | Noted | Finished


def check(events: Iterable[Event]) -> None:
    """Raise AssertionError unless *events* are a stream as the head of this module says."""
    opened: set[int] = set()
    ended: set[int] = set()
    choices: set[int] = set()
    state = "new"
    for event in events:
        assert state != "finished", f"{event} after Finished"
        match event:
            case Started():
                assert state == "new", "Started twice"
                state = "started"
            case PartStarted(index=index):
                assert state == "started", f"{event} before Started"
                assert event.choice not in choices, f"part {index} of choice {event.choice}, which has ended"
                assert index == len(opened), f"part {index} is out of order"
                opened.add(index)
            case Delta(index=index):
                assert index in opened, f"delta of part {index}, which has not begun"
                assert index not in ended, f"delta of part {index}, which has ended"
            case PartEnded(index=index):
                assert index in opened, f"end of part {index}, which has not begun"
                assert index not in ended, f"part {index} ended twice"
                ended.add(index)
            case ChoiceEnded(choice=choice):
                assert state == "started", f"{event} before Started"
                assert choice not in choices, f"choice {choice} ended twice"
                choices.add(choice)
            case Finished():
                assert state == "started", f"{event} before Started"
                assert opened == ended, f"parts {sorted(opened - ended)} never ended"
                state = "finished"
            case _:
                assert state == "started", f"{event} before Started"
    assert state == "finished", "no Finished"
