"""Reasoning efforts, ordered."""

ORDER = ("none", "minimal", "low", "medium", "high", "xhigh", "max")


def nearest_effort(effort: str, efforts: tuple[str, ...]) -> str:
    """The one of *efforts* that is nearest to *effort*, the higher of two. An effort nobody knows counts as medium.

    "none" is the answer only where it was asked for.
    """
    if effort in efforts:
        return effort
    at = ORDER.index(effort if effort in ORDER else "medium")
    usable = [one for one in efforts if one != "none"]
    return min(usable, key=lambda one: (abs(ORDER.index(one) - at), -ORDER.index(one)))
