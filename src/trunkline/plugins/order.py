"""The stages of the gateway, in the order in which they work.

Request stages run from the first to the last; event transforms get an answer's events in the same order. A stage's
place needs a reason: what must come before it, and what must come after.
"""

from trunkline.engine.stages import Stage

STAGES: tuple[Stage, ...] = ()
"""None is installed yet. The places that are foreseen: redaction first, before everything that reads or sends text;
moderation of the input, before anything is bought; file parsing and search, which add text that later stages must see;
compression last, when all text is there."""
