"""What a user can name as MODEL: a saved model, a known network, a function, or a layers file."""

from __future__ import annotations

import json
import re
import sys
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from importlib import import_module
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rankline.src.dse import zoo
from rankline.src.dse.errors import UserError, one_of
from rankline.src.dse.keras_model import own_layers
from rankline.src.dse.keras_model.graph import InputShape, as_shapes
from rankline.src.dse.keras_model.reader import ModelShape, describe
from rankline.src.dse.layer import Layer
from rankline.src.dse.layers_file import layers_of, read_layers

if TYPE_CHECKING:
    import keras

POSSIBLE = "a .keras or .h5 file, app:ResNet50, zoo:lenet5, package.module:function, or a .json layers file"
FUNCTION = r"[^\W\d][\w.]*:[^\W\d]\w*"
"""How a function of a module is named: package.module:function."""

CODE_CARRIERS = {"Lambda", "__lambda__", "TFSMLayer", "TorchModuleWrapper"}
"""Classes that run code from the file they are saved in, or from another that it names."""


def load_network(source: str, input_shape: InputShape | None = None) -> ModelShape:
    """The network that a MODEL string names, as numbers; its name is the file's stem or what follows the colon.

    ``input_shape``: see ``graph.trace``. Raises UserError with what is possible.
    """
    if Path(source).suffix != ".json":
        return network_of(load_model(source, input_shape), network_name(source), input_shape)
    if input_shape is not None:
        raise UserError(f"'{source}' is a layers file and has the sizes of its layers; leave the input shape out")
    return network_of(read_layers(source), network_name(source))


def load_model(source: str, input_shape: InputShape | None = None) -> keras.Model:
    """The Keras model that a MODEL string names. Raises UserError with what is possible.

    ``app:`` and ``zoo:`` networks are built for ``input_shape``, without weights from elsewhere; other models
    keep their own.
    """
    suffix = Path(source).suffix
    if suffix == ".json":
        raise UserError(f"'{source}' is a layers file, which has no weights; give the model: a .keras or .h5 file")
    if suffix in (".keras", ".h5", ".hdf5"):
        return _saved(Path(source))
    kind, _, name = source.partition(":")
    if kind == "app" and name:
        return _built_for(input_shape, source, _application(name))
    if kind == "zoo" and name:
        return _built_for(input_shape, source, partial(zoo.build, name))
    if re.fullmatch(FUNCTION, source):
        return _from_function(source)
    raise UserError(f"'{source}' does not name a model; possible: {POSSIBLE}")


def network_of(
    model_or_layers: keras.Model | Sequence[Layer | Mapping[str, Any]],
    name: str | None = None,
    input_shape: InputShape | None = None,
) -> ModelShape:
    """A Keras model, or a list of Layers or of entries of a layers file, as numbers.

    Raises UserError for anything else, and as dse.keras_model.reader.describe and dse.layers_file.layers_of do.
    """
    if isinstance(model_or_layers, list | tuple):
        layers = layers_of(model_or_layers, name or "the list of layers")
        return ModelShape(name or "layers", (), sum(map(_kernel_params, layers)), tuple(layers))
    import keras

    if not isinstance(model_or_layers, keras.Model):
        raise UserError(f"expected a Keras model or a list of layers; got {model_or_layers!r}")
    shape = describe(model_or_layers, input_shape)
    return ModelShape(name or shape.name, shape.input_shape, shape.params, shape.layers)


def network_name(source: str) -> str:
    """What a network of a MODEL text is called: the file's stem, or what follows the colon."""
    path = Path(source)
    return path.stem if path.suffix in (".json", ".keras", ".h5", ".hdf5") else source.partition(":")[2]


def function_of(source: str, possible: str) -> Callable[[], Any]:
    """The function that ``package.module:function`` names, of an installed module or one in the current folder.

    ``possible`` ends the error where there is no such module. Raises UserError.
    """
    module_name, _, function_name = source.partition(":")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        module = import_module(module_name)
    except ModuleNotFoundError as error:
        if not f"{module_name}.".startswith(f"{error.name}."):
            raise  # the module is there, but something that it imports is not: its own error tells more
        raise UserError(f"{source}: no module '{error.name}' in {here} or installed; {possible}") from error
    function = getattr(module, function_name, None)
    if not callable(function):
        raise one_of(
            f"function in {module_name}",
            function_name,
            [key for key, value in vars(module).items() if callable(value) and not key.startswith("_")],
        )
    found: Callable[[], Any] = function
    return found


def _kernel_params(layer: Layer) -> int:
    if layer.kept_because:
        return layer.kept_params or 0
    return prod(layer.kernel) * layer.in_channels * layer.out_channels


def _built_for(input_shape: InputShape | None, source: str, builder: Callable[..., keras.Model]) -> keras.Model:
    """The network of a builder that has one input, at its default size for None."""
    if input_shape is None:
        return builder()
    shapes = as_shapes(input_shape)
    if len(shapes) != 1:
        raise UserError(f"{source} has one input; got {len(shapes)} input shapes")
    try:
        return builder(input_shape=shapes[0])
    except UserError:
        raise
    except ValueError as error:
        raise UserError(f"{source} cannot be built for input shape {shapes[0]}: {_one_line(error)}") from error


def _application(name: str) -> Callable[..., keras.Model]:
    """The function of keras.applications, with random weights: nothing is downloaded."""
    import keras

    builders = {key: value for key, value in vars(keras.applications).items() if callable(value)}
    if name not in builders:
        raise one_of("application", name, list(builders))
    return partial(builders[name], weights=None)


def _from_function(source: str) -> keras.Model:
    import keras

    model = function_of(source, f"MODEL may be {POSSIBLE}")()
    if not isinstance(model, keras.Model):
        raise UserError(f"{source}() must return a Keras model; it returned {type(model).__name__}")
    return model


def _saved(path: Path) -> keras.Model:
    """The model of a .keras or HDF5 file. Nothing in the file is run."""
    if not path.is_file():
        raise UserError(f"there is no file '{path}'; MODEL may be {POSSIBLE}")
    own_way = "if you trust it, load it in a function of your own and give package.module:function"
    try:
        config = json.loads(_config_text(path))
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise UserError(
            f"'{path}' holds no Keras model (weights alone are not enough); save one with model.save('NAME.keras')"
        ) from error
    objects = list(_objects(config))
    carriers = sorted(CODE_CARRIERS & {str(one.get("class_name")) for one in objects})
    if carriers:
        raise UserError(f"'{path}' has a {carriers[0]}, which would run code from a file; {own_way}")
    import keras

    try:
        if any(str(one.get("registered_name")).startswith(own_layers.PREFIX) for one in objects):
            own_layers.register_own_layers()
        return keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:
        raise UserError(f"Keras cannot load '{path}' ({_one_line(error)}); {own_way}") from error


def _config_text(path: Path) -> str | bytes:
    """The JSON text that a saved model is rebuilt from."""
    if path.suffix == ".keras":
        with zipfile.ZipFile(path) as archive:
            return archive.read("config.json")
    import h5py

    with h5py.File(path, "r") as file:
        text: str | bytes = file.attrs["model_config"]
    return text


def _objects(config: Any) -> Iterator[dict[str, Any]]:
    """Every object in a saved configuration, which says its class."""
    if isinstance(config, dict):
        yield config
    for value in config.values() if isinstance(config, dict) else config if isinstance(config, list) else ():
        yield from _objects(value)


def _one_line(error: Exception) -> str:
    """The cause as Keras tells it, without line breaks: where it wraps one error in others, the innermost."""
    return " ".join(str(error).rpartition("Exception encountered: ")[2].split())[:200]
