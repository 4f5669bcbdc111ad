"""Registering Rankline's own Keras layers, which a saved model may have; higher packages add to ``REGISTER``.

A module named in a file is never imported.
"""

from __future__ import annotations

from collections.abc import Callable

PREFIX = "rankline>"
"""Prefix of the name under which Keras registers such a layer."""

REGISTER: list[Callable[[], object]] = []
"""Functions that register them with Keras, called when the first model needs them."""


def register_own_layers() -> None:
    """Registers them with Keras."""
    for register in REGISTER:
        register()
