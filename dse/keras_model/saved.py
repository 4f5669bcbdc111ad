"""What the configuration in a saved model tells, without Keras, which takes seconds to load."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from rankline.src.dse.errors import UserError
from rankline.src.dse.keras_model.reader import KEPT_BECAUSE, READERS

ENDINGS = (".keras", ".h5", ".hdf5")

CODE_CARRIERS = {"Lambda", "__lambda__", "TFSMLayer", "TorchModuleWrapper"}
"""Classes that run code from the file they are saved in, or from another that it names."""

GRAPHS = ("Functional", "Sequential", "Model")
"""Classes whose layers the configuration lists."""

SEPARABLE = {"SeparableConv1D": 1, "SeparableConv2D": 2}
"""Separable convolutions, which a reader lists as their two parts, with the number of their spatial axes."""

OWN_WAY = "if you trust it, load it in a function of your own and give package.module:function"


@dataclass(frozen=True)
class SavedLayer:
    """A layer of a saved model that is no model itself; each of the two parts of a separable convolution.

    path: as a reader lists it; class_name: its class; is_stock: whether that is Keras's own; groups: of a convolution;
    kernel: the shape of the kernel of a Dense, Conv1D, Conv2D or Conv3D, None where the file doesn't tell.
    """

    path: str
    class_name: str
    is_stock: bool
    groups: int = 1
    kernel: tuple[int, ...] | None = None

    @property
    def has_kernel(self) -> bool:
        """Whether a reader may list it: of a class that is not known, nobody can tell."""
        return not self.is_stock or self.class_name in {*READERS, *KEPT_BECAUSE}


def saved_configuration(path: Path, possible: str) -> dict[str, Any]:
    """The configuration of a .keras or HDF5 file. ``possible`` ends the error where there is no such file.

    Raises UserError where there is no model, and for one that would run code from a file.
    """
    if not path.is_file():
        raise UserError(f"there is no file '{path}'; {possible}")
    try:
        config = json.loads(_config_text(path))
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise UserError(
            f"'{path}' holds no Keras model (weights alone are not enough); save one with model.save('NAME.keras')"
        ) from error
    carriers = sorted(CODE_CARRIERS & {str(one.get("class_name")) for one in objects_in(config)})
    if carriers:
        raise UserError(f"'{path}' has a {carriers[0]}, which would run code from a file; {OWN_WAY}")
    found: dict[str, Any] = config
    return found


def objects_in(config: Any) -> Iterator[dict[str, Any]]:
    """Every object in a saved configuration, which says its class."""
    if isinstance(config, dict):
        yield config
    for value in config.values() if isinstance(config, dict) else config if isinstance(config, list) else ():
        yield from objects_in(value)


def saved_layers(config: Mapping[str, Any]) -> tuple[SavedLayer, ...] | None:
    """The layers of a saved model, nested ones by their path; None where the configuration doesn't list them."""
    listed = _listed(config) if config.get("class_name") in GRAPHS else None
    return None if listed is None else tuple(_layers(listed, ""))


def _layers(listed: list[Any], prefix: str) -> Iterator[SavedLayer]:
    for one in listed:
        path = f"{prefix}{one.get('name') or one['config']['name']}"
        inner = _listed(one)
        if inner is not None:
            yield from _layers(inner, f"{path}/")
        if one["class_name"] in GRAPHS:
            continue  # a class of the user's own may be a model or a layer: it counts as both
        if one["class_name"] != "InputLayer" and not str(one.get("module")).startswith("keras.src.ops"):
            yield from _entries(one, path)


def _listed(one: Mapping[str, Any]) -> list[Any] | None:
    """The entries of a model's layers; None for anything else, and where one of them has no name."""
    config = one.get("config")
    listed = config.get("layers") if isinstance(config, dict) else None
    if not isinstance(listed, list) or not all(map(_is_named, listed)):
        return None
    return listed


def _is_named(entry: Any) -> bool:
    if not isinstance(entry, dict) or not isinstance(entry.get("class_name"), str):
        return False
    config = entry.get("config")
    return bool(isinstance(config, dict) and (entry.get("name") or config.get("name")))


def _entries(one: Mapping[str, Any], path: str) -> Iterator[SavedLayer]:
    """A layer as a reader lists it: a separable convolution as its two parts."""
    config, class_name = one["config"], one["class_name"]
    is_stock = (
        ">" not in str(one.get("registered_name")) and str(one.get("module") or "keras").partition(".")[0] == "keras"
    )
    if is_stock and class_name in SEPARABLE:
        axes = SEPARABLE[class_name]
        kernel = _kernel(one, [1] * axes, config.get("filters"), config.get("depth_multiplier") or 1)
        yield SavedLayer(f"{path}/depthwise", f"DepthwiseConv{axes}D", is_stock)
        yield SavedLayer(f"{path}/pointwise", f"Conv{axes}D", is_stock, kernel=kernel)
        return
    groups = config.get("groups") or 1
    sizes, outputs = {
        "Dense": ([], config.get("units")),
        **dict.fromkeys(("Conv1D", "Conv2D", "Conv3D"), (config.get("kernel_size"), config.get("filters"))),
    }.get(class_name, (None, None))
    kernel = _kernel(one, sizes, outputs, Fraction(1, groups)) if is_stock and sizes is not None else None
    yield SavedLayer(path, class_name, is_stock, groups, kernel)


def _kernel(
    one: Mapping[str, Any], sizes: Sequence[int], outputs: Any, share: int | Fraction
) -> tuple[int, ...] | None:
    """The kernel's shape, from what a layer was built on; HDF5 files don't tell it.

    share: its input channels for each channel of the layer's input.
    """
    shape = (one.get("build_config") or {}).get("input_shape")
    if not isinstance(shape, list) or len(shape) < 2:
        return None
    channels = shape[1 if one["config"].get("data_format") == "channels_first" else -1]
    if not isinstance(channels, int) or not isinstance(outputs, int):
        return None
    return (*sizes, int(channels * share), outputs)


def _config_text(path: Path) -> str | bytes:
    """The JSON text that a saved model is rebuilt from."""
    if path.suffix == ".keras":
        with zipfile.ZipFile(path) as archive:
            return archive.read("config.json")
    import h5py

    with h5py.File(path, "r") as file:
        text: str | bytes = file.attrs["model_config"]
    return text
