"""Encode a preset in the dialect of the request that uses it."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

from msgspec import Raw, Struct

from trunkline.dialects.common.request_fields import value
from trunkline.dialects.registry import CLIENTS
from trunkline.model.loss import Loss, Losses
from trunkline.model.preset import Config, PresetVersion
from trunkline.presets import tools
from trunkline.presets.fields import GATEWAY_FIELDS, Json, encode_raw, without_none

DIALECT_FIELDS: dict[str, frozenset[str]] = {name: client.fields for name, client in CLIENTS.items()}
"""A client dialect → its fields. A field that no dialect has is specific to a provider and is sent in every dialect."""
ALL_DIALECT_FIELDS = frozenset[str]().union(*DIALECT_FIELDS.values())
MAX_STOPS = 4
"""The maximum number of stop sequences in chat and Responses. Messages has no limit."""
MESSAGES_EFFORTS = {"minimal": "low"}
"""Chat's effort → Messages' effort, where they differ."""


class DialectFields(Struct, frozen=True):
    """The preset as fields of a request, and the fields that the dialect cannot express."""

    fields: dict[str, Raw]
    losses: tuple[Loss, ...]


@lru_cache(maxsize=128)
def version_to_dialect(version: PresetVersion, dialect: str) -> DialectFields:
    """`config_to_dialect`, cached per version. Loss paths begin with `preset`."""
    found = config_to_dialect(version.config, dialect)
    return DialectFields(found.fields, tuple(Loss(f"preset.{loss.path}", loss.why) for loss in found.losses))


def config_to_dialect(config: Config, dialect: str) -> DialectFields:
    """Encode *config* as fields of a request of *dialect*, without the system text."""
    fields = {key: found for key, found in config.items() if key not in GATEWAY_FIELDS}
    losses = Losses()
    _encode_tool_choice(fields, dialect, losses)
    _encode_tools(fields, dialect, losses)
    _FROM_CHAT[dialect](fields, losses)
    for key in fields.keys() & (ALL_DIALECT_FIELDS - DIALECT_FIELDS[dialect]):
        del fields[key]
        losses.add(key, f"{dialect} has no word for it")
    return DialectFields(fields, tuple(sorted(losses.found(), key=lambda loss: loss.path)))


def _encode_tools(fields: Config, dialect: str, losses: Losses) -> None:
    if "tools" in fields:
        found = enumerate(value(fields["tools"]))
        fields["tools"] = encode_raw(
            [tools.tool_from_chat(tool, dialect, f"tools[{at}]", losses) for at, tool in found]
        )


def _encode_tool_choice(fields: Config, dialect: str, losses: Losses) -> None:
    """Encode the tool choice. Messages has one field for it and for `parallel_tool_calls`."""
    choice = None
    if "tool_choice" in fields:
        choice = tools.choice_from_chat(value(fields.pop("tool_choice")), dialect, losses)
    if dialect == "messages" and "parallel_tool_calls" in fields:
        alone = not value(fields.pop("parallel_tool_calls"))
        choice = choice or {"type": "auto"}
        if choice["type"] != "none":
            choice = {**choice, "disable_parallel_tool_use": alone}
    if choice is not None:
        fields["tool_choice"] = encode_raw(choice)


# Conversion to each dialect.


def _to_chat(fields: Config, losses: Losses) -> None:
    _limit_stops(fields, losses)
    if "reasoning" not in fields and "reasoning_effort" not in fields:
        _thinking_to_reasoning(fields, losses)
    _drop_thinking(fields, losses)


def _to_messages(fields: Config, losses: Losses) -> None:
    _rename_output_limit(fields, "max_tokens")
    if "stop" in fields:
        stop = value(fields.pop("stop"))
        fields["stop_sequences"] = encode_raw([stop] if isinstance(stop, str) else stop)
    config: Json = value(fields.pop("output_config")) if "output_config" in fields else {}
    if "response_format" in fields:
        config.update(_messages_format(value(fields.pop("response_format")), losses))
    if "thinking" not in fields and "effort" not in config:
        thinking, effort = _reasoning_to_thinking(_merged_reasoning(fields), losses)
        if thinking is not None:
            fields["thinking"] = encode_raw(thinking)
        config.update(without_none(effort=effort))
    for key in ("reasoning", "reasoning_effort"):
        fields.pop(key, None)
    if "verbosity" in fields:
        config.setdefault("effort", value(fields.pop("verbosity")))
    if config:
        fields["output_config"] = encode_raw(config)
    if "service_tier" in fields and value(fields["service_tier"]) == "default":
        fields["service_tier"] = encode_raw("standard_only")


def _to_responses(fields: Config, losses: Losses) -> None:
    _limit_stops(fields, losses)
    _rename_output_limit(fields, "max_output_tokens")
    text: Json = value(fields.pop("text")) if "text" in fields else {}
    if "response_format" in fields:
        text["format"] = _responses_format(value(fields.pop("response_format")))
    if "verbosity" in fields:
        text["verbosity"] = value(fields.pop("verbosity"))
    if text:
        fields["text"] = encode_raw(text)
    reasoning = _merged_reasoning(fields)
    fields.pop("reasoning_effort", None)
    if reasoning:
        fields["reasoning"] = encode_raw(reasoning)
    else:
        _thinking_to_reasoning(fields, losses)
    _drop_thinking(fields, losses)


_FROM_CHAT: dict[str, Callable[[Config, Losses], None]] = {
    "chat": _to_chat,
    "messages": _to_messages,
    "responses": _to_responses,
}
"""A client dialect → the function that converts chat's form to its own, in place."""


def _rename_output_limit(fields: Config, name: str) -> None:
    """Move the output limit to *name*. `max_completion_tokens` takes precedence over `max_tokens`."""
    said = [fields.pop(key) for key in ("max_completion_tokens", "max_tokens") if key in fields]
    if said:
        fields[name] = said[0]


def _limit_stops(fields: Config, losses: Losses) -> None:
    stop = value(fields["stop"]) if "stop" in fields else ""
    if isinstance(stop, list) and len(stop) > MAX_STOPS:
        fields["stop"] = encode_raw(stop[:MAX_STOPS])
        losses.add(f"stop[{MAX_STOPS}]", f"no more than {MAX_STOPS} are supported")


# Response formats.


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
    return {"type": "json_schema", "schema": {}, **without_none(**inner), **rest}


# Reasoning. Chat and Responses have `reasoning`, Messages `thinking` and `output_config.effort`.


def _merged_reasoning(fields: Config) -> Json:
    """`reasoning` merged with `reasoning_effort`."""
    found: Json = dict(value(fields["reasoning"])) if "reasoning" in fields else {}
    if "reasoning_effort" in fields:
        found.setdefault("effort", value(fields["reasoning_effort"]))
    return found


def _thinking_to_reasoning(fields: Config, losses: Losses) -> None:
    """Convert `thinking` and `output_config` to `reasoning`."""
    thinking: Json = value(fields["thinking"]) if "thinking" in fields else {}
    config: Json = value(fields["output_config"]) if "output_config" in fields else {}
    kind, effort = thinking.get("type"), config.get("effort")
    reasoning: Json = {}
    if kind == "disabled":
        reasoning = {"effort": "none"}
    elif kind == "enabled":
        reasoning = {"max_tokens": thinking["budget_tokens"]}
        if effort is not None:
            losses.add("output_config.effort", "it cannot be combined with a budget")
    elif effort is not None:
        reasoning = {"effort": effort}
    elif kind == "adaptive":
        reasoning = {"enabled": True}
    if reasoning:
        fields["reasoning"] = encode_raw(reasoning)


def _drop_thinking(fields: Config, losses: Losses) -> None:
    """Remove the remaining Messages fields and record them as lost."""
    fields.pop("thinking", None)
    if "output_config" in fields:
        rest = {key: said for key, said in value(fields.pop("output_config")).items() if key != "effort"}
        losses.extra("output_config", rest, "only messages has a word for it")


def _reasoning_to_thinking(reasoning: Json, losses: Losses) -> tuple[Json | None, str | None]:
    """Messages' `thinking` and effort for *reasoning*."""
    for key in ("summary", "context", "mode"):
        if reasoning.get(key) is not None:
            losses.add(f"reasoning.{key}", "messages has no word for it")
    effort, budget = reasoning.get("effort"), reasoning.get("max_tokens")
    if effort == "none" or reasoning.get("enabled") is False:
        return {"type": "disabled"}, None
    display: Any = "omitted" if reasoning.get("exclude") else None
    if budget is not None:
        return {"type": "enabled", "budget_tokens": budget, **without_none(display=display)}, None
    if effort is not None:
        return {"type": "adaptive", **without_none(display=display)}, MESSAGES_EFFORTS.get(effort, effort)
    return ({"type": "adaptive", **without_none(display=display)} if reasoning.get("enabled") else None), None
