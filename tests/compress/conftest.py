from __future__ import annotations

from dataclasses import replace

import keras
import pytest

from rankline.src.compress.data.sets import Data, load
from tests.helpers.digits_net import trained_on


@pytest.fixture(scope="session")
def digits() -> Data:
    """scikit-learn's handwritten digits."""
    return load("digits")


@pytest.fixture(scope="session")
def few(digits: Data) -> Data:
    """A third of the digits, for trials that need not be good, only quick."""
    return replace(
        digits,
        x_train=digits.x_train[:384], y_train=digits.y_train[:384],
        x_validation=digits.x_validation[:128], y_validation=digits.y_validation[:128],
        x_test=digits.x_test[:64], y_test=digits.y_test[:64],
    )  # fmt: skip


@pytest.fixture(scope="session")
def trained(digits: Data) -> keras.Model:
    """A tiny CNN with a residual part, trained on the digits in seconds."""
    return trained_on(digits)
