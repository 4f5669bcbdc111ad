"""Networks that can be built by name, without weights from elsewhere (``zoo:lenet5``).

Each is written after a paper or a well-known implementation, which its file names, at the size of the data set that
it is mostly studied on; at the size of the reference its number of parameters is that of the reference.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any

from rankline.src.dse.errors import one_of

if TYPE_CHECKING:
    import keras

FOURTEEN = (
    "lenet5",
    "alexnet",
    "vgg11",
    "vgg16",
    "vgg19",
    "gtsrb_cnn",
    "voxnet",
    "m5",
    "resnet18",
    "resnet34",
    "resnet50",
    "googlenet",
    "squeezenet",
    "densenet121",
)
"""The convolutional networks of the studies: 1-D, 2-D and 3-D, with and without branches."""

MODULES = {
    "vgg11": "vgg",
    "vgg16": "vgg",
    "vgg19": "vgg",
    "resnet18": "resnet",
    "resnet34": "resnet",
    "resnet50": "resnet",
    "densenet121": "densenet",
}
"""Where a network of a family is; the others are in a file of their own name."""


def _builder(name: str) -> Callable[..., keras.Model]:
    """The function ``name`` of its module, imported at the first call: Keras takes seconds."""

    def build_network(**settings: Any) -> keras.Model:
        return getattr(import_module(f"rankline.src.dse.zoo.{MODULES.get(name, name)}"), name)(**settings)

    return build_network


ZOO: dict[str, Callable[..., keras.Model]] = {
    name: _builder(name) for name in (*FOURTEEN, "mobilenetv2", "vit", "gpt2_block")
}
"""Builders by name; each takes ``input_shape`` and, but for gpt2_block, ``classes``, both with a default."""


def check_name(name: str) -> None:
    """Raises UserError, with the possible ones, where no network has that name."""
    if name not in ZOO:
        raise one_of("zoo network", name, list(ZOO))


def build(name: str, **settings: Any) -> keras.Model:
    """The network of that name. Raises UserError with the possible ones."""
    check_name(name)
    return ZOO[name](**settings)
