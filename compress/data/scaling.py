"""How inputs are scaled before a model gets them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from rankline.src.compress.data.arrays import Array
from rankline.src.dse.errors import UserError


@dataclass(frozen=True)
class Scaling:
    """The scaling of the inputs, ``(x * rescale - mean) / std``.

    - ``rescale``: a factor
    - ``mean``, ``std``: one value for each channel, or one for all
    """

    rescale: float = 1.0
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)

    def __post_init__(self) -> None:
        for name, values in (("rescale", (self.rescale,)), ("mean", self.mean), ("std", self.std)):
            if not all(map(math.isfinite, values)) or (name != "mean" and 0 in values):
                raise UserError(
                    f"--{name} takes finite numbers{'' if name == 'mean' else ' other than 0'}; got {values}"
                )

    def apply(self, x: Array) -> Array:
        """The scaled inputs as float32."""
        with np.errstate(over="ignore"):  # the caller tells of what is infinite
            scaled = np.asarray(x, np.float32)
            if self == Scaling():
                return scaled
            for name in ("mean", "std"):
                if len(getattr(self, name)) not in (1, x.shape[-1]):
                    raise UserError(f"--{name} has {len(getattr(self, name))} values, the data {x.shape[-1]} channels")
            mean, std = np.asarray(self.mean, np.float32), np.asarray(self.std, np.float32)
            return np.asarray((scaled * np.float32(self.rescale) - mean) / std, np.float32)
