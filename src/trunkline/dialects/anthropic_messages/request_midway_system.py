"""System messages within the conversation, which few models take and recent clients send.

Claude takes them from Opus 4.8 on, where they stand behind a user's turn and are the last one or before the model's;
Claude Code sends them to whatever it talks to. Where they cannot stand, those at the very beginning go to the `system`
text. What a Messages client says later stays where it is, as the user's words in the tags that Claude Code has for it:
moved to the front, it would make all that was cached useless. Other dialects' go to the front.

Sources: Anthropic's guide "Mid-conversation system messages", Amazon's page of that name ("Placement rules"),
ollama #17774, QwenLM/Qwen #2244, langchainjs 1.5.13 (which models), read 2026-11-26.
"""

from collections.abc import Sequence
from typing import Any, TypeAlias

from trunkline.dialects.interfaces import Quirks
from trunkline.families.lookup import family_of
from trunkline.model.endpoint import Endpoint
from trunkline.model.loss import Losses

Json: TypeAlias = dict[str, Any]

HOIST = "a system message within the conversation stands before all of it"
AS_USER = "the model takes no system message within the conversation: the user says it"
NO_WORD = "it belongs to a system message within the conversation, which the model does not take"


def takes(endpoint: Endpoint, quirks: Quirks) -> bool:
    """Whether the model at *endpoint* takes them. On Vertex, where the path names the model, none does."""
    names = (endpoint.upstream_model, endpoint.model)
    return quirks.model_in_body and any(family_of(name).midway_system for name in names)


def placed(messages: list[Json], system: list[Json], midway: Sequence[str], losses: Losses) -> list[Json]:
    """*messages* of another dialect in turns, with those of the system that may stand there; the others join *system*.

    *midway* has the place of each in the client's words.
    """
    found: list[Json] = []
    places = iter(midway)
    for at, message in enumerate(messages):
        if message["role"] == "system":
            where = next(places)
            follows = messages[at + 1]["role"] if at + 1 < len(messages) else "assistant"
            if not found or found[-1]["role"] != "user" or follows != "assistant":
                losses.add(where, HOIST)
                system += message["content"]
                continue
        if found and found[-1]["role"] == message["role"]:
            found[-1]["content"] += message["content"]
        else:
            found.append(message)
    return found


def folded(messages: list[Json], system: list[Json], losses: Losses) -> list[Json]:
    """*messages* of a Messages client for a model that takes no system messages among them."""
    found: list[Json] = []
    waiting: list[Json] = []
    for at, message in enumerate(messages):
        if message["role"] != "system":
            found.append(_with(message, waiting) if message["role"] == "user" else message)
            waiting = [] if message["role"] == "user" else waiting
            continue
        blocks = _texts(message, f"messages[{at}]", losses)
        if not found:
            system += blocks
            continue
        losses.add(f"messages[{at}].role", AS_USER)
        tagged = [{**block, "text": f"<system-reminder>\n{block['text']}\n</system-reminder>"} for block in blocks]
        if found[-1]["role"] == "user":
            found[-1] = _with(found[-1], tagged)
        else:
            waiting += tagged
    return [*found, {"role": "user", "content": waiting}] if waiting else found


def blocks_of(content: Any) -> list[Json]:
    """The *content* of a message as blocks."""
    return [{"type": "text", "text": content}] if isinstance(content, str) else list(content)


def _with(message: Json, more: list[Json]) -> Json:
    return {**message, "content": [*blocks_of(message["content"]), *more]} if more else message


def _texts(message: Json, where: str, losses: Losses) -> list[Json]:
    """The texts of a system message, the only thing of it that others can say."""
    losses.extra(where, {key: said for key, said in message.items() if key not in ("role", "content")}, NO_WORD)
    blocks = blocks_of(message["content"])
    for at, block in enumerate(blocks):
        if block["type"] != "text":
            losses.add(f"{where}.content[{at}]", NO_WORD)
    return [block for block in blocks if block["type"] == "text" and block["text"].strip()]
