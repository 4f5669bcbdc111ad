"""The settings of a factorization under a budget."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rankline.src.compress.methods import known
from rankline.src.dse.errors import UserError, one_of

if TYPE_CHECKING:
    from rankline.src.compress.fit.refit import FitSettings
    from rankline.src.compress.training.settings import FineTuning

VALUES = ("damage", "energy", "uniform")
"""How an error in a layer can be valued (see ``damage``)."""

FITS = ("data", "whitened", "weights")
"""How factors are made: fitted to the original's outputs on data (see ``refit``), to the covariance of the original's
inputs, or to the weights alone."""

SOLVERS = ("exact", "price")


@dataclass(frozen=True)
class BudgetSettings:
    """The settings of a factorization under a budget.

    - ``methods``: those to choose from (None: all)
    - ``value``: how an error in a layer is valued, one of VALUES
    - ``fit``: how factors are made, one of FITS
    - ``fit_settings``: of a fit to data, by default with ``seed``
    - ``include``, ``exclude``: names or patterns of the layers that may change
    - ``samples``: how many calibration samples are drawn
    - ``seed``: of the samples and the fit
    - ``solver``: of the allocation, exact or price
    - ``fine_tuning``: one-shot fine-tuning of the result, which needs labels
    """

    methods: Sequence[str] | None = None
    value: str = "damage"
    fit: str = "data"
    fit_settings: FitSettings | None = None
    include: Sequence[str] = ()
    exclude: Sequence[str] = ()
    samples: int = 1024
    seed: int = 0
    solver: str = "exact"
    fine_tuning: FineTuning | None = None

    def __post_init__(self) -> None:
        for what, given, possible in (
            ("value", self.value, VALUES), ("fit", self.fit, FITS), ("solver", self.solver, SOLVERS)
        ):  # fmt: skip
            if given not in possible:
                raise one_of(what, given, list(possible))
        for method in self.methods or ():
            known(method)
        if self.samples < 1:
            raise UserError(f"samples must be at least 1; got {self.samples}")
