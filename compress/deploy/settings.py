"""How a model is deployed."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class DeploySettings:
    """What is written for a runtime, and how it is measured.

    - ``to``: the runtime, litert or onnx; None: that of the file's suffix
    - ``precision``: f32, f16, int8 (which needs samples), int8-dynamic or int8-weights
    - ``fit``: whether weights are fitted to what the precision rounds, where there are samples, without labels; the
      model that is given stays as it is
    - ``batch``: samples in a call; ``threads``: in which it is measured
    - ``samples``: at most so many are calibrated on, drawn with ``seed``
    - ``test_samples``: at most so many are scored; None: all
    """

    to: str | None = None
    precision: str = "f32"
    fit: bool = True
    batch: int = 1
    threads: int = 1
    samples: int = 1024
    test_samples: int | None = None
    seed: int = 0
