"""A network under a budget, without training: its options with their damage, the allocation, and the fit to data.

The options and the statistics are computed once for all budgets.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from functools import cached_property
from math import prod
from numbers import Integral, Rational, Real
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from rankline.src.compress.budget.allocate import Allocation, Option, allocate
from rankline.src.compress.budget.at_precision import AtPrecision
from rankline.src.compress.budget.damage import damages_of
from rankline.src.compress.budget.pricing import priced
from rankline.src.compress.budget.settings import FITS, RUNTIMES, BudgetSettings
from rankline.src.compress.data.memory import give_back_large_blocks
from rankline.src.compress.fit.batch_norm import reestimate_all
from rankline.src.compress.fit.covariance import check_samples, covariances
from rankline.src.compress.fit.fitted_layer import Reals, fitted_layers_of, out_of_reach
from rankline.src.compress.fit.output_metric import METRIC_SAMPLES, output_metrics
from rankline.src.compress.fit.refit import FitSettings, Start, refit
from rankline.src.compress.methods import get
from rankline.src.compress.model.forward_pass import ForwardPass
from rankline.src.compress.model.separable import split
from rankline.src.compress.model.surgery import factorize, refusal
from rankline.src.compress.runs.changes import with_changes
from rankline.src.compress.runs.settings import Settings
from rankline.src.compress.search.targets import chosen_layers
from rankline.src.dse import methods as known_methods
from rankline.src.dse.configuration import Configuration
from rankline.src.dse.cost import Cost, total
from rankline.src.dse.devices.latency import LatencyModel
from rankline.src.dse.devices.network import beside_others, network_latency, timed_cost
from rankline.src.dse.errors import UserError, one_of
from rankline.src.dse.keras_model.graph import trace
from rankline.src.dse.keras_model.reader import describe
from rankline.src.dse.keras_model.rest import rest_of
from rankline.src.dse.metric import budget_metric
from rankline.src.dse.network_cost import network_cost
from rankline.src.dse.plan import Plan
from rankline.src.dse.precision import F32
from rankline.src.dse.progress import Progress, no_progress

NAMED = 5
"""Layers that ``by_reason`` names for each reason."""

PLAIN_WITHIN = 0.02
"""How much more damage a choice may do that plain Keras loads, as a share of the least."""

STEPS, FEWER = 10, 0.8
"""Numbers of weights that are allowed in turn, each so many times the last one."""

NOTICED = 0.01
"""The share of a network's latency from which its number of weights matters to what each takes."""

LEFT_OUT = "left out by include or exclude"

Keep = float | Fraction | np.floating[Any] | np.integer[Any]
"""What may be kept under a budget (see ``CalibratedModel.limits``): a share or a whole number, as a Python or NumPy
type."""


class CalibratedModel:
    """A trained model with calibration samples.

    - ``samples``: an array (n, ..) for each input, without labels
    - ``metrics``: the costs that budgets will limit
    - ``settings``, ``changes``: ``BudgetSettings``, and fields of them
    - ``progress``: called as the work advances
    - ``device``: whose latencies are among the costs; a budget of latency needs one

    ``total`` is the cost of the whole model, with bytes in single precision; ``warm`` the same with latencies of layers
    that run alone, and bytes at the settings' precision. ``paths`` are
    the layers that may change, ``skipped`` the reasons why the others with a kernel may not. Raises UserError if there
    is nothing to factorize, for unknown names, and for samples that don't fit the model.
    """

    def __init__(
        self,
        model: keras.Model,
        samples: Sequence[NDArray[Any]],
        metrics: Sequence[str] = ("flops",),
        settings: BudgetSettings | None = None,
        progress: Progress = no_progress,
        device: LatencyModel | None = None,
        **changes: Any,
    ) -> None:
        give_back_large_blocks()
        (how,) = with_changes(changes, settings or BudgetSettings())
        self.wanted = tuple(budget_metric(name) for name in metrics)
        self.methods = tuple(how.methods or known_methods.METHODS)
        if not samples or not len(samples[0]):
            raise UserError("there are no calibration samples; give some hundreds of the model's inputs")
        check_samples(model, samples)
        self.samples, self.settings, self.progress = samples, how, progress
        shape = describe(model)
        self.all_layers = shape.layers
        self.model = model = split(model)
        self.layers = {layer.name: layer for layer in shape.layers if not layer.kept_because}
        calls = trace(model)
        self.device = device
        self.precision = AtPrecision(how.precision or F32.name, how.runtime or RUNTIMES[0])
        self.costs = {
            one.name: replace(cost, stored=self.precision.of_layer(cost.params, one))
            for one, cost in ((layer, timed_cost(device, layer)) for layer in shape.layers)
        }
        self.warm = network_cost(shape.params, shape.layers)
        if device is not None:
            latency, _ = network_latency(device, shape.layers, rest_of(calls))
            self.warm = replace(self.warm, latency=latency)
        before = replace(self.precision, name=F32.name).of_network(shape.params, shape.layers)
        self.total = replace(beside_others(device, self.warm, shape.params), stored=before)
        self.warm = replace(self.warm, stored=self.precision.of_network(shape.params, shape.layers))
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
        """Each layer's options; computed on first use, which takes the longest."""
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
        return priced(damages, self.layers, self.methods, self.wanted, self.progress, self.device, self.precision)

    @cached_property
    def _inputs(self) -> dict[str, Reals]:
        """The second moment of all input patches of each layer that may change."""
        seen = covariances(self.model, [tuple(self.samples)], self.paths, progress=self.progress)
        return {path: one.matrix for path, one in seen.items()}

    @property
    def kept(self) -> Cost:
        """The cost of everything that has no options; latencies as in ``warm``."""
        return self.warm - total(some[0].cost for some in self.options.values())

    def limits(self, budgets: Mapping[str, Keep]) -> dict[str, int]:
        """Budgets as whole numbers (params, FLOPs, bytes of memory), by metric.

        A budget is a share of what the model has, above 0 and at most 1 (a float or a Fraction), or the number itself,
        an int of at least 2. A 1 of any type is a share that keeps all, as on the command line. Raises UserError for
        anything else.
        """
        return {name: _limit(given, name, budget_metric(name).of(self.total)) for name, given in budgets.items()}

    def allocate(self, budgets: Mapping[str, Keep], solver: str = "exact") -> Allocation:
        """The choice with the least damage within the budgets (see ``limits`` and ``allocate.allocate``).

        Where one that plain Keras loads does little more damage, at most PLAIN_WITHIN, it is chosen instead.
        """
        (found,) = self.sweep([budgets], solver)
        return found

    def sweep(self, budgets: Sequence[Mapping[str, Keep]], solver: str = "exact") -> list[Allocation]:
        """The choice for each budget as ``allocate`` makes it, from the smallest to the largest.

        A choice that isn't proven optimal can be worse than that of a smaller budget, which fits too and is then used.
        """
        possible = [one.name for one in self.wanted]
        if unknown := [name for one in budgets for name in one if name not in possible]:
            raise one_of("budget", unknown[0], possible)
        found: list[Allocation] = []
        for one in budgets:
            new = self._allocated(self.options, self.limits(one), solver)
            if found and found[-1].damage < new.damage:
                new = replace(found[-1], bound=min(new.bound, found[-1].damage))
            found.append(new)
        return [self._preferred(best, self.limits(one), solver) for best, one in zip(found, budgets, strict=True)]

    def within(self, limits: Mapping[str, int], solver: str = "exact") -> Allocation:
        """The choice within limits as whole numbers, as ``allocate`` makes it. Raises UserError."""
        return self._preferred(self._allocated(self.options, limits, solver), limits, solver)

    def _allocated(self, options: Mapping[str, Sequence[Option]], limits: Mapping[str, int], solver: str) -> Allocation:
        """The choice within limits. What weights take beside others falls with the weights that are left, so several
        numbers of weights are allowed in turn; the least damage is taken. Raises UserError."""
        found: list[Allocation] = []
        refused = UserError("no number of weights fits")
        for params in self._weights_allowed():
            beside, room = options, dict(limits)
            if self.device is not None:
                beside = {
                    path: [replace(one, cost=beside_others(self.device, one.cost, params)) for one in some]
                    for path, some in options.items()
                }
            if params < self.total.params:
                room["params"] = min(params, limits.get("params", params))
            try:
                found.append(allocate(beside, room, beside_others(self.device, self.kept, params), solver))
            except UserError as error:
                refused = error
        if not found:
            raise refused
        best = min(found, key=lambda one: one.damage)
        return replace(best, bound=min(one.bound for one in found))

    def _weights_allowed(self) -> Iterator[int]:
        """Numbers of weights at which they take different times, the original's first."""
        whole = self.total.params
        yield whole
        if self.device is None:
            return
        slowest, noticed = self.device.cold_rate(whole), NOTICED * (self.warm.latency or 0)
        for step in range(1, STEPS):
            params = round(whole * FEWER**step)
            if (slowest - self.device.cold_rate(params)) * params > noticed:
                yield params

    def _preferred(self, best: Allocation, limits: Mapping[str, int], solver: str) -> Allocation:
        """The best choice, or one without layers of our own that is nearly as good."""
        if not any(self._needs_own_layers(path, one) for path, one in best.options.items()):
            return best
        stock = {
            path: [one for one in some if not self._needs_own_layers(path, one)] for path, some in self.options.items()
        }
        try:
            plain = self._allocated(stock, limits, solver)
        except UserError:  # stock layers alone don't fit the budget
            return best
        if plain.damage > (1 + PLAIN_WITHIN) * best.damage:
            return best
        return replace(plain, bound=min(best.bound, plain.damage))

    def _needs_own_layers(self, path: str, option: Option) -> bool:
        layer, choice = self.forward.fitted_layers[path].layer, option.configuration
        return choice is not None and get(choice.method).needs_own_layers(layer)

    def _known(self, plan: Plan) -> dict[str, Sequence[Any]]:
        """The factors of a plan's choices that pricing already computed, roughly where the method can."""
        made = self.__dict__.get("options", {})
        return {
            path: one.factors
            for path, choice in plan.items()
            for one in made.get(path, [])
            if one.configuration == choice and one.factors is not None
        }

    def _is_rough(self, path: str, choice: Configuration) -> bool:
        """Whether pricing took less effort for the factors of a choice than a fit does."""
        method = get(choice.method)
        return method.rough(prod(self.forward.fitted_layers[path].weights_shape)) is not method

    def made(self, plan: Plan) -> keras.Model:
        """A new model of a plan that is not fitted yet."""
        return factorize(self.model, plan, known=self._known(plan), progress=self.progress)

    def fit(
        self,
        plan: Plan,
        fit: str = "data",
        settings: FitSettings | None = None,
        progress: Progress | None = None,
    ) -> keras.Model:
        """The factorized model of a plan; ``fit``, one of FITS, says how factors are made.

        A fit to data also changes the weights of layers that may change but are not in the plan. Layers of the plan
        that may not change (see ``skipped``) always get factors of their weights alone.

        ``settings.norms`` re-estimates the BatchNorm moments of a model that isn't fitted to data.
        """
        if fit not in FITS:
            raise one_of("fit", fit, list(FITS))
        settings, progress = settings or FitSettings(seed=self.settings.seed), progress or self.progress
        if fit == "data":
            metrics, known = self.output_metrics if settings.metric else {}, self._known(plan)
            made = self.made(plan)
            done = {path: one for path, one in known.items() if not self._is_rough(path, plan[path])}
            return refit(self.model, plan, self.samples, metrics, settings, Start(made, done), self.paths, progress)
        seen = {path: one for path, one in self._inputs.items() if path in plan} if fit == "whitened" else {}
        made = factorize(self.model, plan, covariances=seen, progress=progress)
        if settings.norms:
            reestimate_all(made, self.samples)
        return made


def by_reason(skipped: Mapping[str, str]) -> str:
    """Skipped layers grouped by reason, in a sentence; up to NAMED of each group are named."""
    layers: dict[str, list[str]] = {}
    for name, reason in skipped.items():
        layers.setdefault(reason, []).append(name)
    some = {
        reason: ", ".join(names[:NAMED]) + (f" and {len(names) - NAMED} more" if len(names) > NAMED else "")
        for reason, names in layers.items()
    }
    return "; ".join(f"{names}: {reason}" for reason, names in some.items())


def _limit(given: Any, name: str, whole: int) -> int:
    """A budget as a whole number of a metric, of which the model has ``whole``."""
    if isinstance(given, Real) and not isinstance(given, bool):
        if isinstance(given, Integral) and int(given) > 1:
            return int(given)
        if 0 < float(given) <= 1:
            # From the decimal text, because the float 0.3 could end up one unit off.
            return int((Fraction(given) if isinstance(given, Rational) else Fraction(str(given))) * whole)
    raise UserError(
        f"a budget of {name} is a share above 0 and at most 1, such as 0.5 (1 keeps all), or an int of at least 2, "
        f"the {name} themselves; got {given}"
    )
