"""What a provider says of its models: the body of `GET {base_url}/models`, in the forms that are about.

OpenAI's is `{"data": [{"id", "created"}]}`. Others add what they like: OpenRouter the most (`pricing`, `architecture`,
`supported_parameters`, `top_provider`), Together a bare array with `pricing` in USD per million tokens, Groq
`context_window`, Mistral `max_context_length` and `capabilities`, vLLM and SGLang `max_model_len`, llama.cpp
`meta.n_ctx_train`, xAI modalities. Others have a form of their own: Anthropic says `created_at`, `max_input_tokens` and
`capabilities.*.supported`; Gemini `models[].name` (`models/…`), `inputTokenLimit` and `supportedGenerationMethods`;
Cohere `models[].name` and `endpoints`; Bedrock `modelSummaries[].modelId` and `inferenceTypesSupported`, and its
inference profiles `inferenceProfileSummaries[].inferenceProfileId`. What is not understood is left out: a list is a
convenience, and one odd entry must not take the others with it. Sources: the providers' API references, 2026-11.
"""

import re
from datetime import UTC, datetime
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

_LISTS = ("data", "models", "modelSummaries", "inferenceProfileSummaries")
"""Where the entries stand."""
_IDS = ("id", "modelId", "inferenceProfileId", "name")
_CONTEXT = (
    "context_length",
    "context_window",
    "max_context_length",
    "max_model_len",
    "max_input_tokens",
    "context_size",
)
_NEEDED = {"supportedGenerationMethods": "generateContent", "endpoints": "chat", "inferenceTypesSupported": "ON_DEMAND"}
"""Lists of an entry, each with the word that a model for us has in it."""

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
    entries = next((said[key] for key in _LISTS if key in said), None) if isinstance(said, dict) else said
    if not isinstance(entries, list):
        raise ValueError("the model list has no `data`")
    found: dict[str, Discovered] = {}
    for entry in entries[:MAX_MODELS]:
        if isinstance(entry, dict) and (name := _id(entry)) and _chats(entry, name, provider):
            found.setdefault(name, _model(entry, name, provider.list_prices))
    return tuple(found.values())


def _id(entry: dict[str, Any]) -> str | None:
    """What the model is asked for by; None where that cannot be an id: it ends up in paths, logs and headers."""
    name = next((entry[key] for key in _IDS if key in entry), None)
    if not isinstance(name, str) or len(name) > MAX_ID or _VISIBLE.fullmatch(name) is None:
        return None
    # Gemini's names are paths; its calls are made by what follows.
    return name if "id" in entry else name.removeprefix("models/") or None


def _chats(entry: dict[str, Any], name: str, provider: Provider) -> bool:
    """Whether the model is for chat, as far as the list or `compatible.toml` says."""
    kind, able = entry.get("type"), entry.get("capabilities")
    if isinstance(kind, str) and provider.list_prices == "per_million" and kind not in ("chat", "language", "code"):
        return False
    if isinstance(able, dict) and able.get("completion_chat") is False:
        return False
    if entry.get("supports_chat") is False or ("inferenceProfileId" in entry and entry.get("status") != "ACTIVE"):
        return False
    if any(isinstance(entry.get(key), list) and word not in entry[key] for key, word in _NEEDED.items()):
        return False
    if (said := _modalities(entry, "output")) and "text" not in said:
        return False
    return not any(fnmatchcase(name.lower(), pattern) for pattern in provider.skip)


def _model(entry: dict[str, Any], name: str, prices: ListPrices) -> Discovered:
    top = _dict(entry, "top_provider")
    most = _count(entry, "max_completion_tokens", "max_output_length", "outputTokenLimit")
    if "max_input_tokens" in entry:  # elsewhere `max_tokens` may be the context
        most = most or _count(entry, "max_tokens")
    shown = _text(entry, "displayName", "display_name", "modelName", "inferenceProfileName", "name")
    return Discovered(
        id=name,
        name=None if shown == name else shown,
        created=_count(entry, "created") or _moment(entry.get("created_at")),
        description=_text(entry, "description") or "",
        context_length=_count(entry, *_CONTEXT, "inputTokenLimit") or _count(_dict(entry, "meta"), "n_ctx_train"),
        max_output=_count(top, "max_completion_tokens") or most,
        price=price(entry.get("pricing"), prices),
        parameters=_words(entry.get("supported_parameters")) & PARAMETERS or PARAMETERS,
        input=_modalities(entry, "input") & MODALITIES or _able(entry) or UNKNOWN_INPUT,
        output=_modalities(entry, "output") & MODALITIES or frozenset({"text"}),
    )


def _modalities(entry: dict[str, Any], way: str) -> frozenset[str]:
    """What goes in or out: OpenRouter's `architecture.input_modalities`, xAI's without it, Bedrock's in capitals."""
    for said in (_dict(entry, "architecture").get(f"{way}_modalities"), entry.get(f"{way}_modalities")):
        if found := _words(said):
            return found
    return frozenset(word.lower() for word in _words(entry.get(f"{way}Modalities")))


def _able(entry: dict[str, Any]) -> frozenset[str]:
    """What Anthropic's `capabilities` say of the input; nothing where they say nothing of it."""
    able = _dict(entry, "capabilities")
    said = {word: _dict(able, key).get("supported") for word, key in (("image", "image_input"), ("file", "pdf_input"))}
    if not any(isinstance(value, bool) for value in said.values()):
        return frozenset()
    return frozenset({"text", *(word for word, value in said.items() if value is not False)})


def _moment(said: Any) -> int:
    """Unix seconds of an RFC 3339 time; 0 where it is none."""
    try:
        moment = datetime.fromisoformat(said) if isinstance(said, str) and len(said) < 40 else None
    except ValueError:
        return 0
    return 0 if moment is None else max(0, int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()))


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
