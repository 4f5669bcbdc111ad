"""The names that Keras makes for layers without one (``conv2d_7``), the same however many were made before."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

COUNTERS = "object_name_uids"
"""Keras's name for its counters of names."""


@contextmanager
def fresh_names() -> Iterator[None]:
    """Within, Keras numbers names as a new process does, so that a network that is built twice has the same ones.

    Afterwards it goes on from the higher number of each name, so that later ones are new to both.
    """
    from keras.src.backend.common import global_state

    before = Counter(global_state.get_global_attribute(COUNTERS, {}))
    global_state.set_global_attribute(COUNTERS, defaultdict(int))
    try:
        yield
    finally:
        made = Counter(global_state.get_global_attribute(COUNTERS, {}))
        global_state.set_global_attribute(COUNTERS, defaultdict(int, before | made))
