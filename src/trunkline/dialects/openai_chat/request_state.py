"""State of a request while its messages are written."""

from msgspec import Struct

from trunkline.model.request import Message


class Turn(Struct):
    """A message and where it stands among those that came."""

    at: int
    message: Message
