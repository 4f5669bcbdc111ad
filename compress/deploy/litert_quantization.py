"""LiteRT files at other precisions than f32, by litert-quantizer."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Sequence
from contextlib import redirect_stderr
from typing import Any

from rankline.src.compress.data.arrays import Array
from rankline.src.compress.deploy.conversion import quiet
from rankline.src.dse.precision import F16, INT8, INT8_DYNAMIC, INT8_WEIGHTS, Precision

ANY = ".*", "*"
"""The pattern of names and the kind of operation of a recipe that is for all."""

BITS = 8


def quantized(
    content: bytes,
    precision: Precision,
    batches: Iterable[Sequence[Array]] = (),
    names: Sequence[str] = (),
    has_float_ends: bool = True,
) -> bytes:
    """A float model at another precision.

    - ``batches``: samples for a precision that needs them, an array of the model's shape for each of ``names``, its
      inputs in its signature
    - ``has_float_ends``: whether it still takes and gives floats where its maps are integers
    """
    from litert_quantizer import Quantizer
    from litert_quantizer.recipe_manager import RecipeManager

    recipe = RecipeManager()
    RECIPES[precision.name](recipe)
    if precision.needs_samples and has_float_ends:
        _leave_ends(recipe)
    with quiet(), redirect_stderr(io.StringIO()):  # its bars write to whatever standard error is in Python
        ranges = _ranges(content, recipe, batches, names) if precision.needs_samples else None
        quantizer = Quantizer(content, recipe.get_quantization_recipe())
        made = quantizer.quantize(ranges, enable_progress_bar=False, enable_progress_report=False)
    return bytes(made.quantized_model)


def _f16(recipe: Any) -> None:
    from litert_quantizer.algorithm_manager import AlgorithmName

    recipe.add_weight_only_config(*ANY, num_bits=16, algorithm_key=AlgorithmName.FLOAT_CASTING)


RECIPES: dict[str, Callable[[Any], None]] = {
    F16.name: _f16,
    INT8.name: lambda recipe: recipe.add_static_config(*ANY, activation_num_bits=BITS, weight_num_bits=BITS),
    INT8_DYNAMIC.name: lambda recipe: recipe.add_dynamic_config(*ANY, num_bits=BITS),
    INT8_WEIGHTS.name: lambda recipe: recipe.add_weight_only_config(*ANY, num_bits=BITS),
}
"""What makes the quantizer's recipe of each precision: weights by channel, symmetric."""


def _leave_ends(recipe: Any) -> None:
    """Inputs and outputs stay floats; the file turns them into integers and back itself."""
    from litert_quantizer.algorithm_manager import AlgorithmName
    from litert_quantizer.qtyping import TFLOperationName

    for end in (TFLOperationName.INPUT, TFLOperationName.OUTPUT):
        recipe.add_quantization_config(".*", end, algorithm_key=AlgorithmName.NO_QUANTIZE)


def _ranges(content: bytes, recipe: Any, batches: Iterable[Sequence[Array]], names: Sequence[str]) -> Any:
    """The least and the largest value of each map over all samples.

    Not ``Quantizer.calibrate``: its moving average forgets the first samples and never reaches the largest values.
    """
    from litert_quantizer.calibrator import Calibrator
    from litert_quantizer.utils.qsv_utils import min_max_update

    calibrator = Calibrator(content, num_threads=1, qsv_update_func=min_max_update)
    (key,) = calibrator.get_signature_list()
    calibrator.calibrate({key: [dict(zip(names, one, strict=True)) for one in batches]}, recipe)
    return calibrator.get_model_qsvs()
