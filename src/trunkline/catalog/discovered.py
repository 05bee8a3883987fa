"""What a provider says of its models: the body of `GET {base_url}/models`, in the forms that are about.

OpenAI's is `{"data": [{"id", "created"}]}`. Others add what they like: OpenRouter the most (`pricing`, `architecture`,
`supported_parameters`, `top_provider`), Together a bare array with `pricing` in USD per million tokens, Groq
`context_window`, Mistral `max_context_length` and `capabilities`. What is not understood is left out: a list is a
convenience, and one odd entry must not take the others with it. Sources: the providers' API references, 2026-11.
"""

import re
from decimal import Decimal, InvalidOperation
from fnmatch import fnmatchcase
from typing import Any, get_args

import msgspec
from msgspec import Struct

from trunkline.catalog.config import MAX_PER_MILLION, Modality, Parameter
from trunkline.model.endpoint import Price
from trunkline.model.money import from_usd
from trunkline.providers.base import ListPrices, Provider

MAX_MODELS = 5000
"""Entries of one list that are looked at. OpenRouter, the longest, has some 700."""
MAX_ID = 256
MAX_TEXT = 2000
_VISIBLE = re.compile(r"[!-~]+")

MODALITIES = frozenset(get_args(Modality))
PARAMETERS = frozenset(get_args(Parameter))
UNKNOWN_INPUT = frozenset({"text", "image", "file"})
"""What a model takes whose provider does not say: not known is not refused."""


class Discovered(Struct, frozen=True, kw_only=True):
    """A model as a provider's own list has it. None is not said."""

    id: str
    """What the provider calls it."""
    name: str | None = None
    created: int = 0
    description: str = ""
    context_length: int | None = None
    max_output: int | None = None
    price: Price | None = None
    parameters: frozenset[str] = PARAMETERS
    input: frozenset[str] = UNKNOWN_INPUT
    output: frozenset[str] = frozenset({"text"})


def parse(body: bytes, provider: Provider) -> tuple[Discovered, ...]:
    """The chat models that *body* lists, each once, in its order.

    Raises:
        ValueError: it is not JSON, or no list of models; the message says which.
    """
    try:
        said = msgspec.json.decode(body)
    except msgspec.DecodeError as error:
        raise ValueError("the model list is not JSON") from error
    entries = said.get("data", said.get("models")) if isinstance(said, dict) else said
    if not isinstance(entries, list):
        raise ValueError("the model list has no `data`")
    found: dict[str, Discovered] = {}
    for entry in entries[:MAX_MODELS]:
        if isinstance(entry, dict) and _id(entry) and _chats(entry, provider):
            found.setdefault(entry["id"], _model(entry, provider.list_prices))
    return tuple(found.values())


def _id(entry: dict[str, Any]) -> bool:
    """Whether the id can be one: it ends up in paths, logs and headers."""
    name = entry.get("id")
    return isinstance(name, str) and len(name) <= MAX_ID and _VISIBLE.fullmatch(name) is not None


def _chats(entry: dict[str, Any], provider: Provider) -> bool:
    """Whether the model is for chat, as far as the list or `compatible.toml` says."""
    kind, able = entry.get("type"), entry.get("capabilities")
    if isinstance(kind, str) and provider.list_prices == "per_million" and kind not in ("chat", "language", "code"):
        return False
    if isinstance(able, dict) and able.get("completion_chat") is False:
        return False
    if (said := _words(_dict(entry, "architecture").get("output_modalities"))) and "text" not in said:
        return False
    name = entry["id"].lower()
    return not any(fnmatchcase(name, pattern) for pattern in provider.skip)


def _model(entry: dict[str, Any], prices: ListPrices) -> Discovered:
    top, shape = _dict(entry, "top_provider"), _dict(entry, "architecture")
    return Discovered(
        id=entry["id"],
        name=_text(entry, "name", "display_name"),
        created=_count(entry, "created") or 0,
        description=_text(entry, "description") or "",
        context_length=_count(entry, "context_length", "context_window", "max_context_length", "max_model_len"),
        max_output=_count(top, "max_completion_tokens") or _count(entry, "max_completion_tokens", "max_output_length"),
        price=price(entry.get("pricing"), prices),
        parameters=_words(entry.get("supported_parameters")) & PARAMETERS or PARAMETERS,
        input=_words(shape.get("input_modalities")) & MODALITIES or UNKNOWN_INPUT,
        output=_words(shape.get("output_modalities")) & MODALITIES or frozenset({"text"}),
    )


def price(said: Any, unit: ListPrices) -> Price | None:
    """The prices of an entry, or None where any that is needed is missing, negative or beyond belief.

    OpenRouter writes -1 where the price depends on where a request ends up; that is not known.
    """
    if not isinstance(said, dict) or unit == "none":
        return None
    words = ("prompt", "completion") if unit == "per_token" else ("input", "output")
    prompt, completion = (_amount(said.get(word), unit) for word in words)
    if prompt is None or completion is None:
        return None
    return Price(
        prompt=prompt,
        completion=completion,
        cache_read=_amount(said.get("input_cache_read" if unit == "per_token" else "cached_input"), unit),
        cache_write=_amount(said.get("input_cache_write"), unit),
        request=_amount(said.get("request"), "per_token") or 0,
        image=_amount(said.get("image"), "per_token") or 0,
        source="provider",
    )


def _amount(said: Any, unit: ListPrices) -> int | None:
    """Pico-dollars; None for what is not an amount. Per token, only text counts: a number there is of unknown unit."""
    if isinstance(said, bool) or not isinstance(said, (str, int, float) if unit == "per_million" else str):
        return None
    try:
        usd = Decimal(str(said))
        if unit == "per_million":
            usd = usd.scaleb(-6)
        if not 0 <= usd <= MAX_PER_MILLION:  # one bound for tokens, requests and images: it stops nonsense
            return None
        return from_usd(usd)
    except (InvalidOperation, ValueError):
        return None


def _dict(entry: dict[str, Any], key: str) -> dict[str, Any]:
    value = entry.get(key)
    return value if isinstance(value, dict) else {}


def _words(value: Any) -> frozenset[str]:
    return frozenset(word for word in value if isinstance(word, str)) if isinstance(value, list) else frozenset()


def _text(entry: dict[str, Any], *keys: str) -> str | None:
    value = next((entry[key] for key in keys if isinstance(entry.get(key), str) and entry[key].strip()), None)
    return None if value is None else " ".join(value.split())[:MAX_TEXT]


def _count(entry: dict[str, Any], *keys: str) -> int | None:
    """The first of *keys* that holds a whole number in the range of a token count or a time."""
    for key in keys:
        value = entry.get(key)
        if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value < 2**53:
            return int(value)
    return None
