"""What Claude answers 400 to in the turns and the sampling of another dialect's request, put right.

- A conversation begins with the user, and no turn says nothing.
- A turn of the model that has thoughts begins with one and does not end with one.
- An answer that was begun for the model has no thoughts, and no blanks at its end; newer models take none at all.
- Newer models take a temperature or `top_p`, not both; the newest neither.

Sources: Anthropic's guides "Extended thinking", "Prefill Claude's response", "What's new in Claude 4.6" (prefill
removal) and "What's new in Claude Opus 4.7" (sampling parameters removed); claude-code #20705, forgecode #2107, all
read 2026-11-26.
"""

from collections.abc import Sequence
from typing import Any, TypeAlias

from trunkline.dialects.anthropic_messages.request_midway_system import placed
from trunkline.dialects.common.tool_pairing import NOTHING
from trunkline.families.traits import Family
from trunkline.model.loss import Losses

Json: TypeAlias = dict[str, Any]

GO_ON = "(go on)"
"""What the user says where a model takes no answer begun for it."""
THOUGHTS = frozenset({"thinking", "redacted_thinking"})
SAMPLERS = ("temperature", "top_p", "top_k")


def turns(
    messages: list[Json], system: list[Json], midway: Sequence[str], family: Family, losses: Losses, where: str
) -> list[Json]:
    """*messages* as the provider takes them; *where* names them in losses. What cannot stay joins *system*.

    *midway* names the system messages among them, in order.
    """
    if family.claude:
        for message in messages:
            if message["role"] == "assistant":
                message["content"] = _thoughts(message["content"], losses, where)
    messages = placed([message for message in messages if message["content"]], system, midway, losses)
    if not messages or messages[0]["role"] == "assistant":
        if messages:
            losses.add(f"{where}[0]", "a conversation begins with the user: one who says nothing does")
        messages.insert(0, _user(NOTHING))
    if messages[-1]["role"] == "assistant":
        _begun(messages, family, losses, where)
    return messages


def _thoughts(blocks: list[Json], losses: Losses, where: str) -> list[Json]:
    """The *blocks* of one turn, its thoughts where they may stand."""
    end = len(blocks)
    while end and blocks[end - 1]["type"] in THOUGHTS:
        end -= 1
    if end < len(blocks):
        losses.add(f"{where}.reasoning", "a thought that nothing came of")
    kept = blocks[:end]
    if kept and kept[0]["type"] not in THOUGHTS and any(block["type"] in THOUGHTS for block in kept):
        losses.add(f"{where}.reasoning", "a turn with thoughts begins with one: those of this turn are left out")
        kept = [block for block in kept if block["type"] not in THOUGHTS]
    return kept


def _begun(messages: list[Json], family: Family, losses: Losses, where: str) -> None:
    """The last of *messages* is an answer that was begun for the model."""
    last = messages[-1]
    if not family.prefill:
        losses.add(f"{where}[{len(messages) - 1}]", "the model takes no answer begun for it: the user asks it to go on")
        messages.append(_user(GO_ON))
        return
    if family.claude and last["content"][0]["type"] in THOUGHTS:
        losses.add(f"{where}.reasoning", "an answer that was begun has no thoughts")
        last["content"] = [block for block in last["content"] if block["type"] not in THOUGHTS]
    end = last["content"][-1]
    if end["type"] == "text":
        end["text"] = end["text"].rstrip()


def _user(text: str) -> Json:
    return {"role": "user", "content": [{"type": "text", "text": text}]}


def sampling(body: Json, family: Family, losses: Losses) -> None:
    """Take out of *body* what the model does not take of sampling."""
    if family.no_sampler:
        for name in SAMPLERS:
            said = body.pop(name, None)
            if said is not None and (said != 1 or name == "top_k"):  # at 1 the others do nothing
                losses.add(name, "the model takes none")
    elif family.claude and family.one_sampler and "temperature" in body and body.pop("top_p", None) is not None:
        losses.add("top_p", "the model takes a temperature or this, not both")
