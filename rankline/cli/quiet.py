"""Loading Keras without its backend's start-up notes."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from rankline.cli.ending import early


def load_keras_for(model: str) -> None:
    """What reading MODEL needs, quietly: Keras alone, and nothing for a layers file."""
    if not model.endswith(".json"):
        _load()


def load_keras() -> None:
    """What making a model needs, quietly: Keras, and TensorFlow, which Keras loads to save with any backend."""
    _load()
    if "tensorflow" not in sys.modules:
        with suppress(ImportError), early(), _silent_stderr():
            import tensorflow  # noqa: F401


def _load() -> None:
    """Imports Keras quietly: TensorFlow's native libraries write to standard error before they can be told not to.

    Errors of the import are raised as ever.
    """
    if "keras" in sys.modules:
        return
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    with early(), _silent_stderr():
        import keras  # noqa: F401


@contextmanager
def _silent_stderr() -> Iterator[None]:
    """Without what is written to the file descriptor of standard error; all the same where that is closed."""
    if sys.stderr is not None:
        sys.stderr.flush()
    try:
        kept = os.dup(2)
    except OSError:  # closed: nothing can be written there
        yield
        return
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
