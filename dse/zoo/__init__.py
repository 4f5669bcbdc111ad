"""Networks that can be built by name, without weights from elsewhere (``zoo:lenet5``)."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any

from dse.errors import one_of

if TYPE_CHECKING:
    import keras


def _builder(name: str) -> Callable[..., keras.Model]:
    """The function ``name`` of the module of that name, imported at the first call: Keras takes seconds."""

    def build_network(**settings: Any) -> keras.Model:
        return getattr(import_module(f"dse.zoo.{name}"), name)(**settings)

    return build_network


ZOO: dict[str, Callable[..., keras.Model]] = {name: _builder(name) for name in ("lenet5",)}
"""Builders by name; each takes ``input_shape`` and ``classes``, both with a default."""


def build(name: str, **settings: Any) -> keras.Model:
    """The network of that name. Raises UserError with the possible ones."""
    if name not in ZOO:
        raise one_of("zoo network", name, list(ZOO))
    return ZOO[name](**settings)
