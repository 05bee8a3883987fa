"""Types that the request schemas of Chat and Responses share; the limits are the documented ones."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

Effort = Literal["max", "xhigh", "high", "medium", "low", "minimal", "none"]
Between = Annotated[float, Meta(ge=-2, le=2)]
Share = Annotated[float, Meta(ge=0, le=1)]
Count = Annotated[int, Meta(ge=1, le=2**31 - 1)]
Id256 = Annotated[str, Meta(max_length=256)]
MAX_TOOLS = 2048


class CacheControl(Struct):
    """`cache_control`."""

    type: Literal["ephemeral"]
    ttl: Literal["5m", "1h"] | None = None


class PromptCacheOptions(Struct):
    """`prompt_cache_options`."""

    mode: Literal["explicit"]
    ttl: Literal["30m", "12h"] | None = None


class Debug(Struct):
    """`debug`."""

    echo_upstream_body: bool | None = None
