"""Signed thoughts that a client lost come back before the call that they led to."""

from msgspec.structs import replace

from trunkline.dialects.common.reasoning import ANTHROPIC, GEMINI, pack, unpack
from trunkline.dialects.common.signatures import Collector, Thoughts, restore
from trunkline.engine.signature_memory import KEPT_S, SignatureMemory
from trunkline.model.events import Delta, Event, PartEnded, PartStarted
from trunkline.model.request import Message, ReasoningPart, Request, TextPart, ToolCallPart

SIGNED = ReasoningPart(form="text", text="I look it up.", signature="c2ln", format=ANTHROPIC)
CALL = ToolCallPart("call_1", "look", "{}")


def collected(*events: Event) -> dict[str, Thoughts]:
    collector = Collector()
    for event in events:
        if isinstance(event, PartStarted):
            collector.part(event)
        elif isinstance(event, Delta) and collector.open:
            collector.delta(event)
    return collector.found


def thinking(index: int, *texts: str, signature: str | None = None) -> list[Event]:
    deltas: list[Event] = [Delta(index, text) for text in texts]
    if signature is not None:
        deltas.append(Delta(index, signature=signature))
    return [PartStarted(index, "reasoning", form="text", format=ANTHROPIC), *deltas, PartEnded(index)]


def asked(*parts: ReasoningPart | TextPart | ToolCallPart) -> Request:
    return Request(dialect="chat", messages=(Message(role="assistant", parts=parts),))


def test_what_led_to_a_call_is_found_by_its_id() -> None:
    events = [
        *thinking(0, "I look ", "it up.", signature="c2ln"),
        PartStarted(1, "text"),
        Delta(1, "Wait."),
        PartStarted(2, "tool_call", id="call_1", name="look"),
        Delta(2, "{}"),
        PartStarted(3, "tool_call", id="call_2", name="look"),
    ]
    assert collected(*events) == {"call_1": (SIGNED,)}


def test_unsigned_thoughts_are_nobodys_business() -> None:
    events = [*thinking(0, "I look it up."), PartStarted(1, "tool_call", id="call_1", name="look")]
    assert collected(*events) == {}


def test_a_calls_own_signature_is_one() -> None:
    events: list[Event] = [
        PartStarted(0, "reasoning", form="encrypted", format=GEMINI, id="call_1"),
        Delta(0, "c2ln"),
        PartStarted(1, "tool_call", id="call_1", name="look"),
    ]
    (part,) = collected(*events)["call_1"]
    assert part == ReasoningPart(form="encrypted", text="c2ln", format=GEMINI, id="call_1")


def test_they_are_put_before_the_call() -> None:
    request = asked(TextPart("Wait."), CALL)
    restored = restore(request, {"call_1": (SIGNED,)}.get)
    assert restored == asked(TextPart("Wait."), SIGNED, CALL)


def test_the_readable_side_of_them_is_not_said_twice() -> None:
    plain = ReasoningPart(form="plain", text="I look it up.")
    assert restore(asked(plain, CALL), {"call_1": (SIGNED,)}.get) == asked(SIGNED, CALL)


def test_a_client_that_kept_one_knows_better() -> None:
    request = asked(replace(SIGNED, text="Mine."), CALL)
    assert restore(request, {"call_1": (SIGNED,)}.get) is request


def test_what_is_not_known_is_left_alone() -> None:
    request = asked(CALL)
    assert restore(request, lambda _: None) is request


def test_each_key_has_its_own() -> None:
    memory = SignatureMemory(lambda: 0.0)
    memory.keep("a", {"call_1": (SIGNED,)})
    assert memory.find("a", "call_1") == (SIGNED,)
    assert memory.find("b", "call_1") is None


def test_they_are_forgotten() -> None:
    now = 0.0
    memory = SignatureMemory(lambda: now)
    memory.keep("a", {"call_1": (SIGNED,)})
    now = KEPT_S
    assert memory.find("a", "call_1") is None
    memory.keep("a", {"call_2": (SIGNED,)})
    assert memory.size == len("I look it up.") + len("c2ln") + len("call_2")


def test_there_is_a_bound() -> None:
    memory = SignatureMemory(lambda: 0.0, max_bytes=50)
    for number in range(10):
        memory.keep("a", {f"call_{number}": (SIGNED,)})
    assert memory.size <= 50
    assert memory.find("a", "call_9") == (SIGNED,)
    assert memory.find("a", "call_0") is None


def test_a_packed_thought_is_unpacked() -> None:
    assert unpack(pack(GEMINI, "call_1", "c2ln+/==")) == (GEMINI, "call_1", "c2ln+/==")
    assert unpack(pack(None, None, "")) == ("unknown", None, "")
    for other in ("", "c2ln", "data:x:y", "google-gemini-v1", "google-gemini-v1:a"):
        assert unpack(other) is None
