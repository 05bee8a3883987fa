"""Cost: usage times price, in integer pico-dollars.

All inputs are bounded: a negative count or price counts as zero, and an amount that does not fit the database's 64 bits
becomes `MAX_PICO`. No value from a provider can make a charge negative or overflow a sum.

What has no price of its own is billed as the next more general thing, at least what is known of it. Where the provider
may charge more than that, the cost is marked as not known, and the provider's own figure is taken if it gives one:

| used | without its price, billed as | known |
|---|---|---|
| reasoning | completion | yes: that is the rule among providers |
| cached input | prompt | yes: a discount is never assumed |
| cache writes, those for an hour | prompt, cache writes | where the configuration set the price |
| audio and video in the input, audio and images in the output | prompt, completion | no |
| web searches; images, where each has a price and their number is not known | nothing | no |

Source: OpenRouter, "Usage accounting".
"""

from trunkline.model.endpoint import Price
from trunkline.model.money import MAX_PICO, Pico
from trunkline.model.usage import Cost, Usage


def cost(usage: Usage, price: Price, *, charged: bool = True) -> Cost:
    """The cost of *usage* at *price*, whose tier is chosen by the length of the prompt.

    `price.request` is billed once, and `price.image` and `price.search` for each. Where cached and written input exceed
    the prompt, cached input takes precedence and the rest is cut to the prompt's length.

    `usage.outside` is billed like the rest. Where another model ran for a part of *usage*, its price is not known here:
    the part is billed at *price*, and `known` is False.

    Where the price is unknown, the total is the provider's reported cost, or zero with `known` False where it reported
    none. With *charged* False (see `billable`), only `upstream` is set: the total is zero, and known.
    """
    upstream = None if usage.upstream_cost is None else _bounded(usage.upstream_cost)
    if not charged:
        return Cost(upstream=upstream)
    if price.tiers:
        price = price.for_prompt(usage.prompt)
    if price.prompt is None or price.completion is None:
        return Cost(total=upstream or 0, upstream=upstream, known=upstream is not None)
    outside = usage.outside
    known = _is_covered(usage, price) and not usage.other_model and not (price.image and usage.images is None)
    if outside is not None:
        known = known and _is_covered(outside, price)
    if not known and upstream is not None:
        return Cost(total=upstream, upstream=upstream)
    prompt = _input(usage, price.prompt, price)
    completion = _output(usage, price.completion, price)
    if outside is not None:
        prompt += _input(outside, price.prompt, price)
        completion += _output(outside, price.completion, price)
    request = max(price.request, 0)
    if usage.images:
        prompt += max(usage.images, 0) * max(price.image, 0)
    if usage.searches:
        request += max(usage.searches, 0) * max(price.search or 0, 0)
    total = prompt + completion + request
    if total > MAX_PICO:
        total, prompt, completion, request = (min(part, MAX_PICO) for part in (total, prompt, completion, request))
    return Cost(total=total, prompt=prompt, completion=completion, request=request, upstream=upstream, known=known)


def _is_covered(usage: Usage, price: Price) -> bool:
    """Whether *price* has a price for all that was used."""
    if price.incomplete:
        return False
    if usage.cache_write and price.cache_write is None and price.source != "configuration":
        return False
    if usage.cache_write_1h and price.cache_write_1h is None and price.source != "configuration":
        return False
    return not (
        (usage.audio_prompt and price.audio is None)
        or (usage.video_prompt and price.video is None)
        or (usage.audio_completion and price.audio_completion is None)
        or (usage.image_completion and price.image_completion is None)
        or (usage.searches and price.search is None)
    )


def _input(usage: Usage, plain: Pico, price: Price) -> Pico:
    """The cost of the input, where *plain* is the price of a prompt token."""
    sent, plain = max(usage.prompt, 0), max(plain, 0)
    if not usage.cached and not usage.cache_write and not usage.audio_prompt and not usage.video_prompt:
        return sent * plain
    cached = min(max(usage.cached or 0, 0), sent)
    written = min(max(usage.cache_write or 0, 0), sent - cached)
    written_1h = min(max(usage.cache_write_1h or 0, 0), written)
    rest = sent - cached - written
    # Which of the cached tokens are audio is not said: as few as possible, since audio is the dearer.
    audio = max(usage.audio_prompt or 0, 0)
    audio_rest = min(audio, rest)
    audio_cached = min(audio - audio_rest, cached)
    video = min(max(usage.video_prompt or 0, 0), rest - audio_rest)
    audio_price = _or(price.audio, plain)
    read_price, write_price = _or(price.cache_read, plain), _or(price.cache_write, plain)
    return (
        (cached - audio_cached) * read_price
        + audio_cached * max(read_price, _or(price.audio_cache_read, audio_price))
        + (written - written_1h) * write_price
        + written_1h * _or(price.cache_write_1h, write_price)
        + audio_rest * audio_price
        + video * _or(price.video, plain)
        + (rest - audio_rest - video) * plain
    )


def _output(usage: Usage, plain: Pico, price: Price) -> Pico:
    """The cost of the output, where *plain* is the price of a completion token."""
    made, plain = max(usage.billed_completion, 0), max(plain, 0)
    if price.reasoning is None and not usage.audio_completion and not usage.image_completion:
        return made * plain
    thought = 0 if price.reasoning is None else min(max(usage.reasoning or 0, 0), made)
    audio = min(max(usage.audio_completion or 0, 0), made - thought)
    image = min(max(usage.image_completion or 0, 0), made - thought - audio)
    return (
        thought * _or(price.reasoning, plain)
        + audio * _or(price.audio_completion, plain)
        + image * _or(price.image_completion, plain)
        + (made - thought - audio - image) * plain
    )


def _or(price: Pico | None, other: Pico) -> Pico:
    """*price*, or *other* where it is None; not negative."""
    return other if price is None else max(price, 0)


def billable(usage: Usage, finish_reason: str | None) -> bool:
    """Whether a generation is charged. False is OpenRouter's zero-completion insurance.

    Not charged: no output and no finish reason (None or blank), or the finish reason `error`, whatever the output.

    Source: OpenRouter, "Zero completion insurance".
    """
    return finish_reason != "error" and (bool(finish_reason) or usage.billed_completion > 0)


def worst_case(prompt_tokens: int, max_output: int | None, price: Price, *, audio: bool = False) -> Pico:
    """The maximum cost of a call, to reserve before it starts.

    *prompt_tokens* is an upper bound of the input; all of it is billed at the highest input price, that of audio and
    video included where the request may have it (*audio*). *max_output* is the maximum number of output tokens, or None
    where unlimited: the output is then left out and the result is not a bound. Images and searches, whose number is not
    known before, are left out too. Zero where the price is unknown.
    """
    if price.prompt is None or price.completion is None:
        return 0
    most = _worst(prompt_tokens, max_output, price, audio=audio)
    for tier in price.tiers:
        if prompt_tokens > tier.above:
            most = max(most, _worst(prompt_tokens, max_output, tier.price, audio=audio))
    return most


def _worst(prompt_tokens: int, max_output: int | None, price: Price, *, audio: bool) -> Pico:
    reading = (price.prompt, price.cache_read, price.cache_write, price.cache_write_1h)
    hearing = (price.audio, price.audio_cache_read, price.video) if audio else ()
    writing = (price.completion, price.reasoning, price.audio_completion, price.image_completion)
    dearest = max(0, *(one or 0 for one in (*reading, *hearing)))
    output = max(max_output or 0, 0) * max(0, *(one or 0 for one in writing))
    return min(max(prompt_tokens, 0) * dearest + output + max(price.request, 0), MAX_PICO)


def _bounded(amount: Pico) -> Pico:
    """*amount*, clamped to the range of a charge."""
    return min(max(amount, 0), MAX_PICO)
