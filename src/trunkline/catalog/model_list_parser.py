"""Parser of providers' model lists: the body of `GET {base_url}/models`, in the known forms.

OpenAI's form is `{"data": [{"id", "created"}]}`. Other providers extend it: OpenRouter adds most fields (`pricing`,
`architecture`, `supported_parameters`, `top_provider`); Together sends a bare array with `pricing` in USD per million
tokens; Groq adds `context_window`, Mistral `max_context_length` and `capabilities`, vLLM and SGLang `max_model_len`,
llama.cpp `meta.n_ctx_train`, xAI modalities. Some have their own form: Anthropic sends `created_at`, `max_input_tokens`
and `capabilities.*.supported`; Gemini `models[].name` (`models/…`), `inputTokenLimit` and `supportedGenerationMethods`;
Cohere `models[].name` and `endpoints`; Bedrock `modelSummaries[].modelId` and `inferenceTypesSupported`, and its
inference profiles `inferenceProfileSummaries[].inferenceProfileId`. An entry that cannot be parsed is skipped: one
invalid entry must not remove the others. Sources: the providers' API references, 2026-11.
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
from trunkline.providers.provider import ListPrices, Provider

MAX_MODELS = 5000
"""The maximum number of entries that are read from one list. OpenRouter's, the longest, has some 700."""
MAX_ID_CHARS = 256
MAX_TEXT_CHARS = 2000
_PRINTABLE_ID = re.compile(r"[!-~]+")

_LIST_KEYS = ("data", "models", "modelSummaries", "inferenceProfileSummaries")
"""The keys under which the entries are found."""
_ID_KEYS = ("id", "modelId", "inferenceProfileId", "name")
_CONTEXT_KEYS = (
    "context_length",
    "context_window",
    "max_context_length",
    "max_model_len",
    "max_input_tokens",
    "context_size",
)
_REQUIRED_CAPABILITIES = {
    "supportedGenerationMethods": "generateContent",
    "endpoints": "chat",
    "inferenceTypesSupported": "ON_DEMAND",
}
"""Lists of an entry, each with the value that a chat model has in it."""

MODALITIES = frozenset(get_args(Modality))
PARAMETERS = frozenset(get_args(Parameter))
UNKNOWN_INPUT = frozenset({"text", "image", "file"})
"""The input modalities of a model whose provider does not state them."""


class ListedModel(Struct, frozen=True, kw_only=True):
    """A model in a provider's model list. None means that the list does not state the value."""

    id: str
    """The provider's id of the model."""
    name: str | None = None
    created: int = 0
    description: str = ""
    context_length: int | None = None
    max_output: int | None = None
    price: Price | None = None
    parameters: frozenset[str] = PARAMETERS
    input: frozenset[str] = UNKNOWN_INPUT
    output: frozenset[str] = frozenset({"text"})


def parse_model_list(body: bytes, provider: Provider) -> tuple[ListedModel, ...]:
    """The chat models in *body*, each once, in the order of the list.

    Raises:
        ValueError: the body is not JSON or not a model list; the message says which.
    """
    try:
        said = msgspec.json.decode(body)
    except msgspec.DecodeError as error:
        raise ValueError("the model list is not JSON") from error
    entries = next((said[key] for key in _LIST_KEYS if key in said), None) if isinstance(said, dict) else said
    if not isinstance(entries, list):
        raise ValueError("the model list has no `data`")
    found: dict[str, ListedModel] = {}
    for entry in entries[:MAX_MODELS]:
        if isinstance(entry, dict) and (name := _parse_id(entry)) and _is_chat_model(entry, name, provider):
            found.setdefault(name, _parse_model(entry, name, provider.list_prices))
    return tuple(found.values())


def _parse_id(entry: dict[str, Any]) -> str | None:
    """The model's id; None where it is not a valid id, since ids are used in paths, logs and headers."""
    name = next((entry[key] for key in _ID_KEYS if key in entry), None)
    if not isinstance(name, str) or len(name) > MAX_ID_CHARS or _PRINTABLE_ID.fullmatch(name) is None:
        return None
    # Gemini's names are paths; the model id is the rest of the path.
    return name if "id" in entry else name.removeprefix("models/") or None


def _is_chat_model(entry: dict[str, Any], name: str, provider: Provider) -> bool:
    """Whether the list or `compatible.toml` allows the model to be used for chat."""
    kind, able = entry.get("type"), entry.get("capabilities")
    if isinstance(kind, str) and provider.list_prices == "per_million" and kind not in ("chat", "language", "code"):
        return False
    if isinstance(able, dict) and able.get("completion_chat") is False:
        return False
    if entry.get("supports_chat") is False or ("inferenceProfileId" in entry and entry.get("status") != "ACTIVE"):
        return False
    if any(isinstance(entry.get(key), list) and word not in entry[key] for key, word in _REQUIRED_CAPABILITIES.items()):
        return False
    if (said := _parse_modalities(entry, "output")) and "text" not in said:
        return False
    return not any(fnmatchcase(name.lower(), pattern) for pattern in provider.skip_models)


def _parse_model(entry: dict[str, Any], name: str, prices: ListPrices) -> ListedModel:
    top = _dict(entry, "top_provider")
    most = _count(entry, "max_completion_tokens", "max_output_length", "outputTokenLimit")
    if "max_input_tokens" in entry:  # elsewhere `max_tokens` may be the context
        most = most or _count(entry, "max_tokens")
    shown = _text(entry, "displayName", "display_name", "modelName", "inferenceProfileName", "name")
    return ListedModel(
        id=name,
        name=None if shown == name else shown,
        created=_count(entry, "created") or _parse_time(entry.get("created_at")),
        description=_text(entry, "description") or "",
        context_length=_count(entry, *_CONTEXT_KEYS, "inputTokenLimit") or _count(_dict(entry, "meta"), "n_ctx_train"),
        max_output=_count(top, "max_completion_tokens") or most,
        price=parse_price(entry.get("pricing"), prices),
        parameters=_words(entry.get("supported_parameters")) & PARAMETERS or PARAMETERS,
        input=_parse_modalities(entry, "input") & MODALITIES or _anthropic_input(entry) or UNKNOWN_INPUT,
        output=_parse_modalities(entry, "output") & MODALITIES or frozenset({"text"}),
    )


def _parse_modalities(entry: dict[str, Any], way: str) -> frozenset[str]:
    """The input or output modalities of an entry.

    The forms are OpenRouter's `architecture.input_modalities`, xAI's top-level field, Bedrock's capitals.
    """
    for said in (_dict(entry, "architecture").get(f"{way}_modalities"), entry.get(f"{way}_modalities")):
        if found := _words(said):
            return found
    return frozenset(word.lower() for word in _words(entry.get(f"{way}Modalities")))


def _anthropic_input(entry: dict[str, Any]) -> frozenset[str]:
    """The input modalities in Anthropic's `capabilities`; empty where they are not stated."""
    able = _dict(entry, "capabilities")
    said = {word: _dict(able, key).get("supported") for word, key in (("image", "image_input"), ("file", "pdf_input"))}
    if not any(isinstance(value, bool) for value in said.values()):
        return frozenset()
    return frozenset({"text", *(word for word, value in said.items() if value is not False)})


def _parse_time(said: Any) -> int:
    """Unix seconds of an RFC 3339 time; 0 where the value is not one."""
    try:
        moment = datetime.fromisoformat(said) if isinstance(said, str) and len(said) < 40 else None
    except ValueError:
        return 0
    return 0 if moment is None else max(0, int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()))


def parse_price(said: Any, unit: ListPrices) -> Price | None:
    """The price of an entry, or None where a required price is missing, negative or above the maximum.

    OpenRouter sends -1 where the price depends on the endpoint; it is then unknown.
    """
    if not isinstance(said, dict) or unit == "none":
        return None
    words = ("prompt", "completion") if unit == "per_token" else ("input", "output")
    prompt, completion = (_parse_amount(said.get(word), unit) for word in words)
    if prompt is None or completion is None:
        return None
    return Price(
        prompt=prompt,
        completion=completion,
        cache_read=_parse_amount(said.get("input_cache_read" if unit == "per_token" else "cached_input"), unit),
        cache_write=_parse_amount(said.get("input_cache_write"), unit),
        request=_parse_amount(said.get("request"), "per_token") or 0,
        image=_parse_amount(said.get("image"), "per_token") or 0,
        # "0" is also what lists say where there is no such thing, or no price of its own.
        search=_parse_amount(said.get("web_search"), "per_token") or None,
        reasoning=_parse_amount(said.get("internal_reasoning"), unit) or None,
        audio=_parse_amount(said.get("audio"), unit) or None,
        audio_cache_read=_parse_amount(said.get("input_audio_cache"), unit) or None,
        audio_completion=_parse_amount(said.get("audio_output"), unit) or None,
        image_completion=_parse_amount(said.get("image_output"), unit) or None,
        source="provider",
    )


def _parse_amount(said: Any, unit: ListPrices) -> int | None:
    """Convert to pico-dollars, or None where the value is not an amount.

    Per token, only strings are accepted: the unit of a number is unknown there.
    """
    if isinstance(said, bool) or not isinstance(said, (str, int, float) if unit == "per_million" else str):
        return None
    try:
        usd = Decimal(str(said))
        if unit == "per_million":
            usd = usd.scaleb(-6)
        if not 0 <= usd <= MAX_PER_MILLION:  # one limit for tokens, requests and images: it rejects absurd values
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
    return None if value is None else " ".join(value.split())[:MAX_TEXT_CHARS]


def _count(entry: dict[str, Any], *keys: str) -> int | None:
    """The first of *keys* with a whole number in the range of a token count or a time."""
    for key in keys:
        value = entry.get(key)
        if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value < 2**53:
            return int(value)
    return None
