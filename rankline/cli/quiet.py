"""Loading Keras without its backend's start-up notes."""

from __future__ import annotations

import logging
import os
import sys
from contextlib import suppress

from rankline.cli.ending import early
from rankline.src.dse.silence import silent_stderr


def load_keras_for(model: str) -> None:
    """What reading MODEL needs, quietly: Keras alone, and nothing for a layers file."""
    if not model.endswith(".json"):
        _load()


def load_keras() -> None:
    """What making a model needs, quietly: Keras, and TensorFlow, which Keras loads to save with any backend."""
    _load()
    if "tensorflow" not in sys.modules:
        with suppress(ImportError), early(), silent_stderr():
            import tensorflow  # noqa: F401


def _load() -> None:
    """Imports Keras quietly: TensorFlow's native libraries write to standard error before they can be told not to.

    Errors of the import are raised as ever.
    """
    if "keras" in sys.modules:
        return
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    with early(), silent_stderr():
        import keras  # noqa: F401
