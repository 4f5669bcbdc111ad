"""The settings of a study of precisions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rankline.src.compress.budget.settings import RUNTIMES
from rankline.src.compress.methods import known
from rankline.src.dse.errors import UserError, one_of
from rankline.src.dse.precision import F16, F32, INT8, INT8_DYNAMIC, precision_named


@dataclass(frozen=True)
class PrecisionSettings:
    """The settings of a study of precisions.

    - ``keep``: shares of the original's FLOPs or params that plans keep
    - ``methods``: those that are studied, each alone (None: all)
    - ``precisions``: names of ``dse.precision.PRECISIONS``
    - ``runtime``: for which files are written, one of RUNTIMES
    - ``samples``: how many calibration samples are drawn, with ``seed``
    - ``test_samples``: how many test samples scores are of, at most (None: all)
    - ``is_fitted``: whether weights are fitted to what a precision rounds, of the original and of what is factorized
    - ``prune_epochs``: how long pruned models are trained, with labels; 0: not at all

    Raises UserError for anything impossible.
    """

    keep: Sequence[float] = (0.3, 0.5, 0.7)
    methods: Sequence[str] | None = None
    precisions: Sequence[str] = (F32.name, F16.name, INT8.name, INT8_DYNAMIC.name)
    runtime: str = RUNTIMES[0]
    samples: int = 1024
    test_samples: int | None = None
    is_fitted: bool = True
    prune_epochs: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.keep or not all(0 < share < 1 for share in self.keep):
            raise UserError(f"keep takes shares above 0 and below 1, such as 0.3 and 0.5; got {list(self.keep)}")
        for name in self.methods or ():
            known(name)
        if not self.precisions:
            raise UserError("there are no precisions to study; give some, such as f16 and int8")
        for name in self.precisions:
            precision_named(name)
        if self.runtime not in RUNTIMES:
            raise one_of("runtime", self.runtime, list(RUNTIMES))
        for what, low in (("samples", 1), ("test_samples", 1), ("prune_epochs", 0)):
            given = getattr(self, what)
            if given is not None and given < low:
                raise UserError(f"{what} must be at least {low}; got {given}")
