"""A network under a budget, without training: what its options are worth, one of them for each layer, the fit to data.

The options and the statistics are made once, for as many budgets as are asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase
from fractions import Fraction
from functools import cached_property
from typing import Any

import keras
from numpy.typing import NDArray

from compress.allocate import METRICS, Allocation, Option, allocate, measure
from compress.covariance import check_samples, covariances
from compress.norms import reestimate_all
from compress.passage import Passage
from compress.plan import Plan
from compress.pricing import priced
from compress.refit import FitSettings, refit
from compress.sensitivity import METRIC_SAMPLES, output_metrics
from compress.stakes import VALUES, stakes_of
from compress.surgery import factorize, refusal
from compress.units import Reals, units_of
from dse import methods as known_methods
from dse.errors import UserError, one_of
from dse.formula import Cost
from dse.graph import trace
from dse.reader import describe
from dse.totals import network_cost

FITS = ("data", "whitened", "weights")
"""How factors are made: fitted to the original's outputs on data (see ``refit``), to the covariance of the original's
inputs, or to the weights alone."""

Progress = Callable[[str, int, int], None]


class Budget:
    """A trained model with calibration samples: an array (n, ..) for each input, without labels.

    methods: those to choose from (default: all); value: see ``stakes``; include, exclude: names or patterns of the
    layers that may change; metrics: the costs that budgets will be given for. Raises UserError where there is nothing
    to factorize, for unknown names, and samples that the model doesn't take.
    """

    def __init__(
        self,
        model: keras.Model,
        samples: Sequence[NDArray[Any]],
        methods: Sequence[str] | None = None,
        value: str = "damage",
        metrics: Sequence[str] = ("flops",),
        include: Sequence[str] = (),
        exclude: Sequence[str] = (),
        seed: int = 0,
        progress: Progress = lambda label, done, total: None,
    ) -> None:
        if value not in VALUES:
            raise one_of("value", value, list(VALUES))
        for metric in metrics:
            if metric not in METRICS:
                raise one_of("budget", metric, list(METRICS))
        self.methods = tuple(known_methods.get(name).name for name in methods or known_methods.METHODS)
        if not samples or not len(samples[0]):
            raise UserError("there are no calibration samples; give some hundreds of the model's inputs")
        check_samples(model, samples)
        self.model, self.samples, self.value, self.seed = model, samples, value, seed
        self.wanted, self.progress = tuple(metrics), progress
        shape = describe(model)
        self.layers = {layer.name: layer for layer in shape.layers if not layer.kept_because}
        self.total = network_cost(shape.params, shape.layers)
        calls = trace(model)
        self.passage = Passage(calls, units_of(calls))
        self.paths = self._chosen(include, exclude)

    def _chosen(self, include: Sequence[str], exclude: Sequence[str]) -> list[str]:
        """The units that may change."""
        possible = [path for path in self.passage.units if path in self.layers and refusal(self.model, path) is None]
        for pattern in (*include, *exclude):
            if not any(fnmatchcase(path, pattern) for path in possible):
                raise one_of("layer", pattern, possible)
        chosen = [
            path
            for path in possible
            if (not include or any(fnmatchcase(path, one) for one in include))
            and not any(fnmatchcase(path, one) for one in exclude)
        ]
        if not chosen:
            raise UserError(f"model '{self.model.name}' has no layer left that can be factorized")
        return chosen

    @cached_property
    def metrics(self) -> dict[str, Reals]:
        """G (F, F) of each layer's outputs (see ``sensitivity.output_metrics``)."""
        return output_metrics(self.passage, [one[:METRIC_SAMPLES] for one in self.samples], self.seed)

    @cached_property
    def options(self) -> dict[str, list[Option]]:
        """Each layer's options; made at the first call, which takes the longest."""
        metrics = self.metrics if self.value == "damage" else None
        stakes = stakes_of(self.model, self.passage, self.paths, self.samples, self.value, metrics, self.seed)
        return priced(stakes, self.layers, self.methods, self.wanted, self.progress)

    @cached_property
    def _inputs(self) -> dict[str, Reals]:
        """The second moment of each layer's input patches, of all of them."""
        seen = covariances(self.model, [tuple(self.samples)], list(self.passage.units))
        return {path: one.matrix for path, one in seen.items()}

    @property
    def kept(self) -> Cost:
        """The cost of all that has no options."""
        originals = [some[0].cost for some in self.options.values()]
        sums = [sum(getattr(cost, name) for cost in originals) for name in ("params", "fm", "flops")]
        return Cost(self.total.params - sums[0], self.total.fm - sums[1], self.total.flops - sums[2])

    def limits(self, budgets: Mapping[str, float | int]) -> dict[str, int]:
        """Budgets as numbers: a float is a share of what the model has, an int the number itself.

        Raises UserError for a share outside (0, 1] and a number below 1.
        """
        found = {}
        for metric, given in budgets.items():
            if metric not in METRICS:
                raise one_of("budget", metric, list(METRICS))
            if isinstance(given, float) and not 0 < given <= 1:
                raise UserError(f"the share of the {metric} to keep must be above 0 and at most 1; got {given:g}")
            if not isinstance(given, float) and given < 1:
                raise UserError(f"a budget of {metric} must be at least 1; got {given}")
            # From the decimal text, because 0.3 as a float may be a unit more or less.
            found[metric] = (
                int(Fraction(str(given)) * measure(self.total, metric)) if isinstance(given, float) else given
            )
        return found

    def allocate(self, budgets: Mapping[str, float | int], solver: str = "exact") -> Allocation:
        """The choice with the least damage within budgets (see ``limits`` and ``allocate.allocate``)."""
        for metric in budgets:
            if metric not in self.wanted:
                raise one_of("budget", metric, list(self.wanted))
        return allocate(self.options, self.limits(budgets), self.kept, solver)

    def _known(self, plan: Plan) -> dict[str, Sequence[Any]]:
        """The factors of a plan's choices that were made to price them."""
        made = self.__dict__.get("options", {})
        return {
            path: one.factors
            for path, choice in plan.items()
            for one in made.get(path, [])
            if one.choice == choice and one.factors is not None
        }

    def fit(self, plan: Plan, fit: str = "data", settings: FitSettings | None = None) -> keras.Model:
        """The factorized model of a plan, with factors made as ``fit`` (one of FITS) says.

        Fitted to data, layers that may change and stay as they are in the plan get other weights too.

        ``settings.norms`` gives the BatchNorms of an unfitted model the moments of what they are really given.
        """
        if fit not in FITS:
            raise one_of("fit", fit, list(FITS))
        settings = settings or FitSettings(seed=self.seed)
        if fit == "data":
            metrics = self.metrics if settings.metric else {}
            return refit(self.model, plan, self.samples, metrics, settings, paths=self.paths, known=self._known(plan))
        seen = {path: one for path, one in self._inputs.items() if path in plan} if fit == "whitened" else {}
        made = factorize(self.model, plan, covariances=seen)
        if settings.norms:
            reestimate_all(made, self.samples)
        return made
