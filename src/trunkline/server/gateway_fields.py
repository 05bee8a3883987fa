"""The request fields that are addressed to the gateway itself: carried out, or refused by name.

A field that asks for safety or for a change of the content must never be accepted without effect: the caller would
believe that a text was redacted or moderated when it was not. A value that asks for nothing (null, `false`, an empty
list) is accepted.

Sources: LLM Router, "API reference" (the `gateway` object); OpenRouter's OpenAPI document, `plugins`, `safeguards`.
"""

from collections.abc import Mapping
from typing import Any

from msgspec import Raw
from msgspec.structs import replace

from trunkline.dialects.common.json_input import printable
from trunkline.dialects.common.request_fields import value
from trunkline.dialects.interfaces import Call
from trunkline.model.errors import InvalidRequest
from trunkline.model.preferences import Preferences

FIELDS = frozenset({"gateway", "guardrails", "plugins", "safeguards"})
SAFETY_PLUGINS = frozenset({"alignment", "armor", "moderation"})
"""Plugins that check or change content for safety. None is carried out yet."""
_ROUTING = ("zdr", "only", "order")
"""Keys of `gateway` that are carried out: they narrow the `provider` object."""


def apply_gateway_fields(call: Call) -> Call:
    """*call* with the preferences of its `gateway` object.

    Raises:
        InvalidRequest: a field is malformed, or asks for something that this gateway does not do; `param` names it.
    """
    envelope = call.envelope
    if FIELDS.isdisjoint(envelope):
        return call
    check_gateway_fields(envelope)
    gateway = value(envelope["gateway"]) if "gateway" in envelope else None
    if not gateway or not any(name in gateway for name in _ROUTING):
        return call
    return replace(call, preferences=_narrowed(call.preferences, gateway))


def check_gateway_fields(envelope: Mapping[str, Raw]) -> None:
    """Check the fields of *envelope*, the top level of a request's body.

    Raises:
        InvalidRequest: as `apply_gateway_fields`.
    """
    if "gateway" in envelope:
        _check_gateway(value(envelope["gateway"]))
    if "plugins" in envelope:
        _check_plugins(value(envelope["plugins"]))
    for name in ("guardrails", "safeguards"):
        if name in envelope and value(envelope[name]):
            raise _not_done(name)


def _not_done(path: str) -> InvalidRequest:
    return InvalidRequest(
        f"{path}: this gateway does not carry it out, so the request is refused; remove the field", param=path
    )


def _check_gateway(gateway: Any) -> None:
    if gateway is None:
        return
    if not isinstance(gateway, dict):
        raise InvalidRequest("gateway: expected an object", param="gateway")
    for name, given in gateway.items():
        path = f"gateway.{printable(name)}"
        if name == "zdr":
            if not isinstance(given, bool | None):
                raise InvalidRequest(f"{path}: expected true or false", param=path)
        elif name in _ROUTING:
            if given is not None and not _is_texts(given):
                raise InvalidRequest(f"{path}: expected a list of provider names", param=path)
        elif not _asks_nothing(name, given):
            raise _not_done(path)


def _is_texts(given: Any) -> bool:
    return isinstance(given, list) and all(isinstance(one, str) and one for one in given)


def _asks_nothing(name: str, given: Any) -> bool:
    """Whether the value of the key *name* of `gateway` leaves its feature off."""
    if given is None:
        return True
    match name:
        case "mediaOptimization":
            return given is False
        case "tags":
            return isinstance(given, list) and not given
        case "chatHistoryCompression" | "chatHistoryOptimization" | "toolOptimization":
            return isinstance(given, dict) and given.get("enabled") is False
        case "redact" | "skills":
            return isinstance(given, dict) and all(one in (None, False, []) for one in given.values())
        case _:
            return False


def _check_plugins(plugins: Any) -> None:
    """Refuse the plugins whose promise would not be kept. The dialects check the shape of the list."""
    if not isinstance(plugins, list):
        return
    for index, plugin in enumerate(plugins):
        asked = plugin.get("id") if isinstance(plugin, dict) else None
        if asked in SAFETY_PLUGINS and plugin.get("enabled") is not False:
            path = f"plugins[{index}].id"
            raise InvalidRequest(f"{path}: this gateway does not carry out the plugin {asked!r}", param=path)


def _narrowed(preferences: Preferences, gateway: Mapping[str, Any]) -> Preferences:
    """*preferences* narrowed by the `gateway` object: `zdr` of either holds, and both lists of `only`."""
    changes: dict[str, Any] = {}
    if gateway.get("zdr"):
        changes["zdr"] = True
    only = gateway.get("only")
    if only:
        if preferences.only:
            accepted = {name.lower() for name in preferences.only}
            only = [name for name in only if name.lower() in accepted]
            if not only:
                raise InvalidRequest("gateway.only: provider.only has none of these providers", param="gateway.only")
        changes["only"] = only
    if gateway.get("order") and not preferences.order:
        changes["order"] = gateway["order"]
    return replace(preferences, **changes)
