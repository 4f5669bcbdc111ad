"""Which layers of a model plain Keras lacks."""

from __future__ import annotations

from collections.abc import Sequence

import keras

from rankline.src.dse.keras_model.own_layers import PREFIX

NAMED = 5
"""Layers that ``way_to_load`` names; more are counted."""


def own_layers(model: keras.Layer, prefix: str = "") -> list[str]:
    """The paths of a model's layers of Rankline's own classes, nested models included."""
    found = []
    for layer in getattr(model, "layers", ()):
        path = f"{prefix}{layer.name}"
        if keras.saving.get_registered_name(type(layer)).startswith(PREFIX):
            found.append(path)
        found += own_layers(layer, f"{path}/")
    return found


def way_to_load(own: Sequence[str]) -> str:
    """How to load a model with such layers, in a sentence."""
    named = ", ".join(own[:NAMED]) + (f" and {len(own) - NAMED} more" if len(own) > NAMED else "")
    return f"plain Keras lacks layers that it has ({named}): `import rankline.layers` before `keras.saving.load_model`"
