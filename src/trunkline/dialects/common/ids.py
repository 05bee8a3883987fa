"""Ids that are ours: the same for the same thing."""

from hashlib import sha256

from trunkline.dialects.interfaces import Identity


def generated_id(identity: Identity, prefix: str, number: int) -> str:
    """For what the upstream gave none, by its place: `<prefix>_<the generation's random part><number>`."""
    return f"{prefix}_{identity.id[-20:]}{number}"


def pseudonym(user: str) -> str:
    """For the end user *user*, whom a provider of another dialect is to tell from others and not to know.

    Source: openrouter-semantics §10.
    """
    return f"user_{sha256(user.encode()).hexdigest()}"
