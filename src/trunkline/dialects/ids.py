"""Ids for what the upstream gave none: the same for the same answer and place."""

from trunkline.dialects.base import Identity


def made_up(identity: Identity, prefix: str, number: int) -> str:
    """`<prefix>_<the generation's random part><number>`."""
    return f"{prefix}_{identity.id[-20:]}{number}"
