"""What providers charge for beyond plain tokens; the amounts are computed by hand."""

import pytest
from msgspec.structs import replace

from trunkline.ledger import cost, worst_case
from trunkline.model.endpoint import Price, PriceTier
from trunkline.model.usage import Cost, Usage

# Pico-dollars per token; $1 per million tokens is 1,000,000.
GEMINI = Price(
    prompt=300_000,
    completion=2_500_000,
    cache_read=30_000,
    audio=1_000_000,
    audio_cache_read=100_000,
    video=300_000,
    source="genai-prices",
)
"""$0.30 in, $2.50 out, $0.03 cached; audio $1.00, cached $0.10."""
SONNET = Price(
    prompt=3_000_000,
    completion=15_000_000,
    cache_read=300_000,
    cache_write=3_750_000,
    cache_write_1h=6_000_000,
    search=10_000_000_000,
    tiers=(
        PriceTier(
            above=200_000,
            price=Price(
                prompt=6_000_000,
                completion=22_500_000,
                cache_read=600_000,
                cache_write=7_500_000,
                cache_write_1h=12_000_000,
                search=10_000_000_000,
            ),
        ),
    ),
    source="genai-prices",
)
"""$3 in, $15 out, $0.30 read, $3.75 and $6 written, $10 per thousand searches; above 200,000: $6, $22.50, $0.60 …"""
REASONER = Price(
    prompt=2_000_000, completion=8_000_000, reasoning=3_000_000, request=5_000_000_000, search=5_000_000_000
)
"""$2 in, $8 out, $3 for reasoning, $5 per thousand requests and per thousand searches."""
IMAGES = Price(prompt=300_000, completion=2_500_000, image_completion=30_000_000, image=1_000_000_000)
"""$30 per million tokens of output images, $0.001 per input image."""
VOICE = Price(prompt=2_500_000, completion=10_000_000, audio=40_000_000, audio_completion=80_000_000)


@pytest.mark.parametrize(
    ("price", "usage", "total"),
    [
        # Tiers: the whole request by the tier of its prompt, and the boundary belongs to the lower one.
        (SONNET, Usage(prompt=200_000, completion=1000), 600_000_000_000 + 15_000_000_000),
        (SONNET, Usage(prompt=200_001, completion=1000), 1_200_006_000_000 + 22_500_000_000),
        (
            SONNET,
            Usage(prompt=250_000, cached=240_000, completion=10),
            10_000 * 6_000_000 + 240_000 * 600_000 + 225_000_000,
        ),
        # Cache writes by lifetime: 600 for five minutes at $3.75, 400 for an hour at $6, 9000 plain.
        (
            SONNET,
            Usage(prompt=10_000, cache_write=1000, cache_write_1h=400),
            2_250_000_000 + 2_400_000_000 + 27_000_000_000,
        ),
        # Searches: three at one cent.
        (SONNET, Usage(prompt=100, completion=10, searches=3), 300_000_000 + 150_000_000 + 30_000_000_000),
        # Audio: 60 text at $0.30, 40 audio at $1.00.
        (GEMINI, Usage(prompt=100, audio_prompt=40, completion=2), 18_000_000 + 40_000_000 + 5_000_000),
        # Cached 50, audio 40, so 50 are not cached: 40 of them audio, 10 text.
        (GEMINI, Usage(prompt=100, cached=50, audio_prompt=40), 50 * 30_000 + 40 * 1_000_000 + 10 * 300_000),
        # Cached 80, audio 40: 20 of the 20 others are audio, and 20 of the cached must be.
        (GEMINI, Usage(prompt=100, cached=80, audio_prompt=40), 60 * 30_000 + 20 * 100_000 + 20 * 1_000_000),
        (GEMINI, Usage(prompt=100, video_prompt=30, audio_prompt=10), 90 * 300_000 + 10 * 1_000_000),
        # Reasoning at its own price, counted in the completion or apart.
        (
            REASONER,
            Usage(prompt=10, completion=100, reasoning=90),
            20_000_000 + 10 * 8_000_000 + 90 * 3_000_000 + 5 * 10**9,
        ),
        (
            REASONER,
            Usage(prompt=10, completion=10, reasoning=90, reasoning_apart=True, searches=2),
            20_000_000 + 10 * 8_000_000 + 90 * 3_000_000 + 5 * 10**9 + 2 * 5 * 10**9,
        ),
        # An image of 1,290 tokens and 10 of text; two images in the prompt.
        (
            IMAGES,
            Usage(prompt=10, completion=1300, image_completion=1290, images=2),
            3_000_000 + 25_000_000 + 38_700_000_000 + 2 * 10**9,
        ),
        (IMAGES, Usage(prompt=10, completion=1, images=0), 3_000_000 + 2_500_000),
        # A spoken dialogue.
        (
            VOICE,
            Usage(prompt=100, audio_prompt=90, completion=50, audio_completion=45),
            25_000_000 + 90 * 40_000_000 + 50_000_000 + 45 * 80_000_000,
        ),
        # More than there is of a kind is cut.
        (GEMINI, Usage(prompt=10, audio_prompt=50), 10_000_000),
        (REASONER, Usage(completion=5, reasoning=50), 15_000_000 + 5 * 10**9),
        (VOICE, Usage(completion=5, audio_completion=50), 400_000_000),
    ],
)
def test_the_total(price: Price, usage: Usage, total: int) -> None:
    found = cost(usage, price)
    assert (found.total, found.known) == (total, True)
    assert found.total == found.prompt + found.completion + found.request


@pytest.mark.parametrize(
    ("price", "usage", "at_least"),
    [
        (Price(prompt=1, completion=1), Usage(prompt=10, audio_prompt=4), 10),
        (Price(prompt=1, completion=1), Usage(prompt=10, video_prompt=4), 10),
        (Price(prompt=1, completion=1), Usage(completion=10, audio_completion=4), 10),
        (Price(prompt=1, completion=1), Usage(completion=10, image_completion=4), 10),
        (Price(prompt=1, completion=1), Usage(prompt=10, searches=1), 10),
        (Price(prompt=1, completion=1, image=5), Usage(prompt=10), 10),
        (Price(prompt=1, completion=1, source="genai-prices"), Usage(prompt=10, cache_write=4), 10),
        (
            Price(prompt=1, completion=1, cache_write=2, source="provider"),
            Usage(prompt=10, cache_write=4, cache_write_1h=1),
            14,
        ),
        (Price(prompt=1, completion=1, incomplete=True), Usage(prompt=10), 10),
    ],
)
def test_what_a_price_lacks_is_named(price: Price, usage: Usage, at_least: int) -> None:
    assert (cost(usage, price).total, cost(usage, price).known) == (at_least, False)
    reported = replace(usage, upstream_cost=99)
    assert cost(reported, price) == Cost(total=99, upstream=99), "the provider knows"
    assert cost(usage, price, charged=False) == Cost()


def test_what_the_configuration_leaves_out_has_its_documented_default() -> None:
    price = Price(prompt=1, completion=1, source="configuration")
    assert cost(Usage(prompt=10, cache_write=4, cache_write_1h=2), price) == Cost(total=10, prompt=10)


def test_zero_of_a_kind_needs_no_price() -> None:
    usage = Usage(prompt=1, audio_prompt=0, video_prompt=0, audio_completion=0, image_completion=0, searches=0)
    assert cost(usage, Price(prompt=1, completion=1)).known


def test_a_bound_has_the_dearest_tier_that_the_prompt_can_reach() -> None:
    assert worst_case(200_000, 10, SONNET) == 200_000 * 6_000_000 + 10 * 15_000_000
    assert worst_case(200_001, 10, SONNET) == 200_001 * 12_000_000 + 10 * 22_500_000
    assert worst_case(100, 10, GEMINI) == 100 * 300_000 + 10 * 2_500_000
    assert worst_case(100, 10, GEMINI, audio=True) == 100 * 1_000_000 + 10 * 2_500_000
    assert worst_case(0, 10, VOICE) == 10 * 80_000_000
    assert worst_case(0, 10, REASONER) == 10 * 8_000_000 + 5 * 10**9
    cheaper = replace(SONNET, tiers=(PriceTier(above=10, price=Price(prompt=1, completion=1)),))
    assert worst_case(100, 0, cheaper) == 600_000_000, "a longer prompt can be the cheaper one"
