"""Cost: usage times price, in integer pico-dollars.

All inputs are bounded: a negative count or price counts as zero, and an amount that does not fit the database's 64 bits
becomes `MAX_PICO`. No value from a provider can make a charge negative or overflow a sum. Images are not included:
`Usage` does not count them.

Source: OpenRouter, "Usage accounting".
"""

from trunkline.model.endpoint import Price
from trunkline.model.money import MAX_PICO, Pico
from trunkline.model.usage import Cost, Usage


def cost(usage: Usage, price: Price, *, charged: bool = True) -> Cost:
    """The cost of *usage* at *price*.

    Cached input is billed at `price.cache_read` and input written to a cache at `price.cache_write` (where None: as
    prompt). The part of it that is kept for an hour is billed at `price.cache_write_1h` (where None: as `cache_write`).
    The rest of the input is billed as prompt, and `price.request` once. Where cached and written input exceed the
    prompt, cached input takes precedence and the rest is cut to the prompt's length.

    `usage.outside` is billed like the rest. Where another model ran for a part of *usage*, its price is not known here:
    the part is billed at *price*, and `known` is False.

    Where the price is unknown, the total is the provider's reported cost, or zero with `known` False where it reported
    none. With *charged* False (see `billable`), only `upstream` is set: the total is zero, and known.
    """
    upstream = None if usage.upstream_cost is None else _bounded(usage.upstream_cost)
    if not charged:
        return Cost(upstream=upstream)
    if price.prompt is None or price.completion is None:
        return Cost(total=upstream or 0, upstream=upstream, known=upstream is not None)
    outside = usage.outside
    prompt = _input(usage, price.prompt, price) + (0 if outside is None else _input(outside, price.prompt, price))
    tokens = max(usage.billed_completion, 0) + (0 if outside is None else max(outside.billed_completion, 0))
    completion = tokens * max(price.completion, 0)
    request = max(price.request, 0)
    total = prompt + completion + request
    if total > MAX_PICO:
        total, prompt, completion, request = (min(part, MAX_PICO) for part in (total, prompt, completion, request))
    known = not usage.other_model
    return Cost(total=total, prompt=prompt, completion=completion, request=request, upstream=upstream, known=known)


def _input(usage: Usage, plain: Pico, price: Price) -> Pico:
    """The cost of the input, where *plain* is the price of a prompt token."""
    sent = max(usage.prompt, 0)
    if not usage.cached and not usage.cache_write:
        return sent * max(plain, 0)
    cached = min(max(usage.cached or 0, 0), sent)
    written = min(max(usage.cache_write or 0, 0), sent - cached)
    written_1h = min(max(usage.cache_write_1h or 0, 0), written)
    plain_price = max(plain, 0)
    write_price = plain_price if price.cache_write is None else max(price.cache_write, 0)
    return (
        cached * (plain_price if price.cache_read is None else max(price.cache_read, 0))
        + (written - written_1h) * write_price
        + written_1h * (write_price if price.cache_write_1h is None else max(price.cache_write_1h, 0))
        + (sent - cached - written) * plain_price
    )


def billable(usage: Usage, finish_reason: str | None) -> bool:
    """Whether a generation is charged. False is OpenRouter's zero-completion insurance.

    Not charged: no output and no finish reason (None or blank), or the finish reason `error`, whatever the output.

    Source: OpenRouter, "Zero completion insurance".
    """
    return finish_reason != "error" and (bool(finish_reason) or usage.billed_completion > 0)


def worst_case(prompt_tokens: int, max_output: int | None, price: Price) -> Pico:
    """The maximum cost of a call, to reserve before it starts.

    *prompt_tokens* is an upper bound of the input; all of it is billed at the highest input price. *max_output* is the
    maximum number of output tokens, or None where unlimited: the output is then left out and the result is not a bound.
    Zero where the price is unknown.
    """
    if price.prompt is None or price.completion is None:
        return 0
    dearest = max(price.prompt, price.cache_read or 0, price.cache_write or 0, price.cache_write_1h or 0, 0)
    output = max(max_output or 0, 0) * max(price.completion, 0)
    return min(max(prompt_tokens, 0) * dearest + output + max(price.request, 0), MAX_PICO)


def _bounded(amount: Pico) -> Pico:
    """*amount*, clamped to the range of a charge."""
    return min(max(amount, 0), MAX_PICO)
