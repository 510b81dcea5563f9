"""What TensorFlow says of functions that are traced again."""

import logging

import keras
import numpy as np

from rotnet_keras import fine_tune, two_conv_extractor
from rotnet_keras._base.retracing import no_word_of_retracing

RETRACED = (
    "5 out of the last 5 calls to <function f at 0x1> triggered tf.function retracing. Tracing is "
    "expensive"
)


def test_retracing_alone_is_not_said(caplog):
    logger = logging.getLogger("tensorflow")
    with no_word_of_retracing():
        logger.warning("5 out of the last %d calls triggered tf.function retracing", 5)
        logger.warning("another")
    logger.warning(RETRACED)
    assert caplog.messages == ["another", RETRACED]


def test_training_says_nothing_of_it(caplog):
    def warn(*_):
        logging.getLogger("tensorflow").warning(RETRACED)

    images = np.zeros((4, 12, 12, 1), "uint8")
    told = keras.callbacks.LambdaCallback(on_epoch_end=warn)
    fine_tune(
        two_conv_extractor((12, 12, 1)), images, np.arange(4) % 2, callbacks=[told], verbose=0
    )
    assert RETRACED not in caplog.messages
    warn()
    assert RETRACED in caplog.messages
