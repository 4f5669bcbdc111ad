"""How far the rank-one terms of a model's CP layers cancel each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import keras
import tensorly as tl

from rankline.src.compress.methods.numerics.stable import growth
from rankline.src.compress.model.surgery import factor_chain
from rankline.src.dse.configuration import Configuration


def growths(model: keras.Model, plan: Mapping[str, Configuration]) -> dict[str, float]:
    """``stable.growth`` of each layer that the plan factorizes by CP, by path, from the weights that the model has now.

    model: one that ``factorize`` made of the plan, perhaps fitted or fine-tuned since.
    """
    return {path: _growth(factor_chain(model, path, choice)) for path, choice in plan.items() if choice.method == "cp"}


def _growth(chain: Sequence[keras.Layer]) -> float:
    first, *spatial, last = (tl.tensor(keras.ops.convert_to_numpy(layer.kernel), dtype=tl.float64) for layer in chain)
    rank = tl.shape(first)[-1]
    columns = [tl.reshape(kernel, (-1, rank)) for kernel in (first, *spatial)]
    return growth([*columns, tl.transpose(tl.reshape(last, (rank, -1)))])
