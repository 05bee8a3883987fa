"""An ordinary request body, read into a preset. The body has been checked by its dialect."""

from collections.abc import Callable
from typing import Any

from msgspec import Raw, Struct

from trunkline.dialects.common.request_fields import value
from trunkline.model.errors import InvalidRequest
from trunkline.model.preset import Config
from trunkline.presets import tools
from trunkline.presets.names import CACHE_ENABLED, CACHE_TTL, TRANSIENT, raw, some

_NULL = b"null"


class Content(Struct, frozen=True, kw_only=True):
    """What a version of a preset holds."""

    config: Config
    system: str | None = None


def kept(fields: dict[str, Raw]) -> dict[str, Raw]:
    """Those of *fields* that a preset keeps, still in their dialect's words. What is null says nothing.

    Raises:
        InvalidRequest: a value that JSON allows and nobody can hold.
    """
    found = {key: said for key, said in fields.items() if key not in TRANSIENT and bytes(said) != _NULL}
    for key, said in found.items():
        try:
            value(said)
        except InvalidRequest as error:
            raise InvalidRequest(f"{key}: {error.message}", param=key) from error
    return found


def read(fields: dict[str, Raw], dialect: str) -> Content:
    """The preset that a body of *dialect* with the top level *fields* makes.

    Raises:
        InvalidRequest: the settings of the cache are not what they should be, or the model is another preset's.
    """
    config = kept(fields)
    model = config.get("model")
    if model is not None and "@preset/" in str(value(model)):
        raise InvalidRequest("model: a preset cannot refer to a preset", param="model")
    _check_cache(config)
    _SHAPES[dialect](config)
    if "tools" in config:
        config["tools"] = raw([tools.to_chat(tool, dialect) for tool in value(config["tools"])])
    if "tool_choice" in config:
        choice, parallel = tools.choice_to_chat(value(config["tool_choice"]), dialect)
        config["tool_choice"] = raw(choice)
        if parallel is not None:
            config["parallel_tool_calls"] = raw(parallel)
    return Content(config=config, system=_SYSTEMS[dialect](fields) or None)


def _check_cache(config: Config) -> None:
    if CACHE_ENABLED in config and not isinstance(value(config[CACHE_ENABLED]), bool):
        raise InvalidRequest(f"{CACHE_ENABLED}: expected true or false", param=CACHE_ENABLED)
    if CACHE_TTL in config:
        seconds = value(config[CACHE_TTL])
        if isinstance(seconds, bool) or not isinstance(seconds, int) or seconds < 0:
            raise InvalidRequest(f"{CACHE_TTL}: expected a number of seconds", param=CACHE_TTL)


def _chat(config: Config) -> None:
    """Chat's words are the preset's."""


def _messages(config: Config) -> None:
    _rename(config, "stop_sequences", "stop")
    if "fallbacks" in config:
        models = [one["model"] for one in value(config.pop("fallbacks"))]
        if models:
            config["models"] = raw(models)
    if "output_config" in config:
        said = value(config.pop("output_config"))
        form = said.pop("format", None)
        if form is not None:
            config["response_format"] = raw(_format(form, {"type", "schema"}, name="response", strict=True))
        if said:
            config["output_config"] = raw(said)
    if "service_tier" in config and value(config["service_tier"]) == "standard_only":
        config["service_tier"] = raw("default")


def _responses(config: Config) -> None:
    _rename(config, "max_output_tokens", "max_completion_tokens")
    if "text" not in config:
        return
    said = value(config.pop("text"))
    form, verbosity = said.pop("format", None), said.pop("verbosity", None)
    if form is not None:
        config["response_format"] = raw(_format(form, {"type", "name", "description", "schema", "strict"}))
    if verbosity is not None:
        config["verbosity"] = raw(verbosity)
    if said:
        config["text"] = raw(said)


def _format(form: dict[str, Any], inside: set[str], **more: Any) -> dict[str, Any]:
    """The shape of an answer as chat has it: what describes a schema stands under `json_schema`."""
    if form["type"] != "json_schema":
        return form
    inner = {**more, **{key: said for key, said in form.items() if key in inside and key != "type"}}
    rest = {key: said for key, said in form.items() if key not in inside}
    return {"type": "json_schema", "json_schema": some(**inner), **rest}


def _rename(config: Config, theirs: str, ours: str) -> None:
    if theirs in config:
        config[ours] = config.pop(theirs)


_SHAPES: dict[str, Callable[[Config], None]] = {"chat": _chat, "messages": _messages, "responses": _responses}
"""A client dialect → what puts its words in the preset's."""


# The system text.


def _first(messages: Any) -> str:
    """The text of the first system message, if there is one."""
    for message in messages if isinstance(messages, list) else ():
        if isinstance(message, dict) and message.get("role") in ("system", "developer"):
            return _text(message.get("content"))
    return ""


def _text(content: Any) -> str:
    """All text of *content*: a string, or parts, which are paragraphs then."""
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    return "\n\n".join(
        part["text"] for part in parts if isinstance(part, dict) and isinstance(part.get("text"), str) and part["text"]
    )


def _said(fields: dict[str, Raw], key: str) -> Any:
    return value(fields[key]) if key in fields else None


_SYSTEMS: dict[str, Callable[[dict[str, Raw]], str]] = {
    "chat": lambda fields: _first(_said(fields, "messages")),
    "messages": lambda fields: _text(_said(fields, "system")),
    "responses": lambda fields: _text(_said(fields, "instructions")) or _first(_said(fields, "input")),
}
"""A client dialect → where its system text stands."""
