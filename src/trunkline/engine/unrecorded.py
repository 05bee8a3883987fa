"""The client's error where the journal cannot be written."""

import logging

from trunkline.model.errors import Overloaded

logger = logging.getLogger(__name__)


def unrecorded(problem: OSError) -> Overloaded:
    """The client's error where the journal cannot be written: without a record there is no answer."""
    logger.critical("the journal cannot be written: %s", problem.strerror)
    return Overloaded("the server cannot record usage now", retry_after_s=5.0)
