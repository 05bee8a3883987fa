"""The intent of a model call: what the journal is told before a request is sent (`model.Intent` as JSON).

Written for each request, so it is put together from text that is encoded once per endpoint.
"""

from typing import Final

import msgspec

from trunkline.model.endpoint import Endpoint, Price

BYTES_PER_TOKEN: Final = 4
"""For an estimate of the input: English prose in any of today's tokenizers, roughly."""
LEAST_BYTES_PER_TOKEN: Final = 2
"""Of a prompt, for a bound: hardly any text has more tokens than this, and no bound may be too low."""

_LONGEST_NAME = 80
_LONGEST = 1600
"""Bytes of the part of an endpoint. A slot of the journal has room for this and for all else."""


def endpoint_part(endpoint: Endpoint) -> str:
    """The part of an intent that is the same for all requests to *endpoint*, with the closing brace."""
    model, provider, tag = (name[:_LONGEST_NAME] for name in (endpoint.model, endpoint.provider_name, endpoint.tag))
    fields = {"model": model, "provider": provider, "endpoint": tag, "price": endpoint.price}
    data = _encode(fields)
    if len(data) > _LONGEST:  # names in other scripts, or many tiers
        price = endpoint.price
        plain = Price(prompt=price.prompt, completion=price.completion, request=price.request)
        names = {name: str(value).encode("ascii", "replace").decode() for name, value in fields.items()}
        data = _encode({**names, "price": plain})
    return "," + data[1:]


def parent_part(id_: str, purpose: str) -> str:
    """The part of an intent that an inner call has, with a comma in front."""
    return "," + _encode({"parent_id": id_, "purpose": purpose[:_LONGEST_NAME]})[1:-1]


def _encode(fields: object) -> str:
    return msgspec.json.encode(fields).decode()
