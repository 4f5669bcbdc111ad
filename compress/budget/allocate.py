"""Chooses one option for each layer, with the least total damage within budgets: a multiple-choice knapsack.

Exactly by HiGHS (``scipy.optimize.milp``) on the options that can be in an optimal choice; and by a price on what
the budget counts (Lagrangian relaxation by bisection, with the rest of the budget spent greedily), which is nearly
as good for many layers and gives a lower bound. Everett, "Generalized Lagrange multiplier method", Operations Research
11(3), 1963; Kellerer, Pferschy and Pisinger, "Knapsack Problems", 2004, chapter 11.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from itertools import pairwise
from time import monotonic
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.optimize import Bounds, LinearConstraint, milp

from rankline.src.dse.configuration import Configuration
from rankline.src.dse.cost import Cost, total
from rankline.src.dse.errors import UserError, one_of
from rankline.src.dse.metric import Metric, budget_metric
from rankline.src.dse.plan import Plan

Reals = NDArray[np.float64]
Integers = NDArray[np.int64]

EXACT_OPTIONS = 20_000
"""HiGHS is used if at most this many options, over all layers, could be in a better choice than the price's."""

SECONDS = 3.0
"""The time limit of HiGHS; its best choice so far is then used, if it is better than the price's."""


@dataclass(frozen=True)
class Option:
    """A configuration for a layer (None: unchanged), with its cost and its damage (see ``damage``).

    factors: the measured ones, for a method without tables.
    """

    configuration: Configuration | None
    cost: Cost
    damage: float
    factors: tuple[Any, ...] | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True)
class Allocation:
    """One option for each layer.

    - ``cost``: of all layers together, including those without options
    - ``damage``: the sum of the options' damages
    - ``bound``: a lower bound of the least possible damage
    - ``solver``: the solver that found the choice
    """

    options: Mapping[str, Option]
    cost: Cost
    damage: float
    bound: float
    solver: str

    @property
    def plan(self) -> Plan:
        """The configurations of the layers that change."""
        return {layer: one.configuration for layer, one in self.options.items() if one.configuration is not None}

    @property
    def gap(self) -> float:
        """How far the damage may be above the bound, as a share of it; 0 if the choice is optimal."""
        return max(0.0, self.damage - self.bound) / self.bound if self.bound > 0 else 0.0


def allocate(
    options: Mapping[str, Sequence[Option]], budgets: Mapping[str, int], kept: Cost, solver: str = "exact"
) -> Allocation:
    """The options with the least total damage whose costs, together with ``kept``, fit the budgets.

    - ``options``: those of each layer
    - ``budgets``: the most of each metric (params, flops, memory in bytes at four per element)
    - ``kept``: the cost of everything that has no options
    - ``solver``: ``exact``, or ``price``, which is also used beyond EXACT_OPTIONS

    Raises UserError for unknown metrics, and if no choice fits, with the least possible.
    """
    if solver not in ("exact", "price"):
        raise one_of("solver", solver, ["exact", "price"])
    if not budgets:
        raise UserError("give a budget: params, flops or memory")
    problem = _Problem(options, {budget_metric(name): most for name, most in budgets.items()}, kept)
    known = problem.by_price()
    if solver == "exact" or not problem.fits(known.chosen):
        known = problem.exactly(known)
    chosen, bound, name = known.chosen, known.bound, known.solver
    taken = dict(zip(options, problem.taken(chosen), strict=True))
    cost = kept + total(one.cost for one in taken.values())
    damage = sum(one.damage for one in taken.values())
    return Allocation(taken, cost, damage, min(bound, damage), name)


@dataclass(frozen=True)
class _Known:
    """A choice (the index of an option for each layer), a lower bound of the damage, the prices of one unit of each
    budget at that bound, and the solver that found the choice."""

    chosen: list[int]
    bound: float
    prices: Reals
    solver: str


class _Problem:
    """The non-dominated options of each layer as arrays: costs (n, budgets) and damages (n,)."""

    def __init__(self, options: Mapping[str, Sequence[Option]], budgets: Mapping[Metric, int], kept: Cost) -> None:
        self.options = [_undominated(some, list(budgets)) for some in options.values()]
        self.costs = [
            np.array([[one.of(option.cost) for one in budgets] for option in some], np.int64) for some in self.options
        ]
        self.damages = [np.array([one.damage for one in some]) for some in self.options]
        self.room = np.array([limit - one.of(kept) for one, limit in budgets.items()], np.int64)
        least = sum((costs.min(axis=0) for costs in self.costs), np.zeros(len(budgets), np.int64))
        for one, missing, low in zip(budgets, self.room - least, least, strict=True):
            if missing < 0:
                smallest = int(low) + one.of(kept)
                raise UserError(
                    f"a budget of {one.text(budgets[one])} {one.name} is below what is possible with these methods; "
                    f"the least is {one.text(smallest)}"
                )

    def taken(self, chosen: Sequence[int]) -> list[Option]:
        return [some[index] for some, index in zip(self.options, chosen, strict=True)]

    def by_price(self) -> _Known:
        """The best choice found by prices, and the highest of their bounds.

        A price lam on each share of the budget that is used lets every layer choose independently; it is bisected
        until the choice just fits, and single layers then use up what is left. Several budgets are weighted against
        each other in several ways; the choice then need not fit all of them.
        """
        best: list[int] | None = None
        bound, at = -np.inf, np.zeros(len(self.room))
        for weights in _directions(self.room):
            prices = [costs @ weights for costs in self.costs]
            low, high = 0.0, max(float(damages.max()) for damages in self.damages) or 1.0
            while not self.fits(self._at(prices, high)) and high < 1e30:
                low, high = high, 4 * high
            for _ in range(60):
                middle = (low + high) / 2
                low, high = (low, middle) if self.fits(self._at(prices, middle)) else (middle, high)
            # The dual is concave in the price; its maximum is where the choice starts to fit.
            for lam in (0.0, low, high):
                if (dual := self._dual(prices, weights, lam)) > bound:
                    bound, at = dual, lam * weights
            chosen = self._filled(self._at(prices, high))
            if self.fits(chosen) and (best is None or self.damage(chosen) < self.damage(best)):
                best = chosen
        if best is None:
            unit = 1 / np.maximum(1, self.room)
            best = self._filled([int((costs @ unit).argmin()) for costs in self.costs])
        return _Known(best, bound, at, "price")

    def exactly(self, known: _Known) -> _Known:
        """The optimal choice, by HiGHS, among the options that could be in a better choice than the known one.

        Raises UserError if none fits.
        """
        if not self.fits(known.chosen):
            everything = [np.arange(len(one)) for one in self.damages]
            found, _ = self._solved(everything, max(float(one.max()) for one in self.damages))
            if found is None:
                raise UserError("no choice of these options fits all budgets at once; raise one of them")
            known = replace(known, chosen=found, solver="price")
        gap = self.damage(known.chosen) - known.bound
        # What an option adds to the bound; if that exceeds the known damage, no better choice contains it.
        added = [damages + costs @ known.prices for damages, costs in zip(self.damages, self.costs, strict=True)]
        left = [np.flatnonzero(one - one.min() <= gap * (1 + 1e-9)) for one in added]
        rounding = 1e-12 * self.damage(known.chosen)
        if gap <= rounding or all(len(one) == 1 for one in left):
            return replace(known, bound=self.damage(known.chosen), solver="exact")
        if sum(map(len, left)) > EXACT_OPTIONS:
            return known
        chosen, bound = self._solved(left, gap)
        if chosen is None or self.damage(chosen) > self.damage(known.chosen) + rounding:
            chosen = known.chosen
        if bound is None:
            return replace(known, chosen=chosen)
        return replace(known, chosen=chosen, bound=max(known.bound, bound), solver="exact")

    def _solved(self, left: Sequence[Integers], scale: float) -> tuple[list[int] | None, float | None]:
        """The best choice among the given options of each layer (None if none was found), and its damage as a bound
        (None if HiGHS ran out of time). Damages are resolved to 1e-9 of ``scale``."""
        sizes = list(map(len, left))
        starts = np.cumsum([0, *sizes])
        damages = np.concatenate([d[some] - d[some].min() for d, some in zip(self.damages, left, strict=True)])
        costs = np.concatenate([c[some] for c, some in zip(self.costs, left, strict=True)]) / np.maximum(1, self.room)
        layer = np.repeat(np.arange(len(left)), sizes)
        one_each = sparse.csr_array((np.ones(len(layer)), (layer, np.arange(len(layer)))))
        # HiGHS has absolute tolerances: it stops within 1e-6 of the best and allows 1e-6 above a limit.
        constraints = [LinearConstraint(one_each, 1, 1), LinearConstraint(1e3 * costs.T, -np.inf, 1e3)]
        end = monotonic() + SECONDS
        while (seconds := end - monotonic()) > 0:
            with _quiet():
                found = milp(
                    damages * (1e3 / (scale or 1.0)),
                    integrality=np.ones(len(damages)),
                    bounds=Bounds(0, 1),
                    constraints=constraints,
                    options={"time_limit": seconds, "mip_rel_gap": 0.0},
                )
            if found.x is None:
                break
            places = [int(a + found.x[a:b].argmax()) for a, b in pairwise(starts)]
            chosen = [int(some[place - a]) for some, place, a in zip(left, places, starts, strict=False)]
            if self.fits(chosen):
                return chosen, self.damage(chosen) if found.status == 0 else None
            # One unit too much among billions: exclude this choice.
            taken = sparse.csr_array((np.ones(len(places)), ([0] * len(places), places)), shape=(1, len(layer)))
            constraints.append(LinearConstraint(taken, -np.inf, len(places) - 1))
        return None, None

    def fits(self, chosen: Sequence[int]) -> bool:
        """Whether a choice is within the budgets, exactly."""
        return bool((self.cost(chosen) <= self.room).all())

    def cost(self, chosen: Sequence[int]) -> Integers:
        """The cost of a choice, by budget."""
        total = np.zeros(len(self.room), np.int64)
        for costs, index in zip(self.costs, chosen, strict=True):
            total += costs[index]
        return total

    def damage(self, chosen: Sequence[int]) -> float:
        """The damage of a choice."""
        return float(sum(damages[index] for damages, index in zip(self.damages, chosen, strict=True)))

    def _at(self, prices: Sequence[Reals], lam: float) -> list[int]:
        """Each layer's choice at a price; the cheaper of equals."""
        chosen = []
        for damages, price in zip(self.damages, prices, strict=True):
            values = damages + lam * price
            equal = np.flatnonzero(values == values.min())
            chosen.append(int(equal[price[equal].argmin()]))
        return chosen

    def _dual(self, prices: Sequence[Reals], weights: Reals, lam: float) -> float:
        """A lower bound of the damage of any choice within the budgets."""
        each = sum(float((d + lam * price).min()) for d, price in zip(self.damages, prices, strict=True))
        return each - lam * float(self.room @ weights)

    def _filled(self, chosen: list[int]) -> list[int]:
        """Spends the rest of the budgets greedily: repeatedly makes the single change that lowers the damage most for
        its share of them."""
        while True:
            room = self.room - self.cost(chosen)
            best, found = 0.0, None
            for place, (costs, damages) in enumerate(zip(self.costs, self.damages, strict=True)):
                more = costs - costs[chosen[place]]
                gain = damages[chosen[place]] - damages
                possible = np.flatnonzero((more <= room).all(axis=1) & (gain > 0))
                if len(possible):
                    share = (more[possible] / np.maximum(1, self.room)).max(axis=1).clip(1e-12)
                    rate = gain[possible] / share
                    if rate.max() > best:
                        best, found = float(rate.max()), (place, int(possible[rate.argmax()]))
            if found is None:
                return chosen
            chosen[found[0]] = found[1]


@contextmanager
def _quiet() -> Iterator[None]:
    """Discards what HiGHS writes to standard output whatever its options, because it would corrupt ``--json``.

    If standard output was closed, it is closed again at the end.
    """
    if sys.stdout is not None:
        with suppress(OSError, ValueError):  # it may be closed
            sys.stdout.flush()
    try:
        kept = os.dup(1)
    except OSError:
        kept = None
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        if nowhere != 1:
            os.dup2(nowhere, 1)
            os.close(nowhere)
        yield
    finally:
        if kept is None:
            os.close(1)
        else:
            os.dup2(kept, 1)
            os.close(kept)


def _directions(room: Integers) -> list[Reals]:
    """Weights of the budgets, as prices of one unit of each: each alone, and mixtures if there are two."""
    unit = 1 / np.maximum(1, room)
    alone = [np.eye(len(room))[j] * unit for j in range(len(room))]
    mixed = [np.array([share, 1 - share]) * unit for share in np.linspace(0.1, 0.9, 9)] if len(room) == 2 else []
    return alone + mixed


def _undominated(options: Sequence[Option], metrics: Sequence[Metric]) -> list[Option]:
    """The options that no other dominates in damage and all costs; one of equals."""
    import moocore

    points = np.array([[*(float(metric.of(one.cost)) for metric in metrics), one.damage] for one in options])
    return [options[int(index)] for index in np.flatnonzero(moocore.is_nondominated(points, keep_weakly=False))]
