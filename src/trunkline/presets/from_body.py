"""Parse a request body into a preset. The body has been checked by its dialect before."""

from collections.abc import Callable
from typing import Any

from msgspec import Raw, Struct

from trunkline.dialects.common.request_fields import value
from trunkline.model.errors import InvalidRequest
from trunkline.model.preset import Config
from trunkline.presets import tools
from trunkline.presets.fields import CACHE_ENABLED, CACHE_TTL, PER_REQUEST_FIELDS, encode_raw, without_none

_NULL = b"null"


class PresetContent(Struct, frozen=True, kw_only=True):
    """The content of a preset version. `system` is None where the body has no system text."""

    config: Config
    system: str | None = None


def preset_fields(fields: dict[str, Raw]) -> dict[str, Raw]:
    """Those of *fields* that a preset stores, still in the body's dialect. Null values are omitted.

    Raises:
        InvalidRequest: a value that is valid JSON but cannot be represented.
    """
    found = {key: said for key, said in fields.items() if key not in PER_REQUEST_FIELDS and bytes(said) != _NULL}
    for key, said in found.items():
        try:
            value(said)
        except InvalidRequest as error:
            raise InvalidRequest(f"{key}: {error.message}", param=key) from error
    return found


def parse_preset(fields: dict[str, Raw], dialect: str) -> PresetContent:
    """Parse the top-level *fields* of a body of *dialect* into a preset.

    Raises:
        InvalidRequest: a cache setting is invalid, or the model refers to another preset.
    """
    config = preset_fields(fields)
    model = config.get("model")
    if model is not None and "@preset/" in str(value(model)):
        raise InvalidRequest("model: a preset cannot refer to a preset", param="model")
    _check_cache(config)
    _TO_CHAT[dialect](config)
    if "tools" in config:
        config["tools"] = encode_raw([tools.tool_to_chat(tool, dialect) for tool in value(config["tools"])])
    if "tool_choice" in config:
        choice, parallel = tools.choice_to_chat(value(config["tool_choice"]), dialect)
        config["tool_choice"] = encode_raw(choice)
        if parallel is not None:
            config["parallel_tool_calls"] = encode_raw(parallel)
    return PresetContent(config=config, system=_SYSTEM_TEXT[dialect](fields) or None)


def _check_cache(config: Config) -> None:
    if CACHE_ENABLED in config and not isinstance(value(config[CACHE_ENABLED]), bool):
        raise InvalidRequest(f"{CACHE_ENABLED}: expected true or false", param=CACHE_ENABLED)
    if CACHE_TTL in config:
        seconds = value(config[CACHE_TTL])
        if isinstance(seconds, bool) or not isinstance(seconds, int) or seconds < 0:
            raise InvalidRequest(f"{CACHE_TTL}: expected a number of seconds", param=CACHE_TTL)


def _from_chat(config: Config) -> None:
    """Chat's form is the preset's form."""


def _from_messages(config: Config) -> None:
    _rename(config, "stop_sequences", "stop")
    if "fallbacks" in config:
        models = [one["model"] for one in value(config.pop("fallbacks"))]
        if models:
            config["models"] = encode_raw(models)
    if "output_config" in config:
        said = value(config.pop("output_config"))
        form = said.pop("format", None)
        if form is not None:
            config["response_format"] = encode_raw(
                _chat_response_format(form, {"type", "schema"}, name="response", strict=True)
            )
        if said:
            config["output_config"] = encode_raw(said)
    if "service_tier" in config and value(config["service_tier"]) == "standard_only":
        config["service_tier"] = encode_raw("default")


def _from_responses(config: Config) -> None:
    _rename(config, "max_output_tokens", "max_completion_tokens")
    if "text" not in config:
        return
    said = value(config.pop("text"))
    form, verbosity = said.pop("format", None), said.pop("verbosity", None)
    if form is not None:
        config["response_format"] = encode_raw(
            _chat_response_format(form, {"type", "name", "description", "schema", "strict"})
        )
    if verbosity is not None:
        config["verbosity"] = encode_raw(verbosity)
    if said:
        config["text"] = encode_raw(said)


def _chat_response_format(form: dict[str, Any], inside: set[str], **more: Any) -> dict[str, Any]:
    """A response format in chat's form: the fields of a schema are nested under `json_schema`."""
    if form["type"] != "json_schema":
        return form
    inner = {**more, **{key: said for key, said in form.items() if key in inside and key != "type"}}
    rest = {key: said for key, said in form.items() if key not in inside}
    return {"type": "json_schema", "json_schema": without_none(**inner), **rest}


def _rename(config: Config, theirs: str, ours: str) -> None:
    if theirs in config:
        config[ours] = config.pop(theirs)


_TO_CHAT: dict[str, Callable[[Config], None]] = {
    "chat": _from_chat,
    "messages": _from_messages,
    "responses": _from_responses,
}
"""A client dialect → the function that converts its fields to chat's form, in place."""


# The system text.


def _first_system_text(messages: Any) -> str:
    """The text of the first system message; empty where there is none."""
    for message in messages if isinstance(messages, list) else ():
        if isinstance(message, dict) and message.get("role") in ("system", "developer"):
            return _joined_text(message.get("content"))
    return ""


def _joined_text(content: Any) -> str:
    """All text of *content*: a string, or parts, which are joined as paragraphs."""
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    return "\n\n".join(
        part["text"] for part in parts if isinstance(part, dict) and isinstance(part.get("text"), str) and part["text"]
    )


def _value_of(fields: dict[str, Raw], key: str) -> Any:
    return value(fields[key]) if key in fields else None


_SYSTEM_TEXT: dict[str, Callable[[dict[str, Raw]], str]] = {
    "chat": lambda fields: _first_system_text(_value_of(fields, "messages")),
    "messages": lambda fields: _joined_text(_value_of(fields, "system")),
    "responses": lambda fields: (
        _joined_text(_value_of(fields, "instructions")) or _first_system_text(_value_of(fields, "input"))
    ),
}
"""A client dialect → the function that reads its system text."""
