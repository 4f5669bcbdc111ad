"""What a user can name as MODEL: a saved model, a known network, a function, or a layers file."""

from __future__ import annotations

import ast
import re
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from math import prod
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from rankline.src.dse import zoo
from rankline.src.dse.errors import UserError, one_of
from rankline.src.dse.keras_model import own_layers
from rankline.src.dse.keras_model.foreign import foreign_model
from rankline.src.dse.keras_model.fresh_names import fresh_names
from rankline.src.dse.keras_model.graph import InputShape, as_shapes
from rankline.src.dse.keras_model.named_function import FUNCTION, check_function, function_of
from rankline.src.dse.keras_model.reader import ModelShape, describe
from rankline.src.dse.keras_model.saved import (
    ENDINGS,
    OWN_WAY,
    SavedLayer,
    SavedModel,
    cannot_load_old,
    layers_with_weights,
    objects_in,
    saved_layers,
    saved_model,
)
from rankline.src.dse.layer import Layer
from rankline.src.dse.layers_file import layers_of, read_layers
from rankline.src.dse.outgoing import for_database

if TYPE_CHECKING:
    import keras

POSSIBLE = "a .keras or .h5 file, app:ResNet50, zoo:lenet5, package.module:function, or a .json layers file"
_MODEL_MAY_BE = f"MODEL may be {POSSIBLE}"


def load_network(source: str, input_shape: InputShape | None = None) -> ModelShape:
    """The network that a MODEL string names, as numbers; its name is the file's stem or what follows the colon.

    ``input_shape``: see ``graph.trace``. Raises UserError listing what is possible.
    """
    if Path(source).suffix != ".json":
        return network_of(load_model(source, input_shape), network_name(source), input_shape)
    if input_shape is not None:
        raise UserError(f"'{source}' is a layers file and has the sizes of its layers; leave the input shape out")
    return network_of(read_layers(source), network_name(source))


def load_model(source: str, input_shape: InputShape | None = None) -> keras.Model:
    """The Keras model that a MODEL string names. Raises UserError listing what is possible.

    ``app:`` and ``zoo:`` networks are built for ``input_shape``, with random weights; other models keep their own.
    A network that is built twice has the same layer names.
    """
    kind = _kind(source)
    _, _, name = source.partition(":")
    if kind == "saved":
        return _saved(Path(source))
    with fresh_names():
        if kind == "app":
            return _built_for(input_shape, source, _application(name))
        if kind == "zoo":
            return _built_for(input_shape, source, partial(zoo.build, name))
        return _from_function(source)


def check_model(source: str) -> tuple[SavedLayer, ...] | None:
    """Raises UserError where ``load_model`` surely would, as far as that can be told without Keras.

    Returns the layers of a saved model, None where they aren't known yet.
    """
    kind = _kind(source)
    _, _, name = source.partition(":")
    if kind == "saved":
        return saved_layers(saved_model(Path(source), _MODEL_MAY_BE).config)
    if kind == "zoo":
        zoo.check_name(name)
    elif kind == "app" and (known := _applications()) and name not in known:
        raise one_of("application", name, known)
    elif kind == "function":
        check_function(source, _MODEL_MAY_BE)
    return None


def _kind(source: str) -> str:
    """``saved``, ``app``, ``zoo`` or ``function``. Raises UserError where the text is none of them."""
    suffix = Path(source).suffix
    if suffix == ".json":
        raise UserError(f"'{source}' is a layers file, which has no weights; give the model: a .keras or .h5 file")
    if other := foreign_model(Path(source)):
        raise UserError(f"'{source}' is {other}; MODEL may be {POSSIBLE}")
    if suffix in ENDINGS:
        return "saved"
    kind, _, name = source.partition(":")
    if kind in ("app", "zoo") and name:
        return kind
    if re.fullmatch(FUNCTION, source):
        return "function"
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
    return replace(shape, name=name or shape.name)


def network_name(source: str) -> str:
    """The name of the network of a MODEL string: the file's stem, or what follows the colon."""
    path = Path(source)
    found = path.stem if path.suffix in (".json", *ENDINGS) else source.partition(":")[2]
    return for_database(found)


def _kernel_params(layer: Layer) -> int:
    if layer.kept_because:
        return layer.kept_params or 0
    return prod(layer.kernel) * layer.in_channels * layer.out_channels


def _built_for(input_shape: InputShape | None, source: str, builder: Callable[..., keras.Model]) -> keras.Model:
    """The network of a builder with one input, at the builder's default size if ``input_shape`` is None."""
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


def _applications() -> list[str]:
    """The names in keras.applications, as the text of its file lists them; none where that can't be read."""
    spec = find_spec("keras")
    folders = (spec.submodule_search_locations if spec else None) or ()
    try:
        (text,) = [Path(folder, "applications", "__init__.py").read_text(encoding="utf-8") for folder in folders]
        imports = [node for node in ast.parse(text).body if isinstance(node, ast.ImportFrom)]
    except (OSError, ValueError, SyntaxError):
        return []
    return [one.name for node in imports if str(node.module).startswith("keras.src.") for one in node.names]


def _from_function(source: str) -> keras.Model:
    import keras

    model = function_of(source, _MODEL_MAY_BE)()
    if not isinstance(model, keras.Model):
        raise UserError(f"{source}() must return a Keras model; it returned {type(model).__name__}")
    return model


def _saved(path: Path) -> keras.Model:
    """The model of a .keras or HDF5 file. Nothing in the file is run."""
    saved = saved_model(path, _MODEL_MAY_BE)
    import keras

    try:
        if any(str(one.get("registered_name")).startswith(own_layers.PREFIX) for one in objects_in(saved.config)):
            own_layers.register_own_layers()
        if saved.is_old:
            return _old(path, saved)
        return keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:
        if saved.is_old:
            raise cannot_load_old(path, saved, _one_line(error)) from error
        raise UserError(f"Keras cannot load '{path}' ({_one_line(error)}); {OWN_WAY}") from error


def _old(path: Path, saved: SavedModel) -> keras.Model:
    """A model of Keras 2, from its repaired configuration and the weights in its file."""
    import keras

    model = keras.saving.deserialize_keras_object(saved.config, safe_mode=True)
    if not saved.is_hdf5:
        model.load_weights(path)
        return model
    with TemporaryDirectory() as folder:  # Keras goes by the ending, and TensorFlow wrote HDF5 under others as well
        named = Path(folder, "model.h5")
        named.symlink_to(path.absolute())
        model.load_weights(named)
    wanted = [one.name for one in model.layers if one.weights]
    found = layers_with_weights(path)
    if wanted != found and sorted(wanted) == sorted(found):
        raise UserError("its weights stand in another order than its layers")
    return model


_NOT_KERAS = (KeyError, IndexError, AttributeError, NameError, AssertionError, RecursionError)

_PYTHON = re.compile(r"indices must be|unhashable|object is not|not subscriptable|not iterable|to unpack|bad operand")
"""What only Python itself says of a wrong type."""


def _one_line(error: Exception) -> str:
    """Why a model can't be made: Keras's message on one line; of nested errors, the innermost.

    What Python, zip or HDF5 say stands for a file that Keras didn't write, or that is damaged.
    """
    text = " ".join(str(error).rpartition("Exception encountered: ")[2].split())[:200]
    if isinstance(error, OSError | zipfile.BadZipFile | EOFError):
        return "the file is damaged"
    if isinstance(error, _NOT_KERAS) or _PYTHON.search(text) or not text:
        return "its configuration is not one that Keras writes"
    return text
