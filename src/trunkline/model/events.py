"""The events of a streamed response. A non-streaming response is the `fold` of the same events.

    Started (PartStarted | Delta | PartEnded | ChoiceEnded | Reported | Noted)* Finished

Parts are numbered 0, 1, 2 … in order of appearance over the whole response, independent of the upstream's numbering.
Each part belongs to one choice (`n` > 1 gives several). Each Delta lies between the start and the end of its part.
`extra` holds fields of the dialect that the vocabulary has no name for, under their wire names. An encoder of the same
dialect writes them back; other encoders omit them.
"""

from collections.abc import Iterable
from typing import Any, Literal, TypeAlias

from msgspec import Struct, field

from trunkline.model.citation import Citation
from trunkline.model.usage import Usage

PartKind = Literal[
    "text", "reasoning", "refusal", "tool_call", "server_tool_call", "server_tool_result", "image", "audio", "opaque"
]
"""`tool_call`: executed by the client. `server_tool_call`, `server_tool_result`: executed by the provider, and its
result. `opaque`: a part of an unknown kind, kept unchanged, in the dialect that `Started.dialect` names."""

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
    """The response has started. `id` and `model` are the upstream's; `created` is Unix seconds, 0 where unknown."""

    id: str = ""
    model: str = ""
    created: int = 0
    dialect: str = ""
    """The upstream's dialect. `extra`, `native` and opaque parts of this response are in it."""
    usage: Usage | None = None
    """Usage reported at the start (Anthropic does so): the input, and hardly any output. None where not reported."""
    extra: Extra = field(default_factory=dict)


class PartStarted(Struct, frozen=True, tag="part_started", omit_defaults=True):
    """A part starts. `id` and `name` are those of a tool call; `form` is the shape of a reasoning part.

    Reasoning forms: `plain` (only text is known), `text` (may be signed), `summary`, `encrypted` (opaque `data`),
    `server_tool_call`. `format` names the provider format of the reasoning (`anthropic-claude-v1` …), None where
    unknown. Parts of reasoning that are one item upstream (OpenAI's summaries and encrypted content) share its `id`. An
    encrypted part whose `id` is that of a tool call is the signature of that call (Gemini's thought signature), and
    precedes it.

    Tool calls have the form `custom` where their input is free text. The `name` of a server tool call is the upstream's
    name of the tool (`web_search`); its deltas are the arguments as JSON text. The `id` of a server tool result is that
    of its call. Both keep the upstream's other fields in `extra`. The text of an image is its http(s) or data URL.
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
    """A piece of a part. Texts are appended: text, reasoning, refusal, arguments, base64 audio, encrypted data.

    `signature` replaces the previous value; `logprobs` entries and `citations` are appended; `extra` is merged into the
    previous value. Citations belong to the text part of the delta.
    """

    index: int
    text: str = ""
    signature: str | None = None
    logprobs: dict[str, Any] | None = None
    citations: tuple[Citation, ...] | None = None
    extra: Extra | None = None
    native: Native | None = None


class PartEnded(Struct, frozen=True, tag="part_ended"):
    """The part is complete."""

    index: int


class ChoiceEnded(Struct, frozen=True, tag="choice_ended", omit_defaults=True):
    """A choice is complete.

    `reason` is the normalized finish reason, `native` the upstream's own; None where not sent.

    `stop` is the stop sequence that was matched; None where none was matched or the upstream did not send it.
    """

    choice: int = 0
    reason: FinishReason | None = None
    native: str | None = None
    stop: str | None = None
    extra: Extra = field(default_factory=dict)


class Reported(Struct, frozen=True, tag="reported", omit_defaults=True):
    """Usage so far. It replaces usage that was reported before.

    `final` is False where the upstream reported it while its answer went on. The last report of an answer that has
    ended counts as final.
    """

    usage: Usage
    final: bool = True


class Noted(Struct, frozen=True, tag="noted", omit_defaults=True):
    """Fields beside the choices that the vocabulary has no name for (`x_groq`, `timings`, `citations` …).

    `event` is a whole event of the upstream's that the vocabulary has no name for.
    """

    extra: Extra = field(default_factory=dict)
    event: Extra | None = None


class Finished(Struct, frozen=True, tag="finished"):
    """The dialect's own end of stream was received. It is the last event of every complete stream."""


Event: TypeAlias = Started | PartStarted | Delta | PartEnded | ChoiceEnded | Reported | Noted | Finished


def check(events: Iterable[Event]) -> None:
    """Raise AssertionError unless *events* follow the grammar in this module's docstring."""
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
