"""A layer as numbers: everything that its costs depend on, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from math import prod
from typing import Any, TypeGuard

from rankline.src.dse.errors import UserError, short

PADDINGS = ("valid", "same", "causal")

MOST = 2**31 - 1
"""The largest size, number of channels or of positions; a column of PostgreSQL holds no larger one."""

INT64_MAX = 2**63 - 1

MOST_AXES = 8

MOST_CHARACTERS = 1000
"""The longest text in a layers file; names of layers in real networks have up to a hundred characters."""


@dataclass(frozen=True)
class Layer:
    """One convolution or dense layer of a network, for one sample.

    1-D, 2-D and 3-D convolutions differ only in the length of ``kernel``; a dense layer has none. ``positions`` is how
    many times one sample passes through the layer: the tokens of a dense layer on a token axis, or the calls of a
    shared layer. It multiplies feature maps and FLOPs, not params.

    A layer that Rankline does not factorize has the reason in ``kept_because``; its ``kind`` is then the Keras class's
    name in lower case (``depthwiseconv2d``, ``lstm``), and ``kept_params``, ``kept_fm`` and ``kept_macs`` are its
    counts (None: unknown).
    """

    name: str
    kind: str
    in_channels: int
    out_channels: int
    kernel: tuple[int, ...] = ()
    in_size: tuple[int, ...] = ()
    out_size: tuple[int, ...] = ()
    strides: tuple[int, ...] = ()
    padding: str = "valid"
    dilation: tuple[int, ...] = ()
    groups: int = 1
    positions: int = 1
    sequential: bool = True
    kept_because: str | None = None
    kept_params: int | None = None
    kept_fm: int | None = None
    kept_macs: int | None = None

    @property
    def dimensions(self) -> int:
        """Number of spatial axes; 0 for dense."""
        return len(self.kernel)

    @property
    def kernel_elements(self) -> int:
        """K, the product of the kernel's sizes (1 for dense)."""
        return prod(self.kernel)

    @property
    def is_pointwise(self) -> bool:
        """Whether the kernel is a matrix: a dense layer or a 1x1 convolution."""
        return self.kernel_elements == 1

    def as_dict(self) -> dict[str, Any]:
        """The layer as an entry of a layers file, without the fields that are at their default."""
        defaults = {f.name: f.default for f in fields(self)}
        entry = {
            key: list(value) if isinstance(value, tuple) else value
            for key, value in asdict(self).items()
            if value != defaults[key]
        }
        if self.kind == "conv":
            entry.setdefault("padding", self.padding)
        return entry


def conv_out_size(size: int, kernel: int, stride: int, padding: str, dilation: int = 1) -> int:
    """Output length of one spatial axis of a convolution, as Keras computes it."""
    extent = dilation * (kernel - 1) + 1
    return -(-size // stride) if padding in ("same", "causal") else (size - extent) // stride + 1


def conv(
    name: str,
    kernel: tuple[int, ...],
    in_channels: int,
    out_channels: int,
    in_size: tuple[int, ...],
    strides: tuple[int, ...] | int = 1,
    padding: str = "same",
    **more: Any,
) -> Layer:
    """A convolution, with its output size computed. Raises UserError on impossible numbers."""
    if isinstance(strides, int):
        strides = (strides,) * len(kernel)
    return layer_from(
        {
            "name": name,
            "kind": "conv",
            "kernel": kernel,
            "in_channels": in_channels,
            "out_channels": out_channels,
            "in_size": in_size,
            "strides": strides,
            "padding": padding,
            **more,
        }
    )


def dense(name: str, inputs: int, outputs: int, positions: int = 1) -> Layer:
    """A dense layer with ``inputs`` N and ``outputs`` M, applied at ``positions`` positions."""
    return layer_from(
        {"name": name, "kind": "dense", "in_channels": inputs, "out_channels": outputs, "positions": positions}
    )


def layer_from(entry: Mapping[str, Any]) -> Layer:
    """The layer that an entry of a layers file (see the README) describes, validated.

    Raises UserError naming the layer, the field and the possible values.
    """
    name = entry.get("name")
    if not isinstance(name, str) or not name:
        raise UserError(f"a layer needs a 'name' (text); got {short(name)} in {short(dict(entry))}")
    _text(name, entry, "name")
    known = {f.name for f in fields(Layer)}
    for key in entry:
        if key not in known:
            raise UserError(f"layer '{name}': unknown field {short(key)}. Possible: {', '.join(sorted(known))}")
    if entry.get("kept_because"):
        return _kept(name, entry)
    return _counted(_factorizable(name, entry))


def _factorizable(name: str, entry: Mapping[str, Any]) -> Layer:
    kind = entry.get("kind")
    if kind not in ("conv", "dense"):
        raise UserError(f"layer '{name}': kind must be 'conv' or 'dense'; got {short(kind)}")
    common: dict[str, Any] = {
        "name": name,
        "in_channels": _positive(name, entry, "in_channels"),
        "out_channels": _positive(name, entry, "out_channels"),
        "positions": _positive(name, entry, "positions", default=1),
        "sequential": _flag(name, entry, "sequential"),
    }
    if kind == "dense":
        for key in ("kernel", "in_size", "out_size", "strides", "dilation"):
            if entry.get(key):
                raise UserError(f"layer '{name}': a dense layer has no '{key}'; remove it or set kind to 'conv'")
        return Layer(kind="dense", **common)
    return _conv(name, entry, common)


def _conv(name: str, entry: Mapping[str, Any], common: dict[str, Any]) -> Layer:
    kernel = _sizes(name, entry, "kernel", None)
    if not 1 <= len(kernel) <= 3:
        raise UserError(f"layer '{name}': 'kernel' must have 1 to 3 sizes; got {list(kernel)}")
    axes = len(kernel)
    in_size = _sizes(name, entry, "in_size", axes)
    strides = _sizes(name, entry, "strides", axes, default=1)
    dilation = _sizes(name, entry, "dilation", axes, default=1)
    groups = _positive(name, entry, "groups", default=1)
    padding = entry.get("padding", "valid")
    if padding not in PADDINGS:
        raise UserError(f"layer '{name}': padding must be one of {', '.join(PADDINGS)}; got {short(padding)}")
    if entry.get("out_size"):
        out_size = _sizes(name, entry, "out_size", axes)
    else:
        out_size = tuple(
            conv_out_size(x, k, s, padding, d) for x, k, s, d in zip(in_size, kernel, strides, dilation, strict=True)
        )
        if min(out_size) < 1:
            raise UserError(
                f"layer '{name}': kernel {list(kernel)} with padding '{padding}' does not fit "
                f"into in_size {list(in_size)}"
            )
    if common["in_channels"] % groups or common["out_channels"] % groups:
        raise UserError(f"layer '{name}': groups {groups} must divide in_channels and out_channels")
    layer = Layer(
        kind="conv", kernel=kernel, in_size=in_size, out_size=out_size, strides=strides, padding=padding,
        dilation=dilation, groups=groups, **common,
    )  # fmt: skip
    return layer if groups == 1 else _grouped(layer)


def _grouped(layer: Layer) -> Layer:
    params = layer.kernel_elements * layer.in_channels // layer.groups * layer.out_channels
    positions = layer.positions * prod(layer.out_size)
    return replace(
        layer,
        kind=f"conv{layer.dimensions}d",
        kept_because=f"a grouped convolution (groups {layer.groups}) is kept as it is",
        kept_params=params,
        kept_fm=positions * layer.out_channels,
        kept_macs=positions * params,
    )


def _counted(layer: Layer) -> Layer:
    """The layer, whose costs fit into the 64-bit integers of a database. Raises UserError otherwise."""
    params = layer.kernel_elements * layer.in_channels * layer.out_channels
    positions = layer.positions * prod(layer.out_size)
    maps = layer.positions * max(prod(layer.in_size) * layer.in_channels, prod(layer.out_size) * layer.out_channels)
    largest = max(2 * positions * params, maps)
    if largest > INT64_MAX:
        raise UserError(
            f"layer '{layer.name}': it counts {float(largest):.1e}, which does not fit into 64-bit integers"
        )
    return layer


def _kept(name: str, entry: Mapping[str, Any]) -> Layer:
    """A kept layer of a layers file, with its reason; fields may be missing, the others are checked as ever."""
    values: dict[str, Any] = {"kind": "other", "in_channels": 0, "out_channels": 0}
    for key in ("kind", "padding", "kept_because"):
        if entry.get(key) is not None:
            values[key] = _text(name, entry, key)
    for key in ("in_channels", "out_channels", "groups", "positions"):
        if entry.get(key) is not None:
            values[key] = _positive(name, entry, key, least=0)
    for key in ("kept_params", "kept_fm", "kept_macs"):
        if entry.get(key) is not None:
            values[key] = _positive(name, entry, key, least=0, most=INT64_MAX // 2)
    axes = len(_sizes(name, entry, "kernel", None)) if entry.get("kernel") else None
    for key in ("kernel", "in_size", "out_size", "strides", "dilation"):
        if entry.get(key):
            values[key] = _sizes(name, entry, key, axes)
    return Layer(name=name, sequential=_flag(name, entry, "sequential"), **values)


def _text(name: str, entry: Mapping[str, Any], key: str) -> str:
    value = entry[key]
    if not isinstance(value, str):
        raise UserError(f"layer {short(name)}: '{key}' must be text; it is {short(value)}")
    if len(value) > MOST_CHARACTERS or "\0" in value or any("\ud800" <= one <= "\udfff" for one in value):
        raise UserError(
            f"layer {short(name)}: '{key}' must be text of at most {MOST_CHARACTERS:,} characters that UTF-8 can hold, "
            "without a null character"
        )
    return value


def _flag(name: str, entry: Mapping[str, Any], key: str) -> bool:
    value = entry.get(key, True)
    if not isinstance(value, bool):
        raise UserError(f"layer '{name}': '{key}' must be true or false; it is {short(value)}")
    return value


def _is_whole(value: Any, least: int = 1, most: int = MOST) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def _positive(
    name: str, entry: Mapping[str, Any], key: str, default: int | None = None, least: int = 1, most: int = MOST
) -> int:
    value = entry.get(key, default)
    if not _is_whole(value, least, most):
        what = "is missing" if key not in entry else f"is {short(value)}"
        raise UserError(
            f"layer '{name}': '{key}' must be a whole number of at least {least}{_up_to(value, most)}; it {what}"
        )
    return int(value)


def _up_to(value: Any, most: int) -> str:
    """The largest value that is possible, told to those who passed it."""
    return f" and at most {most:,}" if isinstance(value, int) and value > most else ""


def _sizes(
    name: str, entry: Mapping[str, Any], key: str, axes: int | None, default: int | None = None
) -> tuple[int, ...]:
    value = entry.get(key)
    if value in (None, [], ()) and default is not None and axes is not None:
        return (default,) * axes
    if not isinstance(value, list | tuple) or not value or not all(_is_whole(v) for v in value):
        what = "is missing" if value is None else f"is {short(value)}"
        most = max((_up_to(one, MOST) for one in value), default="") if isinstance(value, list | tuple) else ""
        raise UserError(f"layer '{name}': '{key}' must be a list of whole numbers of at least 1{most}; it {what}")
    if axes is not None and len(value) != axes:
        raise UserError(f"layer '{name}': '{key}' has {len(value)} sizes, the kernel has {axes}")
    if len(value) > MOST_AXES:
        raise UserError(f"layer '{name}': '{key}' must have at most {MOST_AXES} sizes; it has {len(value)}")
    return tuple(int(v) for v in value)
