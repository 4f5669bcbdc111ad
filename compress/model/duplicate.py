"""A new layer from an old one's configuration."""

from __future__ import annotations

from inspect import isfunction

import keras

from rankline.src.dse.errors import UserError


def duplicate(layer: keras.Layer) -> keras.Layer:
    """A layer (or bare operation of a graph) of the same class and config, unbuilt and without weights.

    Functions that the layer holds (a custom activation, a Lambda's body) needn't be registered with Keras, since they
    are in memory. Raises UserError for a layer whose class cannot be made from its config.
    """
    functions = {value.__name__: value for value in vars(layer).values() if isfunction(value)}
    # Keras refuses a Lambda's code from untrusted files; this code already runs in this process.
    trust = {"safe_mode": False} if isinstance(layer, keras.layers.Lambda) else {}
    try:
        config = layer.get_config()
        if hasattr(layer, "get_vocabulary"):
            config["vocabulary"] = layer.get_vocabulary(include_special_tokens=False)
        with keras.saving.custom_object_scope(functions):
            return type(layer).from_config(config, **trust)
    except Exception as error:  # whatever a foreign get_config or from_config raises
        reason = str(error).strip().split("\n")[0]
        raise UserError(
            f"layer '{layer.name}' ({type(layer).__name__}) cannot be made again from its config: {reason}; "
            "give its class a get_config that holds every argument of its constructor"
        ) from error
