"""Which layers of a model a plan can be about, told by what is known of them without their weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from rankline.src.compress.methods import known
from rankline.src.compress.methods.kernel import check_applies
from rankline.src.dse.configuration import Configuration
from rankline.src.dse.errors import UserError, one_of
from rankline.src.dse.keras_model.saved import SEPARABLE, SavedLayer

CLASSES = ("Dense", "Conv1D", "Conv2D", "Conv3D")
"""Classes of Keras whose layers are factorized, with those that are derived from them and keep their call."""

L = TypeVar("L")


def refusal_by_class(class_name: str, groups: int = 1) -> str | None:
    """Why a layer of a class of Keras cannot be factorized; None where it can."""
    if class_name in SEPARABLE:
        return f"is a {class_name}, of which only the pointwise part is factorized: NAME/pointwise"
    if class_name not in CLASSES:
        return f"is a {class_name}, and only Dense, Conv1D, Conv2D and Conv3D are factorized"
    return f"is a grouped convolution (groups {groups}), which is kept as it is" if groups > 1 else None


def planned(layers: Mapping[str, L], path: str, refusal: Callable[[L], str | None]) -> L:
    """The layer at a path of a plan. Raises UserError where there is none, and where it cannot be factorized."""
    if path not in layers:
        raise one_of("layer", path, [path for path, layer in layers.items() if refusal(layer) is None])
    if reason := refusal(layers[path]):
        raise UserError(f"layer '{path}' {reason}; take it out of the plan")
    return layers[path]


def check_plan(plan: Mapping[str, Configuration], saved: Sequence[SavedLayer] | None) -> None:
    """Raises UserError for an unknown method, and, where the layers of a saved model are known, for a layer that isn't
    among them, can't be factorized, or that the method doesn't apply to."""
    for choice in plan.values():
        known(choice.method)
    if saved is None:
        return
    layers = {layer.path: layer for layer in saved}
    for path, choice in plan.items():
        kernel = planned(layers, path, _refusal).kernel
        if kernel is not None:
            try:
                check_applies(choice.method, kernel)
            except UserError as error:
                raise UserError(f"layer '{path}': {error}") from error


def _refusal(layer: SavedLayer) -> str | None:
    """Of a class of the user's own, nobody can tell before it is loaded."""
    return refusal_by_class(layer.class_name, layer.groups) if layer.is_stock else None
