"""The options of every layer, over all methods and ranks, with the cost and damage of each.

For methods whose tables use an input covariance, the damage of every configuration is exact; for the others, a
shortlist along the cost is decomposed and measured.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import tensorly as tl

from rankline.src.compress.budget.allocate import Option
from rankline.src.compress.budget.at_precision import AtPrecision
from rankline.src.compress.budget.damage import Damage
from rankline.src.compress.fit.in_threads import in_threads
from rankline.src.compress.methods import get
from rankline.src.compress.methods.cp import ConvergenceWarning
from rankline.src.compress.methods.method import Decomposition
from rankline.src.dse.devices.latency import LatencyModel, UnmeasuredError
from rankline.src.dse.error_table import Curves
from rankline.src.dse.layer import Layer
from rankline.src.dse.lines import lines_of
from rankline.src.dse.metric import BYTES, FLOPS, PARAMS, Metric
from rankline.src.dse.options import Options
from rankline.src.dse.progress import Progress, no_progress
from rankline.src.dse.scan.front import front, front_of_many, with_errors
from rankline.src.dse.scan.intervals import Narrowed, narrowed
from rankline.src.dse.scan.select import Places
from rankline.src.dse.space import Space, cost_on, spaces_of
from rankline.src.dse.symbols import layer_shape

SHORT_LIST = (0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6)
"""The shares of a layer's cost at which a method without tables of the outputs' error is decomposed and measured."""

LARGE = 2**20
LARGE_SHORT_LIST = (0.05, 0.1, 0.2, 0.35, 0.6)
"""The same for kernels of LARGE weights or more, of which each takes seconds."""


def priced(
    damages: Mapping[str, Damage],
    layers: Mapping[str, Layer],
    methods: Sequence[str],
    costs: Sequence[Metric] = (FLOPS,),
    progress: Progress = no_progress,
    device: LatencyModel | None = None,
    precision: AtPrecision | None = None,
) -> dict[str, list[Option]]:
    """The options of each layer, by path: the original, and each method's configurations that are not dominated by
    another of that method.

    layers: their shapes and sizes, by path; costs: the metrics that budgets limit; device: whose latencies are among
    the costs; methods that it has no numbers for are left out; precision: whose bytes are among the costs, and whose
    rounding is in the damage.
    """
    # Bytes rise roughly with params, which have an exact value for every configuration.
    costs, at = [PARAMS if one == BYTES else one for one in costs], precision or AtPrecision()
    jobs = [(damage, space) for path, damage in damages.items() for space in spaces_on(device, layers[path], methods)]
    found = {path: [Option(None, cost_on(device, layer_shape(layers[path])), 0.0)] for path in damages}
    # The largest first, so that no long one is left to the end.
    jobs.sort(key=lambda job: -job[0].weights.size)
    with warnings.catch_warnings():
        # A candidate need not be the best at its ranks.
        warnings.simplefilter("ignore", ConvergenceWarning)
        made = {}
        for number, options in in_threads(partial(_options, *job, costs) for job in jobs):
            made[number] = options
            progress("layers and methods priced", len(made), len(jobs))
    for number, (damage, _) in enumerate(jobs):
        found[damage.fitted.path] += made[number]
    return {path: [at.applied(one, layers[path], damages[path]) for one in some] for path, some in found.items()}


def spaces_on(device: LatencyModel | None, layer: Layer, methods: Sequence[str]) -> Iterator[Space]:
    """The spaces of a layer by the methods that apply to it, and that the device, if there is one, has numbers for."""
    for space in spaces_of(layer, tuple(methods)):
        timed = space.on(device)
        with suppress(UnmeasuredError):
            timed.check_device()
            yield timed


def _options(damage: Damage, space: Space, costs: Sequence[Metric]) -> list[Option]:
    """The options of one method that are not dominated by another."""
    found = narrowed(lines_of(space))
    decomposition = get(space.method)
    original = costs[0].of(space.original)
    if not len(found.lo):
        return []
    if damage.covariance is not None and not decomposition.uses_covariance:
        return _measured(damage, found, decomposition, costs, original)
    options = Options(max_rank=found.largest_rank)  # a table of all ranks can take several times longer
    found, curves = with_errors(found, decomposition.spectrum(_turned(damage), options, damage.covariance))
    places, whole = _front(found, curves, costs), damage.whole
    return [_option(found, place, whole * float(curves.at(*np.array([place]).T)[0])) for place in places]


def _measured(
    damage: Damage, found: Narrowed, decomposition: Decomposition, costs: Sequence[Metric], original: int
) -> list[Option]:
    """A shortlist of a method's configurations along the first cost, decomposed and measured; ``original`` is that
    cost of the original layer."""
    if len(found.lo) == 1:
        places = [(0, int(k)) for k in range(int(found.lo[0]), int(found.hi[0]) + 1)]
    else:
        found, curves = with_errors(found, decomposition.spectrum(_turned(damage)))
        places = _front(found, curves, costs)
    lines, ks = np.array(places, np.int64).T
    spent = found.along(costs[0]).of(lines).at(ks)
    shares = SHORT_LIST if damage.weights.size < LARGE else LARGE_SHORT_LIST
    below = [np.flatnonzero(spent <= share * original) for share in shares]
    # The cheapest defines how small the layer can be at all.
    wanted = {int(spent.argmin()), *(int(some[spent[some].argmax()]) for some in below if len(some))}
    places = [places[index] for index in sorted(wanted)]
    options = []
    for place in places:
        option = _option(found, place, 0.0)
        factors, product = damage.factors(option.configuration)  # type: ignore[arg-type]
        options.append(replace(option, damage=damage.of(product), factors=tuple(factors)))
    return options


def _front(found: Narrowed, curves: Curves, costs: Sequence[Metric]) -> Places:
    return front(found, curves, costs[0]) if len(costs) == 1 else front_of_many(found, curves, costs)


def _option(found: Narrowed, place: tuple[int, int], damage: float) -> Option:
    return Option(found.configuration(*place), found.cost(*place), damage)


def _turned(damage: Damage) -> Any:
    """The weights times the root of the output metric, as a kernel: its plain output error is that in the metric."""
    turned = damage.weights if damage.roots is None else damage.weights @ damage.roots[0]
    return tl.tensor(turned.reshape(tuple(damage.fitted.layer.kernel.shape)))
