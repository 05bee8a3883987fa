"""Ids that the gateway generates. They are deterministic: the same input gives the same id."""

from hashlib import sha256


def generated_id(generation_id: str, prefix: str, number: int) -> str:
    """Return an id for what the upstream sent without one: `<prefix>_<random part of the generation id><number>`."""
    return f"{prefix}_{generation_id[-20:]}{number}"


def pseudonym(user: str) -> str:
    """Return a pseudonym for the end user *user*: providers can tell users apart, and do not learn who they are.

    Source: OpenRouter, "Parameters".
    """
    return f"user_{sha256(user.encode()).hexdigest()}"
