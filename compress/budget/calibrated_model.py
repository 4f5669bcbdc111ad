"""A network under a budget, without training: what its options are worth, one of them for each layer, the fit to data.

The options and the statistics are made once, for as many budgets as are asked for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from functools import cached_property
from numbers import Integral, Rational, Real
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from rankline.src.compress.budget.allocate import Allocation, Option, allocate
from rankline.src.compress.budget.damage import damages_of
from rankline.src.compress.budget.pricing import priced
from rankline.src.compress.budget.settings import FITS, BudgetSettings
from rankline.src.compress.fit.batch_norm import reestimate_all
from rankline.src.compress.fit.covariance import check_samples, covariances
from rankline.src.compress.fit.fitted_layer import Reals, fitted_layers_of, out_of_reach
from rankline.src.compress.fit.output_metric import METRIC_SAMPLES, output_metrics
from rankline.src.compress.fit.refit import FitSettings, Start, refit
from rankline.src.compress.model.forward_pass import ForwardPass
from rankline.src.compress.model.surgery import factorize, refusal
from rankline.src.compress.runs.changes import with_changes
from rankline.src.compress.runs.settings import Settings
from rankline.src.compress.search.targets import chosen_layers
from rankline.src.dse import methods as known_methods
from rankline.src.dse.cost import Cost, total
from rankline.src.dse.errors import UserError, one_of
from rankline.src.dse.keras_model.graph import trace
from rankline.src.dse.keras_model.reader import describe
from rankline.src.dse.metric import metric
from rankline.src.dse.network_cost import network_cost
from rankline.src.dse.plan import Plan
from rankline.src.dse.progress import Progress, no_progress

TOLD = 5

LEFT_OUT = "left out by include or exclude"

Keep = float | Fraction | np.floating[Any] | np.integer[Any]
"""What a budget lets be kept (see ``CalibratedModel.limits``): a share or a whole number, of Python's or
NumPy's types."""


class CalibratedModel:
    """A trained model with calibration samples: an array (n, ..) for each input, without labels.

    metrics: the costs that budgets will be given for; settings, changes: ``BudgetSettings``, and fields of them.
    ``paths`` are the layers that may change then, ``skipped`` why the others with a kernel may not. Raises UserError
    where there is nothing to factorize, for unknown names, and samples that the model doesn't take.
    """

    def __init__(
        self,
        model: keras.Model,
        samples: Sequence[NDArray[Any]],
        metrics: Sequence[str] = ("flops",),
        settings: BudgetSettings | None = None,
        progress: Progress = no_progress,
        **changes: Any,
    ) -> None:
        (how,) = with_changes(changes, settings or BudgetSettings())
        self.wanted = tuple(metric(name, what="budget") for name in metrics)
        self.methods = tuple(how.methods or known_methods.METHODS)
        if not samples or not len(samples[0]):
            raise UserError("there are no calibration samples; give some hundreds of the model's inputs")
        check_samples(model, samples)
        self.model, self.samples, self.settings = model, samples, how
        self.progress = progress
        shape = describe(model)
        self.layers = {layer.name: layer for layer in shape.layers if not layer.kept_because}
        self.total = network_cost(shape.params, shape.layers)
        calls = trace(model)
        self.forward = ForwardPass(calls, fitted_layers_of(calls))
        wanted = Settings(include=tuple(how.include), exclude=tuple(how.exclude))
        chosen = chosen_layers([layer.name for layer in shape.layers], wanted)
        beyond = out_of_reach(calls)
        self.skipped: dict[str, str] = {}
        for layer in shape.layers:
            name = layer.name
            if layer.kept_because:
                self.skipped[name] = layer.kept_because
            elif name not in chosen:
                self.skipped[name] = LEFT_OUT
            elif reason := refusal(model, name):
                self.skipped[name] = f"it {reason}"
            elif name not in self.forward.fitted_layers:
                self.skipped[name] = beyond[name]
        self.paths = [path for path in self.forward.fitted_layers if path in self.layers and path not in self.skipped]
        if not self.paths:
            reasons = f" ({by_reason(self.skipped)})" if self.skipped else ""
            raise UserError(f"model '{model.name}' has no layer left that can be factorized{reasons}")

    @cached_property
    def output_metrics(self) -> dict[str, Reals]:
        """G (F, F) of each layer's outputs (see ``output_metric.output_metrics``)."""
        samples = [one[:METRIC_SAMPLES] for one in self.samples]
        return output_metrics(self.forward, samples, self.settings.seed, self.progress)

    @cached_property
    def options(self) -> dict[str, list[Option]]:
        """Each layer's options; made at the first call, which takes the longest."""
        metrics = self.output_metrics if self.settings.value == "damage" else None
        self.progress("statistics of the inputs", 0, 0)
        damages = damages_of(
            self.model,
            self.forward,
            self.paths,
            self.samples,
            self.settings.value,
            metrics,
            self.settings.seed,
            self.progress,
        )
        return priced(damages, self.layers, self.methods, self.wanted, self.progress)

    @cached_property
    def _inputs(self) -> dict[str, Reals]:
        """The second moment of the input patches, of all of them, of each layer that may change."""
        seen = covariances(self.model, [tuple(self.samples)], self.paths, progress=self.progress)
        return {path: one.matrix for path, one in seen.items()}

    @property
    def kept(self) -> Cost:
        """The cost of all that has no options."""
        return self.total - total(some[0].cost for some in self.options.values())

    def limits(self, budgets: Mapping[str, Keep]) -> dict[str, int]:
        """Budgets as whole numbers (params, FLOPs, bytes of memory), by metric.

        Given as a share of what the model has, above 0 and at most 1 (a float or a Fraction), or as the number itself,
        an int of at least 2. A 1 is the share, of any type: it keeps all, as on the command line; one FLOP would be no
        budget. Raises UserError for anything else.
        """
        return {
            name: _limit(given, name, metric(name, what="budget").of(self.total)) for name, given in budgets.items()
        }

    def allocate(self, budgets: Mapping[str, Keep], solver: str = "exact") -> Allocation:
        """The choice with the least damage within budgets (see ``limits`` and ``allocate.allocate``)."""
        possible = [one.name for one in self.wanted]
        for name in budgets:
            if name not in possible:
                raise one_of("budget", name, possible)
        return allocate(self.options, self.limits(budgets), self.kept, solver)

    def sweep(self, budgets: Sequence[Mapping[str, Keep]], solver: str = "exact") -> list[Allocation]:
        """The choice for each of some budgets, the smallest first, of which each holds all that the one before does.

        A choice that isn't proven the best can be worse than a smaller budget's, which fits too, and is taken then.
        """
        found: list[Allocation] = []
        for one in budgets:
            new = self.allocate(one, solver)
            if found and found[-1].damage < new.damage:
                new = replace(found[-1], bound=min(new.bound, found[-1].damage))
            found.append(new)
        return found

    def _known(self, plan: Plan) -> dict[str, Sequence[Any]]:
        """The factors of a plan's choices that were made to price them."""
        made = self.__dict__.get("options", {})
        return {
            path: one.factors
            for path, choice in plan.items()
            for one in made.get(path, [])
            if one.configuration == choice and one.factors is not None
        }

    def fit(
        self,
        plan: Plan,
        fit: str = "data",
        settings: FitSettings | None = None,
        progress: Progress | None = None,
    ) -> keras.Model:
        """The factorized model of a plan, with factors made as ``fit`` (one of FITS) says.

        Fitted to data, layers that may change and stay as they are in the plan get other weights too; those of the plan
        that may not change (see ``skipped``) get factors of their weights alone, whatever ``fit`` says.

        ``settings.norms`` gives the BatchNorms of an unfitted model the moments of what they are really given.
        """
        if fit not in FITS:
            raise one_of("fit", fit, list(FITS))
        settings, told = settings or FitSettings(seed=self.settings.seed), progress or self.progress
        if fit == "data":
            metrics, known = self.output_metrics if settings.metric else {}, self._known(plan)
            made = factorize(self.model, plan, known=known, progress=told)
            return refit(self.model, plan, self.samples, metrics, settings, Start(made, known), self.paths, told)
        seen = {path: one for path, one in self._inputs.items() if path in plan} if fit == "whitened" else {}
        made = factorize(self.model, plan, covariances=seen, progress=told)
        if settings.norms:
            reestimate_all(made, self.samples)
        return made


def by_reason(skipped: Mapping[str, str]) -> str:
    """Layers with the reason why they are skipped, those of one reason together, the first TOLD of them by name."""
    layers: dict[str, list[str]] = {}
    for name, reason in skipped.items():
        layers.setdefault(reason, []).append(name)
    some = {
        reason: ", ".join(names[:TOLD]) + (f" and {len(names) - TOLD} more" if len(names) > TOLD else "")
        for reason, names in layers.items()
    }
    return "; ".join(f"{names}: {reason}" for reason, names in some.items())


def _limit(given: Any, name: str, whole: int) -> int:
    """A budget of a metric, of which the model has ``whole``, as a number of it."""
    if isinstance(given, Real) and not isinstance(given, bool):
        if isinstance(given, Integral) and int(given) > 1:
            return int(given)
        if 0 < float(given) <= 1:
            # From the decimal text, because 0.3 as a float may be a unit more or less.
            return int((Fraction(given) if isinstance(given, Rational) else Fraction(str(given))) * whole)
    raise UserError(
        f"a budget of {name} is a share above 0 and at most 1, such as 0.5 (1 keeps all), or an int of at least 2, "
        f"the {name} themselves; got {given}"
    )
