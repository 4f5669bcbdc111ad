"""What the configuration in a saved model tells, without Keras, which takes seconds to load."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

from rankline.src.dse.errors import UserError
from rankline.src.dse.json_file import MOST_BYTES, check_regular, parsed
from rankline.src.dse.keras_model.keras2.graph import modern_model
from rankline.src.dse.keras_model.reader import KEPT_BECAUSE, READERS

ENDINGS = (".keras", ".h5", ".hdf5")

HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"

NOW = "3"
"""The version of Keras that is meant where a file says none."""

MOST_EXPANSION = 20
"""How many times its size a .keras file may unpack to; Keras itself doesn't compress."""

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


@dataclass(frozen=True)
class SavedModel:
    """A model as its file describes it: its configuration for Keras 3, and the version of Keras that wrote it.

    is_hdf5: whether the file is HDF5, whatever its name ends in.
    """

    config: dict[str, Any]
    keras_version: str
    is_hdf5: bool

    @property
    def is_old(self) -> bool:
        """Whether Keras 2 or 1 wrote it."""
        return self.keras_version.partition(".")[0] in ("1", "2")


def saved_model(path: Path, possible: str) -> SavedModel:
    """The model in a .keras or HDF5 file. ``possible`` ends the error where there is no such file.

    Raises UserError where there is no model, and for one that would run code from a file.
    """
    if not path.exists():
        raise UserError(f"there is no file '{path}'; {possible}")
    try:
        check_regular(path)
    except UserError as error:
        raise UserError(f"cannot read the model '{path}': {error}; {possible}") from error
    with path.open("rb") as file:
        is_hdf5 = file.read(len(HDF5_SIGNATURE)) == HDF5_SIGNATURE
    try:
        text, version = _in_hdf5(path) if is_hdf5 else _in_archive(path)
    except (OSError, KeyError, ValueError, EOFError, RuntimeError, NotImplementedError, zipfile.BadZipFile,
            zlib.error) as error:  # fmt: skip
        if isinstance(error, UserError):
            raise UserError(f"'{path}' {error}") from error
        raise _no_model(path) from error
    try:
        config = parsed(text)
    except UserError as error:
        raise UserError(
            f"the configuration in '{path}' is {error}; save the model with model.save('NAME.keras')"
        ) from error
    if not isinstance(config, dict) or "class_name" not in config:
        raise _no_model(path)
    carriers = sorted(CODE_CARRIERS & {str(one.get("class_name")) for one in objects_in(config)})
    if carriers:
        raise UserError(f"'{path}' has a {carriers[0]}, which would run code from a file; {OWN_WAY}")
    found = SavedModel(config, version, is_hdf5)
    if not found.is_old:
        return found
    try:
        return replace(found, config=modern_model(config))
    except UserError as error:
        raise cannot_load_old(path, found, str(error)) from error
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise cannot_load_old(path, found, "its configuration is not one of Keras") from error


def cannot_load_old(path: Path, saved: SavedModel, reason: str) -> UserError:
    """The error for a model of Keras 2 that can't be loaded, with what to do."""
    return UserError(
        f"'{path}' was written by Keras {saved.keras_version}, and Keras 3 cannot load it: {reason}; build the model "
        "with Keras 3 in a function of your own that ends in model.load_weights, and give package.module:function"
    )


def _no_model(path: Path) -> UserError:
    return UserError(
        f"'{path}' holds no Keras model (weights alone are not enough); save one with model.save('NAME.keras')"
    )


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
    is_known = is_stock and isinstance(sizes, list) and isinstance(groups, int)  # else Keras tells what is wrong
    kernel = _kernel(one, sizes, outputs, Fraction(1, groups)) if is_known else None
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


def _in_archive(path: Path) -> tuple[bytes, str]:
    """The configuration (JSON) in a .keras file, and the version of Keras. Raises UserError for a bomb."""
    with zipfile.ZipFile(path) as archive:
        entries = {one.filename: one for one in archive.infolist()}
        stored = sum(one.compress_size for one in entries.values())
        if sum(one.file_size for one in entries.values()) > MOST_EXPANSION * stored + MOST_BYTES:
            raise UserError(f"unpacks to more than {MOST_EXPANSION} times its size; save the model with model.save")
        if entries["config.json"].file_size > MOST_BYTES:
            raise UserError(
                f"has a configuration of more than {MOST_BYTES // 2**20} MiB; save the model with model.save"
            )
        text = archive.read("config.json")
        try:
            metadata = parsed(archive.read("metadata.json")) if "metadata.json" in entries else {}
        except UserError as error:
            raise UserError(f"has a metadata.json that is {error}; save the model with model.save") from error
        return text, _version(metadata.get("keras_version", NOW) if isinstance(metadata, dict) else NOW)


def _in_hdf5(path: Path) -> tuple[str | bytes, str]:
    """The configuration (JSON) in an HDF5 file, and the version of Keras, which version 1 didn't write."""
    import h5py

    with h5py.File(path, "r") as file:
        text = file.attrs["model_config"]
        if not isinstance(text, str | bytes):
            raise KeyError("model_config")
        return text, _version(file.attrs.get("keras_version", "1"))


def layers_with_weights(path: Path) -> list[str]:
    """The names of the layers whose weights an HDF5 file has, in its order, by which Keras loads them."""
    import h5py

    def names(group: Any, key: str) -> list[str]:
        parts = [group.attrs[key]] if key in group.attrs else []
        while (part := f"{key}{len(parts)}") in group.attrs:  # attributes above 64 KB are split
            parts.append(group.attrs[part])
        return [name.decode() if isinstance(name, bytes) else str(name) for part in parts for name in part]

    with h5py.File(path, "r") as file:
        weights = file["model_weights"]
        return [name for name in names(weights, "layer_names") if names(weights[name], "weight_names")]


def _version(found: Any) -> str:
    """A version, which begins with a number."""
    text = found.decode("utf-8", "replace") if isinstance(found, bytes) else str(found)
    return text[:20] if text[:1].isdigit() and text.isprintable() else NOW
