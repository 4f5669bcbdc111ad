"""The settings of a factorization under a budget."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rankline.src.compress.deploy.formats import SUFFIXES
from rankline.src.compress.methods import known
from rankline.src.dse.errors import UserError, one_of
from rankline.src.dse.precision import F32, precision_named

if TYPE_CHECKING:
    from rankline.src.compress.fit.refit import FitSettings
    from rankline.src.compress.training.settings import FineTuning

VALUES = ("damage", "energy", "uniform")
"""How an error in a layer can be valued (see ``damage``)."""

FITS = ("data", "whitened", "weights")
"""How factors are made: fitted to the original's outputs on data (see ``refit``), to the covariance of the original's
inputs, or to the weights alone."""

SOLVERS = ("exact", "price")

RUNTIMES = tuple(SUFFIXES)
"""Those whose files are written."""


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
    - ``precision``: in what numbers a file for a runtime is written beside the model's, one of
      ``dse.precision.PRECISIONS`` (None: no file, unless a budget limits its bytes)
    - ``runtime``: for which that is, one of RUNTIMES (None: the first)
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
    precision: str | None = None
    runtime: str | None = None
    fine_tuning: FineTuning | None = None

    def __post_init__(self) -> None:
        precision_named(self.precision or F32.name)
        for what, given, possible in (
            ("value", self.value, VALUES), ("fit", self.fit, FITS), ("solver", self.solver, SOLVERS),
            ("runtime", self.runtime or RUNTIMES[0], RUNTIMES),
        ):  # fmt: skip
            if given not in possible:
                raise one_of(what, given, list(possible))
        for method in self.methods or ():
            known(method)
        if self.samples < 1:
            raise UserError(f"samples must be at least 1; got {self.samples}")
