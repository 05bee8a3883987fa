"""A preset, said in the words of the dialect that a request is made in."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

from msgspec import Raw, Struct

from trunkline.dialects.common.request_fields import value
from trunkline.model.loss import Loss, Losses
from trunkline.model.preset import Config, PresetVersion
from trunkline.presets import tools
from trunkline.presets.names import ANYWHERE, KNOWN, OURS, Json, raw, some

MAX_STOPS = 4
"""Chat and Responses take four stop sequences, Messages any number."""
EFFORTS = {"minimal": "low"}
"""Efforts that Messages calls otherwise."""


class Said(Struct, frozen=True):
    """The fields of a request, and what of the preset they cannot say."""

    fields: dict[str, Raw]
    losses: tuple[Loss, ...]


@lru_cache(maxsize=128)
def said(version: PresetVersion, dialect: str) -> Said:
    """`say`, once for each version that is in use; what is lost is lost of the `preset`."""
    found = say(version.config, dialect)
    return Said(found.fields, tuple(Loss(f"preset.{loss.path}", loss.why) for loss in found.losses))


def say(config: Config, dialect: str) -> Said:
    """*config* as fields of a request of *dialect*, the system text excepted."""
    fields = {key: found for key, found in config.items() if key not in OURS}
    losses = Losses()
    _choose(fields, dialect, losses)
    _offer(fields, dialect, losses)
    _SHAPES[dialect](fields, losses)
    for key in fields.keys() & (ANYWHERE - KNOWN[dialect]):
        del fields[key]
        losses.add(key, f"{dialect} has no word for it")
    return Said(fields, tuple(sorted(losses.found(), key=lambda loss: loss.path)))


def _offer(fields: Config, dialect: str, losses: Losses) -> None:
    if "tools" in fields:
        found = enumerate(value(fields["tools"]))
        fields["tools"] = raw([tools.from_chat(tool, dialect, f"tools[{at}]", losses) for at, tool in found])


def _choose(fields: Config, dialect: str, losses: Losses) -> None:
    """Which tool to call, and in Messages how many at once: it has one field for both."""
    choice = None
    if "tool_choice" in fields:
        choice = tools.choice_from_chat(value(fields.pop("tool_choice")), dialect, losses)
    if dialect == "messages" and "parallel_tool_calls" in fields:
        alone = not value(fields.pop("parallel_tool_calls"))
        choice = choice or {"type": "auto"}
        if choice["type"] != "none":
            choice = {**choice, "disable_parallel_tool_use": alone}
    if choice is not None:
        fields["tool_choice"] = raw(choice)


# Each dialect's own.


def _chat(fields: Config, losses: Losses) -> None:
    _stops(fields, losses)
    if "reasoning" not in fields and "reasoning_effort" not in fields:
        _think(fields, losses)
    _forget_thinking(fields, losses)


def _messages(fields: Config, losses: Losses) -> None:
    _limit(fields, "max_tokens")
    if "stop" in fields:
        stop = value(fields.pop("stop"))
        fields["stop_sequences"] = raw([stop] if isinstance(stop, str) else stop)
    config: Json = value(fields.pop("output_config")) if "output_config" in fields else {}
    if "response_format" in fields:
        config.update(_messages_format(value(fields.pop("response_format")), losses))
    if "thinking" not in fields and "effort" not in config:
        thinking, effort = _thinking(_reasoning(fields), losses)
        if thinking is not None:
            fields["thinking"] = raw(thinking)
        config.update(some(effort=effort))
    for key in ("reasoning", "reasoning_effort"):
        fields.pop(key, None)
    if "verbosity" in fields:
        config.setdefault("effort", value(fields.pop("verbosity")))
    if config:
        fields["output_config"] = raw(config)
    if "service_tier" in fields and value(fields["service_tier"]) == "default":
        fields["service_tier"] = raw("standard_only")


def _responses(fields: Config, losses: Losses) -> None:
    _stops(fields, losses)
    _limit(fields, "max_output_tokens")
    text: Json = value(fields.pop("text")) if "text" in fields else {}
    if "response_format" in fields:
        text["format"] = _responses_format(value(fields.pop("response_format")))
    if "verbosity" in fields:
        text["verbosity"] = value(fields.pop("verbosity"))
    if text:
        fields["text"] = raw(text)
    reasoning = _reasoning(fields)
    fields.pop("reasoning_effort", None)
    if reasoning:
        fields["reasoning"] = raw(reasoning)
    else:
        _think(fields, losses)
    _forget_thinking(fields, losses)


_SHAPES: dict[str, Callable[[Config, Losses], None]] = {"chat": _chat, "messages": _messages, "responses": _responses}
"""A client dialect → what puts the preset's words in its own."""


def _limit(fields: Config, name: str) -> None:
    """The output limit under *name*; `max_completion_tokens` supersedes `max_tokens`."""
    said = [fields.pop(key) for key in ("max_completion_tokens", "max_tokens") if key in fields]
    if said:
        fields[name] = said[0]


def _stops(fields: Config, losses: Losses) -> None:
    stop = value(fields["stop"]) if "stop" in fields else ""
    if isinstance(stop, list) and len(stop) > MAX_STOPS:
        fields["stop"] = raw(stop[:MAX_STOPS])
        losses.add(f"stop[{MAX_STOPS}]", f"no more than {MAX_STOPS} are taken")


# The shape of the answer.


def _messages_format(form: Json, losses: Losses) -> Json:
    schema = (form.get("json_schema") or {}).get("schema")
    if form["type"] == "json_schema" and schema is not None:
        return {"format": {"type": "json_schema", "schema": schema}}
    if form["type"] != "text":
        losses.add("response_format", "messages has no word for it")
    return {}


def _responses_format(form: Json) -> Json:
    inner = form.get("json_schema")
    if form["type"] != "json_schema" or not isinstance(inner, dict):
        return form
    rest = {key: said for key, said in form.items() if key not in ("type", "json_schema")}
    return {"type": "json_schema", "schema": {}, **some(**inner), **rest}


# How much to think. Chat and Responses have `reasoning`, Messages `thinking` and `output_config.effort`.


def _reasoning(fields: Config) -> Json:
    """What `reasoning` and `reasoning_effort` say together."""
    found: Json = dict(value(fields["reasoning"])) if "reasoning" in fields else {}
    if "reasoning_effort" in fields:
        found.setdefault("effort", value(fields["reasoning_effort"]))
    return found


def _think(fields: Config, losses: Losses) -> None:
    """Say as `reasoning` what `thinking` and `output_config` say."""
    thinking: Json = value(fields["thinking"]) if "thinking" in fields else {}
    config: Json = value(fields["output_config"]) if "output_config" in fields else {}
    kind, effort = thinking.get("type"), config.get("effort")
    reasoning: Json = {}
    if kind == "disabled":
        reasoning = {"effort": "none"}
    elif kind == "enabled":
        reasoning = {"max_tokens": thinking["budget_tokens"]}
        if effort is not None:
            losses.add("output_config.effort", "it cannot stand beside a budget")
    elif effort is not None:
        reasoning = {"effort": effort}
    elif kind == "adaptive":
        reasoning = {"enabled": True}
    if reasoning:
        fields["reasoning"] = raw(reasoning)


def _forget_thinking(fields: Config, losses: Losses) -> None:
    """What is left of Messages' words is lost."""
    fields.pop("thinking", None)
    if "output_config" in fields:
        rest = {key: said for key, said in value(fields.pop("output_config")).items() if key != "effort"}
        losses.extra("output_config", rest, "only messages has a word for it")


def _thinking(reasoning: Json, losses: Losses) -> tuple[Json | None, str | None]:
    """Messages' `thinking` and effort for *reasoning*."""
    for key in ("summary", "context", "mode"):
        if reasoning.get(key) is not None:
            losses.add(f"reasoning.{key}", "messages has no word for it")
    effort, budget = reasoning.get("effort"), reasoning.get("max_tokens")
    if effort == "none" or reasoning.get("enabled") is False:
        return {"type": "disabled"}, None
    display: Any = "omitted" if reasoning.get("exclude") else None
    if budget is not None:
        return {"type": "enabled", "budget_tokens": budget, **some(display=display)}, None
    if effort is not None:
        return {"type": "adaptive", **some(display=display)}, EFFORTS.get(effort, effort)
    return ({"type": "adaptive", **some(display=display)} if reasoning.get("enabled") else None), None
