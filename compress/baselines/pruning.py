"""Filter pruning: removes the least important filters and what depends on them, which leaves a smaller plain model.

Li et al., "Pruning Filters for Efficient ConvNets", ICLR 2017, section 3: with a filter go its feature map and the
weights of the next layers that act on it. Filters whose feature maps are added are removed together, chosen by the
sum of their importance.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from rankline.src.compress.baselines.channels import CONVOLUTIONS, ChannelMap, channel_map
from rankline.src.compress.baselines.importance import filter_importance
from rankline.src.compress.model.duplicate import duplicate
from rankline.src.compress.model.surgery import find_layer
from rankline.src.dse.errors import UserError, one_of

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Pruned:
    """A pruned model, the number of filters kept in each prunable layer, and why other layers can't be pruned."""

    model: keras.Model
    kept: Mapping[str, int]
    skipped: Mapping[str, str]


def prune(
    model: keras.Model,
    keep: float | Mapping[str, int],
    criterion: str = "l1",
    dense: bool = False,
    layers: Collection[str] | None = None,
) -> Pruned:
    """A new model without the least important filters of its convolutions.

    - ``model``: a built Functional or Sequential model, which is not changed; layers in nested models, and what leads
      into them, are skipped
    - ``keep``: the fraction of every layer's filters to keep, or their number by the layer's path; layers whose outputs
      are added share it. At least one filter is kept
    - ``criterion``: ``l1``, ``l2`` or ``geometric_median``
    - ``dense``: whether to prune the units of hidden dense layers too (units tied to filters always are)
    - ``layers``: the paths of the layers to prune, by default all; filters tied to those of another layer stay

    Raises UserError for an impossible number, and if nothing can be pruned.
    """
    channels = channel_map(model)
    bundles, skipped = _bundles(model, channels, dense, layers)
    if not bundles:
        reasons = "; ".join(f"{path}: {reason}" for path, reason in skipped.items())
        raise UserError(f"no filters of '{model.name}' can be pruned ({reasons})")
    importance = _importance(model, channels, frozenset().union(*bundles), criterion)
    counts = _counts(channels, bundles, skipped, keep)
    stays = np.ones(len(importance), bool)
    for bundle, groups in bundles.items():
        ranking = groups[np.argsort(-importance[groups], kind="stable")]
        stays[ranking[counts[bundle] :]] = False
    mask = stays[channels.group]
    kept = {path: int(mask[own].sum()) for path, own in channels.filters.items() if path not in skipped}
    return Pruned(_without(model, channels, mask), kept, skipped)


Bundles = dict[frozenset[str], NDArray[np.int64]]
"""The groups of channels of each set of layers whose filters are tied."""


def _bundles(
    model: keras.Model, channels: ChannelMap, dense: bool, layers: Collection[str] | None
) -> tuple[Bundles, dict[str, str]]:
    """What can be pruned, and why other layers can't be."""
    owners: dict[int, set[str]] = {}
    for path, own in channels.filters.items():
        for group in channels.group[own].tolist():
            owners.setdefault(group, set()).add(path)
    convolutions = {path for path in channels.filters if isinstance(find_layer(model, path), CONVOLUTIONS)}
    bundles: dict[frozenset[str], list[int]] = {}
    for group, paths in sorted(owners.items()):
        chosen = layers is None or paths <= set(layers)
        if chosen and group not in channels.kept_because and (dense or paths & convolutions):
            bundles.setdefault(frozenset(paths), []).append(group)
    pruned = frozenset().union(*bundles)
    skipped = {}
    for path, own in channels.filters.items():
        if path not in pruned:
            group = int(channels.group[own[0]])
            plain = "is a dense layer; say dense=True to prune it"
            if layers is not None and not owners[group] <= set(layers):
                plain = "or a layer that its filters are added to was left out"
            skipped[path] = channels.kept_because.get(group, plain)
    return {bundle: np.array(groups) for bundle, groups in bundles.items()}, {**channels.refused, **skipped}


def _importance(
    model: keras.Model, channels: ChannelMap, paths: Collection[str], criterion: str
) -> NDArray[np.float64]:
    """The summed importance of the filters in each group of the layers at those paths."""
    importance = np.zeros(channels.group.max() + 1)
    for path in sorted(paths):
        layer = find_layer(model, path)
        kernel = keras.ops.convert_to_numpy(getattr(layer, "pointwise_kernel" if _is_separable(layer) else "kernel"))
        np.add.at(importance, channels.group[channels.filters[path]], filter_importance(kernel, criterion))
    return importance


def _is_separable(layer: keras.Layer | None) -> bool:
    return isinstance(layer, keras.layers.SeparableConv1D | keras.layers.SeparableConv2D)


def _counts(
    channels: ChannelMap, bundles: Bundles, skipped: Mapping[str, str], keep: float | Mapping[str, int]
) -> dict[frozenset[str], int]:
    """How many groups of each bundle are kept. Raises UserError for an impossible number."""
    if not isinstance(keep, Mapping):
        if not 0 < keep <= 1:
            raise UserError(f"keep must be a fraction above 0 and up to 1, or counts by layer; got {keep}")
        return {bundle: max(1, round(keep * len(groups))) for bundle, groups in bundles.items()}
    counts = {bundle: len(groups) for bundle, groups in bundles.items()}
    wanted: dict[frozenset[str], int] = {}
    for path, count in keep.items():
        if path in skipped:
            raise UserError(f"layer '{path}' cannot be pruned: it {skipped[path]}; take it out of keep")
        if path not in channels.filters:
            raise one_of("layer", path, [name for name in channels.filters if name not in skipped])
        bundle = next(bundle for bundle in bundles if path in bundle)
        filters = len(channels.filters[path])
        if counts[bundle] != filters:
            raise UserError(f"the filters of layer '{path}' are tied in several groups; give keep as a fraction")
        if not 1 <= count <= filters:
            raise UserError(f"layer '{path}' has {filters} filters; keep from 1 to {filters} of them, got {count}")
        if wanted.setdefault(bundle, count) != count:
            raise UserError(
                f"layers {', '.join(sorted(bundle))} are added, so they must keep the same number of filters"
            )
    return counts | wanted


def _without(model: keras.Model, channels: ChannelMap, mask: Mask) -> keras.Model:
    """The model with only the channels in the mask."""
    # The same graph without its compile settings: clone_model would copy them, and fail on a custom loss.
    graph = keras.Model(model.inputs, model.outputs, name=model.name)
    copies = {id(layer): _narrowed(layer, channels, mask) for layer in graph.layers}
    entries = {id(layer.output): layer for layer in graph.layers if isinstance(layer, keras.layers.InputLayer)}
    inputs = [copies[id(entries[id(tensor)])] for tensor in model.inputs]

    def copy(operation: Any) -> Any:
        """A layer's copy; anything that isn't a layer is an operation without weights."""
        return copies[id(operation)] if id(operation) in copies else duplicate(operation)

    if isinstance(model, keras.Sequential):
        result = keras.Sequential([*inputs, *map(copy, model.layers)], name=model.name)
    else:
        graph = keras.Model(model.input, model.output, name=model.name)
        tensors = keras.tree.pack_sequence_as(model.input, [layer.output for layer in inputs])
        result = keras.models.clone_model(graph, input_tensors=tensors, clone_function=copy)
    for layer in model.layers:
        new = copies[id(layer)]
        new.set_weights([_sliced(weight, channels, mask) for weight in layer.weights])
        if isinstance(new, keras.layers.Normalization):
            new.finalize_state()
    return result


def _narrowed(layer: keras.Layer, channels: ChannelMap, mask: Mask) -> keras.Layer:
    """A copy, not yet built, with the remaining number of channels in its config."""
    new = duplicate(layer)
    if id(layer) in channels.widths:
        width = int(mask[channels.widths[id(layer)]].sum())
        if isinstance(new, keras.layers.Reshape):
            new.target_shape = (*new.target_shape[:-1], -1 if new.target_shape[-1] == -1 else width)
        else:
            setattr(new, "units" if isinstance(new, keras.layers.Dense) else "filters", width)
    return new


def _sliced(weight: Any, channels: ChannelMap, mask: Mask) -> NDArray[Any]:
    array: NDArray[Any] = keras.ops.convert_to_numpy(weight)
    for axis, own in channels.axes.get(id(weight), {}).items():
        array = np.compress(mask[own], array, axis)
    return array
