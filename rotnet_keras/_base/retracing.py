"""TensorFlow's warning of functions that are traced again, which says nothing of many networks."""

from __future__ import annotations

import contextlib
import logging

RETRACED = "triggered tf.function retracing"  # each of many small networks is traced once


@contextlib.contextmanager
def no_word_of_retracing():
    """Within it, TensorFlow's logger says nothing of functions that it traces again."""

    def is_other(record):
        return RETRACED not in record.getMessage()

    logger = logging.getLogger("tensorflow")
    logger.addFilter(is_other)
    try:
        yield
    finally:
        logger.removeFilter(is_other)
