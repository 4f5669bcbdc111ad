"""Networks that can be built by name, with random weights (``zoo:lenet5``).

Each follows a paper or a well-known implementation, named in its file, at the input size of the data set on which it is
mostly studied; at the reference's input size it has the reference's number of parameters.
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
"""The modules of networks that belong to a family; every other network is in a module of its own name."""


def _builder(name: str) -> Callable[..., keras.Model]:
    """The function ``name`` of its module, imported on the first call, because Keras takes seconds to load."""

    def build_network(**settings: Any) -> keras.Model:
        return getattr(import_module(f"rankline.src.dse.zoo.{MODULES.get(name, name)}"), name)(**settings)

    return build_network


ZOO: dict[str, Callable[..., keras.Model]] = {
    name: _builder(name) for name in (*FOURTEEN, "mobilenetv2", "vit", "gpt2_block")
}
"""Builders by name; each takes ``input_shape`` and, except for gpt2_block, ``classes``, both with a default."""


def check_name(name: str) -> None:
    """Raises UserError, with the possible ones, where no network has that name."""
    if name not in ZOO:
        raise one_of("zoo network", name, list(ZOO))


def build(name: str, **settings: Any) -> keras.Model:
    """The network of that name. Raises UserError with the possible ones."""
    check_name(name)
    return ZOO[name](**settings)
