"""Whether inputs are scaled as those that a model was trained on, as far as its first BatchNorm remembers."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np

from rankline.src.compress.data.arrays import Array
from rankline.src.compress.model.files import outputs_of
from rankline.src.dse.errors import UserError

ENOUGH = 32
"""Samples that are looked at."""

MOST_APART = 100
"""How many times the second moment of the maps may be that of training, or less; ten times the scale."""


def check_scale(model: keras.Model, samples: Sequence[Array]) -> None:
    """Raises UserError where the maps that the first BatchNorm gets are of another scale than its moments tell.

    samples: an array for each input. A model without one, or with one that was not trained, is not looked at.
    """
    norm = next((one for one in model.layers if isinstance(one, keras.layers.BatchNormalization)), None)
    if norm is None:
        return
    try:
        before = norm.input
    except (AttributeError, ValueError):  # it is called at several places
        return
    mean, variance = (keras.ops.convert_to_numpy(one) for one in (norm.moving_mean, norm.moving_variance))
    known = float(np.mean(mean**2 + variance))
    if not known or (np.all(mean == 0) and np.all(variance == 1)):
        return
    (maps,) = outputs_of(keras.Model(model.inputs, before), [one[:ENOUGH] for one in samples])
    given = float(np.mean(np.square(maps, dtype=np.float64)))
    if not known * MOST_APART >= given >= known / MOST_APART:
        low, high = (float(some) for some in (min(one.min() for one in samples), max(one.max() for one in samples)))
        times = f"{(given / known) ** 0.5:.2g} times"
        raise UserError(
            f"the calibration data, from {low:.4g} to {high:.4g}, is scaled otherwise than what model '{model.name}' "
            f"was trained on: the maps into '{norm.name}' are {times} as large; give --rescale, --mean and --std"
        )
