"""Fits a factorized network to data in closed form, without labels or training (design, section 8).

Layer by layer, in the order of the graph: each layer is fitted to the outputs of the original layer in the original
network, from the inputs that it gets in the compressed network, so that later layers correct the errors of earlier
ones. The sequential, asymmetric fit is that of He, Zhang and Sun, "Channel Pruning for Accelerating Very Deep Neural
Networks" (ICCV 2017, section 3.2), the low-rank solution that of reduced-rank regression (Izenman, "Reduced-rank
regression for the multivariate linear model", J. Multivariate Analysis 5, 1975), the treatment of the ReLU after Zhang
et al., "Accelerating Very Deep Convolutional Networks for Classification and Detection", TPAMI 2016, section 3.2.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import keras
import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from rankline.src.compress.data.memory import available_bytes
from rankline.src.compress.fit.batch_norm import reestimate, set_moments
from rankline.src.compress.fit.factors import fitted_factors, metric_roots
from rankline.src.compress.fit.fitted_layer import FittedLayer, Reals, fitted_layers_of
from rankline.src.compress.fit.moments import Moments, Regression, moments
from rankline.src.compress.fit.observations import Batches, Rows, rows_of
from rankline.src.compress.fit.products import NOISE
from rankline.src.compress.methods import get
from rankline.src.compress.model.forward_pass import Change, ForwardPass, batches_of, unchanged
from rankline.src.compress.model.similarity import fitting_batch, through
from rankline.src.compress.model.surgery import factor_chain, factorize, find_layer
from rankline.src.dse.configuration import Configuration
from rankline.src.dse.errors import UserError
from rankline.src.dse.keras_model.graph import Call, peak_elements, trace
from rankline.src.dse.plan import Plan
from rankline.src.dse.progress import Progress, no_progress

ROWS_ELEMENTS = 2**25
"""Elements of a layer's patches used in its fit (128 MiB), at random positions."""

MOST_ROWS = 2**18
"""Patches that are enough where they have few dimensions."""

ROWS_PER_DIMENSION = 10
"""At least this many patches per dimension, where there are as many."""


@dataclass(frozen=True)
class FitSettings:
    """The settings of a fit to data; each part can be switched off.

    - ``ridge``: how strongly the weights are drawn to the original's (see ``moments.Regression``)
    - ``residual``: whether the last layer before a residual sum is fitted to the sum
    - ``metric``: whether outputs are weighted by their effect on the network's output
    - ``norms``: whether BatchNorm moments are re-estimated in a network that isn't fitted to data
    - ``relu_steps``: how often the targets are adapted to the ReLU that follows
    - ``seed``: of the positions that are used
    """

    ridge: float = 1e-3
    residual: bool = True
    metric: bool = True
    norms: bool = False
    relu_steps: int = 2
    seed: int = 0


@dataclass(frozen=True, eq=False)
class Start:
    """The start of a fit: the factorized model, which is fitted in place, and known factors by path, for methods that
    refit only the last factor (see ``fitted_factors``)."""

    compressed: keras.Model
    factors: Mapping[str, Sequence[Any]] = field(default_factory=dict)


def refit(
    model: keras.Model,
    plan: Plan,
    samples: Sequence[NDArray[Any]],
    output_metrics: Mapping[str, Reals] | None = None,
    settings: FitSettings | None = None,
    start: Start | None = None,
    paths: Collection[str] | None = None,
    progress: Progress = no_progress,
) -> keras.Model:
    """The factorized model of the plan, fitted to ``model`` on samples; layers outside the plan are fitted too.

    - ``samples``: an array for each input of the model, without labels
    - ``output_metrics``: G (F, F) by path, how much a layer's outputs matter (see ``output_metric``); by default all
      matter equally
    - ``start``: the model and factors to start from
    - ``paths``: the layers to fit, by default all
    - ``progress``: called after each layer

    A layer that is called several times is fitted to all calls at once. Layers that ``out_of_reach`` names are not
    fitted; the moments of a BatchNorm after them are re-estimated, unless it is shared. Raises UserError for too little
    memory and for NaN or infinite activations.
    """
    calls = trace(model)
    forward = ForwardPass(calls, fitted_layers_of(calls))
    start = start or Start(factorize(model, plan))
    fit = Refit(forward, plan, start, output_metrics or {}, settings or FitSettings(), paths)
    return fit.run(samples, progress)


MEMORY_SHARE = 0.7
"""The share of free memory that feature maps may take."""


class Refit:
    """A fit in progress, with the feature maps of both networks that are still needed.

    ``stored``, ``made`` and ``taken`` are where a fit for a runtime that rounds says what that makes of weights and
    maps.
    """

    leaves_equal = True
    """Whether a layer that gets what it gets in the original stays as it is."""

    def stored(self, path: str, product: Reals, found: Moments) -> Reals:
        """What is stored of a layer's weights (K C, F), whose patches have these moments: the same."""
        return product

    def made(self, index: int, maps: Batches) -> Batches:
        """What the compressed network makes of a call's maps: the same."""
        return maps

    def taken(self, layer: keras.Layer, x: Any) -> Any:
        """What a layer of the compressed network takes of a map: the same."""
        return x

    def __init__(
        self,
        forward: ForwardPass,
        plan: Plan,
        start: Start,
        output_metrics: Mapping[str, Reals],
        settings: FitSettings,
        paths: Collection[str] | None,
    ) -> None:
        self.known = start.factors
        self.forward = forward
        self.calls = forward.calls
        self.plan = plan
        self.compressed = start.compressed
        self.output_metrics = output_metrics
        self.settings = settings
        self.paths = set(forward.fitted_layers) if paths is None else set(paths)
        self.uses = Counter(id(call.layer) for call in forward.calls)
        self.ours: dict[int, Batches] = {}
        self.theirs: dict[int, Batches] = {}

    def run(self, samples: Sequence[NDArray[Any]], progress: Progress) -> keras.Model:
        """Walks through the graph and fits every layer."""
        check_memory(self.forward, len(samples[0]))
        batches = list(batches_of(samples, fitting_batch(self.calls), self.calls))
        for number, index in enumerate(self.forward.inputs):
            self.theirs[index] = [[batch[number]] for batch in batches]
            self.ours[index] = self.made(index, self.theirs[index])
        fitted_layers = self.forward.fitted_layers.values()
        starts = {call: fitted for fitted in fitted_layers for call in fitted.calls}
        folded = {end for fitted in fitted_layers for end in fitted.ends}
        left = Counter(source for call in self.calls for source in call.inputs)
        left.update(index for index, call in enumerate(self.calls) if call.is_output)
        done: set[str] = set()
        progress("layers fitted", len(done), len(fitted_layers))
        for index in fitting_order(self.calls, self.forward.fitted_layers):
            if index in starts:
                if (fitted := starts[index]).path not in done:
                    self._fit(fitted)
                    done.add(fitted.path)
                    progress("layers fitted", len(done), len(fitted_layers))
            elif index not in folded and self.calls[index].inputs:
                self._pass(index)
                self.ours[index] = self.made(index, self.ours[index])
            for source in self.calls[index].inputs:
                left[source] -= 1
                if not left[source]:
                    self.theirs.pop(source, None)
                    self.ours.pop(source, None)
        return self.compressed

    def _pass(self, index: int) -> None:
        """Passes both networks' maps through a call that isn't fitted."""
        call = self.calls[index]
        pairs = list(zip(call.inputs, call.sources, strict=True))
        sides = [
            [[side[source][number][output] for source, output in pairs] for number in range(self.count)]
            for side in (self.theirs, self.ours)
        ]
        sides[1] = [[self.taken(call.layer, x) for x in given] for given in sides[1]]
        self.theirs[index] = [self.forward.step(index, given) for given in sides[0]]
        if call.path in self.plan:
            chain = factor_chain(self.compressed, call.path, self.plan[call.path])
            self.ours[index] = [[through(chain, given[0])] for given in sides[1]]
            return
        own = self._own(call)
        same = all(self.ours[source] is self.theirs[source] for source in call.inputs)
        if not same and type(call.layer) is keras.layers.BatchNormalization and self.uses[id(call.layer)] == 1:
            own = cast(keras.Layer, find_layer(self.compressed, call.path))
            theirs, ours = ([given[0] for given in side] for side in sides)
            reestimate(own, ours, call.layer, theirs)
        if self.leaves_equal and same and own is None:
            self.ours[index] = self.theirs[index]
        elif own is None:
            self.ours[index] = [self.forward.step(index, given) for given in sides[1]]
        else:
            self.ours[index] = [call.run(given, own) for given in sides[1]]

    def _own(self, call: Call) -> keras.Layer | None:
        """The compressed network's layer at a call; None if its weights equal the original's."""
        if not getattr(call.layer, "weights", ()):
            return None
        own = cast(keras.Layer, find_layer(self.compressed, call.path))
        return None if _equal(own, call.layer) else own

    @property
    def count(self) -> int:
        """The number of batches."""
        return len(next(iter(self.theirs.values())))

    def _fit(self, fitted: FittedLayer) -> None:
        """Fits a layer to all its calls, and passes both networks' maps through it."""
        inputs = [(self.calls[call].inputs[0], self.calls[call].sources[0]) for call in fitted.calls]
        theirs, ours = (
            [batch[output] for source, output in inputs for batch in side[source]] for side in (self.theirs, self.ours)
        )
        ours = [self.taken(fitted.layer, x) for x in ours]
        y = [fitted.whole(x) for x in theirs]
        self.theirs |= self._by_end(fitted, y, self.forward.activated)
        shortcuts = self._shortcuts(fitted)
        sources = {place for place, _ in (*inputs, *shortcuts)}
        choice = self.plan.get(fitted.path)
        layers = self._layers(fitted, choice)
        originals = [fitted.layer] if fitted.normalization is None else [fitted.layer, fitted.normalization]
        same = all(self.ours[one] is self.theirs[one] for one in sources)
        if self.leaves_equal and choice is None and same and all(map(_equal, layers, originals)):
            self.ours |= {end: self.theirs[end] for end in fitted.ends}
            return
        if fitted.path in self.paths:
            sides, seed = (self.theirs, self.ours), [self.settings.seed, fitted.calls[0]]
            rows = rows_of(fitted, ours, y, sides, shortcuts, rows_wanted(fitted.weights_shape[0]), seed)
            found, factors, product = self._solved(fitted, choice, rows)
            if choice is None:
                product = self.stored(fitted.path, product, found)
                factors = [product]
            self._put(fitted, choice, layers, factors, product, found)
        made = self._by_end(fitted, [through(layers, x) for x in ours])
        self.ours |= {end: self.made(end, maps) for end, maps in made.items()}

    def _by_end(self, fitted: FittedLayer, outputs: Sequence[Any], made: Change = unchanged) -> dict[int, Batches]:
        """What is ``made`` of a layer's output maps, those of its first call first, by the calls that end it."""
        return {
            end: [[made(end, one)] for one in outputs[number * self.count :][: self.count]]
            for number, end in enumerate(fitted.ends)
        }

    def _shortcuts(self, fitted: FittedLayer) -> list[tuple[int, int]]:
        """The other terms of the residual sum after a layer, as (call, output); empty if one isn't known yet."""
        if fitted.add is None or not self.settings.residual:
            return []
        call = self.calls[fitted.add]
        others = [pair for pair in zip(call.inputs, call.sources, strict=True) if pair[0] not in fitted.ends]
        known = len(others) == len(call.inputs) - 1 and all(place in self.ours for place, _ in others)
        return others if known else []

    def _solved(
        self, fitted: FittedLayer, choice: Configuration | None, rows: Rows
    ) -> tuple[Moments, list[Any], Reals]:
        """The moments of the final targets, the best factors for them, and their product."""
        weights = fitted.kernel()
        # After a sum whose other terms aren't known yet, the ReLU says nothing about this term.
        relu_steps = self.settings.relu_steps if fitted.relu and (fitted.add is None or rows.is_of_sum) else 0
        single = self.settings.ridge >= NOISE
        found = moments(rows.x, rows.target(), fitted.is_centred, single=single)
        if not (np.isfinite(found.xx).all() and np.isfinite(found.xt).all()):
            raise UserError(
                f"layer '{fitted.path}' gets NaN or infinity on the calibration samples, or outputs it; check their "
                "scaling and the weights"
            )
        factors: Sequence[Any] | None = self.known.get(fitted.path)
        regression = Regression(found.xx, weights, self.settings.ridge)
        roots = None if choice is None else metric_roots(self.output_metrics.get(fitted.path))
        for step in range(relu_steps + 1):
            best = regression.best_weights(found.xt)
            with threadpool_limits(1, user_api="blas"):  # eigenproblems gain little from more, and can lose a lot
                factors, product = fitted_factors(choice, fitted, best, regression.metric, roots, factors)
            if step < relu_steps:
                offset = found.t_mean - found.x_mean @ product
                found = moments(rows.x, rows.target_before_relu(product, offset), fitted.is_centred, found, single)
        return found, list(factors or []), product

    def _layers(self, fitted: FittedLayer, choice: Configuration | None) -> list[keras.Layer]:
        """The layers of the compressed network that replace a fitted layer."""
        if choice is None:
            layers = [find_layer(self.compressed, fitted.path)]
        else:
            layers = factor_chain(self.compressed, fitted.path, choice)
        if fitted.normalization is None:
            return layers
        return [*layers, find_layer(self.compressed, self.calls[fitted.ends[0]].path)]

    @staticmethod
    def _put(
        fitted: FittedLayer,
        choice: Configuration | None,
        layers: Sequence[keras.Layer],
        factors: list[Any],
        product: Reals,
        found: Moments,
    ) -> None:
        """Sets the weights of a layer's replacements, and the bias or BatchNorm that matches the targets' means."""
        norm = None if fitted.normalization is None else layers[-1]
        layers = layers if norm is None else layers[:-1]
        if choice is None:
            layers[0].kernel.assign(np.reshape(factors[0], layers[0].kernel.shape))
        else:
            for layer, factor in zip(layers, get(choice.method).factor_layers(fitted.layer, factors), strict=True):
                layer.set_weights(factor.weights)
        mean = found.x_mean @ product
        if fitted.layer.use_bias:
            layers[-1].bias.assign(np.zeros(len(mean)) if norm is not None else found.t_mean - mean)
        if norm is not None:
            set_moments(norm, mean, np.einsum("df,df->f", product, found.xx @ product).clip(0), found.t_mean)


def _equal(one: keras.Layer, other: keras.Layer) -> bool:
    """Whether two layers of one kind have the same weights."""
    pairs = zip(one.get_weights(), other.get_weights(), strict=True)
    return all(np.array_equal(a, b, equal_nan=True) for a, b in pairs)


def check_memory(forward: ForwardPass, samples: int) -> None:
    """Raises UserError if the feature maps of both networks take more than MEMORY_SHARE of the free memory; the error
    says how many samples would fit."""
    order = fitting_order(forward.calls, forward.fitted_layers)
    each, free = 2 * 4 * peak_elements(forward.calls, order), available_bytes()
    if free is not None and each * samples > MEMORY_SHARE * free:
        raise UserError(
            f"a fit to {samples:,} samples holds {each * samples / 2**30:.1f} GiB of feature maps, and "
            f"{free / 2**30:.1f} GiB of memory is free; give at most {int(MEMORY_SHARE * free // each):,} (--samples)"
        )


def rows_wanted(dimensions: int) -> int:
    """How many patches with this many dimensions are used in a fit."""
    return max(min(ROWS_ELEMENTS // dimensions, MOST_ROWS), ROWS_PER_DIMENSION * dimensions)


def fitting_order(calls: Sequence[Call], fitted_layers: Mapping[str, FittedLayer]) -> list[int]:
    """The calls in topological order, with the inputs of all calls of a shared layer before the first of them, and the
    other terms of a residual sum before the layer whose outputs they are added to."""
    ends = {end for fitted in fitted_layers.values() for end in fitted.ends}
    together = {call: fitted.calls for fitted in fitted_layers.values() for call in fitted.calls}
    order: list[int] = []
    done: set[int] = set()
    waiting = [index for index, call in enumerate(calls) if call.is_output or not call.inputs][::-1]
    while waiting:
        index = waiting[-1]
        inputs = {source for call in together.get(index, (index,)) for source in calls[call].inputs}
        needed = sorted(inputs, key=lambda source: (source in ends, source))
        open_ = [source for source in needed if source not in done]
        if open_:
            waiting.append(open_[0])
            continue
        waiting.pop()
        if index not in done:
            done.add(index)
            order.append(index)
    return order
