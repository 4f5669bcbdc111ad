"""Keras layers of Rankline's own, which a saved model may have: what is above this room says how they are made known.

A module that a file names is never imported.
"""

from __future__ import annotations

from collections.abc import Callable

PREFIX = "rankline>"
"""How Keras's registered name of such a layer begins."""

REGISTER: list[Callable[[], object]] = []
"""What registers them with Keras, called when the first model needs them."""


def register_own_layers() -> None:
    """Makes them known to Keras."""
    for register in REGISTER:
        register()
