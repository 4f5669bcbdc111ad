"""A solution space: every configuration of one method on one layer shape."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields, replace
from functools import cached_property
from math import prod
from typing import Any

from rankline.src.dse import methods
from rankline.src.dse.configuration import Configuration
from rankline.src.dse.cost import Cost
from rankline.src.dse.devices.latency import LatencyModel, TiledPolynomial
from rankline.src.dse.devices.operations import chain_operations, original_operations
from rankline.src.dse.errors import UserError
from rankline.src.dse.formula import Polynomials, original_cost
from rankline.src.dse.layer import Layer
from rankline.src.dse.options import Options
from rankline.src.dse.symbols import LayerShape, layer_shape

LARGEST_COUNT = 2**59 - 2**43
"""The most params, feature-map elements, FLOPs and configurations of a space, so that 64 bits hold every number that is
made of them: 8 bytes per element x (params + FM) < 2^63. A layer of GPT-3 has 2^29 params and 2^41 FLOPs."""

FORMULA_VERSION = 1
"""Incremented with every change of a formula, cap or rule, so that stored spaces are computed again."""


MANY_SHAPES = 10_000
"""More tensor shapes of a space that is too large aren't counted to the end."""


@dataclass(frozen=True)
class Branch:
    """The configurations of one tensor shape, as numbers; only T3F has more than one shape.

    ``caps`` are the largest ranks that the options allow. ``steps`` is the number of values of each rank: rank j is
    rank_multiple x 1 .. rank_multiple x steps[j]. ``free`` is the rank that runs along the lines: the one with the most
    steps, the first if several have. ``latency`` is that of the space's device, if it has one.
    """

    shape: str | None
    polynomials: Polynomials
    caps: tuple[int, ...]
    steps: tuple[int, ...]
    latency: TiledPolynomial | None = None

    def cost(self, ranks: tuple[int, ...]) -> Cost:
        """The exact cost at the given ranks."""
        cost = self.polynomials.cost(ranks)
        return cost if self.latency is None else replace(cost, latency=self.latency.at(ranks))

    @property
    def free(self) -> int:
        """Index of the free rank, counted from 0."""
        return self.steps.index(max(self.steps))

    @property
    def n_lines(self) -> int:
        """Number of lines: the combinations of the fixed ranks."""
        return prod(steps for j, steps in enumerate(self.steps) if j != self.free) if min(self.steps) else 0

    @property
    def n_total(self) -> int:
        """Number of configurations, as an exact Python integer."""
        return prod(self.steps)


@dataclass(frozen=True)
class Space:
    """All configurations of ``method`` on layers of ``shape`` under ``options``.

    timed: a device, whose latencies are then among the costs; it defines nothing of the space.
    """

    method: str
    shape: LayerShape
    options: Options
    timed: LatencyModel | None = None

    def on(self, device: LatencyModel | None) -> Space:
        """The same space with the latencies on a device; None: without."""
        return replace(self, timed=device)

    @cached_property
    def original(self) -> Cost:
        """The cost of the original layer. Raises UserError if the space's device can't tell its latency."""
        return cost_on(self.timed, self.shape)

    @cached_property
    def branches(self) -> tuple[Branch, ...]:
        """One branch per tensor shape. Raises UserError if numbers would not fit into 64 bits, and where the space's
        device lacks an operation."""
        branches = tuple(self._branches())
        if (number := sum(branch.n_total for branch in branches)) > LARGEST_COUNT:
            raise UserError(
                f"{self.method} on {self.shape} has {number:.2e} configurations, which 64-bit integers can't count; "
                "set max_rank"
            )
        return branches

    def _branches(self) -> Iterator[Branch]:
        step = self.options.rank_multiple
        for shape, polynomials in methods.get(self.method).polynomials(self.shape, self.options):
            caps = tuple(min(cap, self.options.max_rank or cap) for cap in polynomials.caps)
            branch = Branch(shape, polynomials, caps, tuple(cap // step for cap in caps), self._latency(caps, shape))
            top, original = branch.cost(caps), self.original
            times = (top.latency or 0, original.latency or 0)
            largest = max(top.params, top.fm, top.flops, original.flops, branch.n_total, *times)
            if largest > LARGEST_COUNT:
                raise UserError(
                    f"{self.method} on {self.shape}: the largest configuration counts {largest:.2e}, "
                    "which does not fit into 64-bit integers; set max_rank"
                )
            yield branch

    def _latency(self, caps: tuple[int, ...], shape: str | None) -> TiledPolynomial | None:
        if self.timed is None:
            return None
        return self.timed.polynomial(chain_operations(self.shape, self.method, len(caps), shape))

    @cached_property
    def n_lines(self) -> int:
        """Number of rank lines over all branches."""
        return sum(branch.n_lines for branch in self.branches)

    @cached_property
    def n_total(self) -> int:
        """Number of configurations over all branches."""
        return sum(branch.n_total for branch in self.branches)

    def factors(self, shape: str | None) -> int:
        """Number of layers in the chain of a tensor shape's configurations."""
        return methods.get(self.method).factors(self.shape.axes, shape)

    def check_device(self) -> None:
        """Raises UnmeasuredError if the space's device lacks an operation of the layer or of its chains."""
        _ = self.original
        next(self._branches(), None)  # the chains of all tensor shapes have the same kinds of operations

    def cost_at(self, one: Configuration) -> Cost | None:
        """The cost of one configuration; None if the space does not contain it."""
        step = self.options.rank_multiple
        for branch in self.branches:
            if (self.method, branch.shape, len(branch.steps)) == (one.method, one.shape, len(one.ranks)):
                pairs = zip(one.ranks, branch.steps, strict=True)
                if all(rank % step == 0 and 1 <= rank // step <= last for rank, last in pairs):
                    return branch.cost(one.ranks)
        return None

    def definition(self) -> dict[str, object]:
        """The values that define the space, as plain JSON; ``digest`` is their hash."""
        options = asdict(self.options)
        del options["max_lines"]
        if self.method != "t3f":
            options = {key: value for key, value in options.items() if not key.startswith("t3f_")}
        return {"method": self.method, **asdict(self.shape), **options}

    @classmethod
    def from_definition(cls, definition: Mapping[str, Any]) -> Space:
        """The space that ``definition`` describes."""
        values: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in definition.items()
        }
        shape = LayerShape(**{field.name: values.pop(field.name) for field in fields(LayerShape)})
        return cls(values.pop("method"), shape, Options(**values))

    @cached_property
    def digest(self) -> str:
        """A hash of the definition and the formula version."""
        text = json.dumps([FORMULA_VERSION, self.definition()], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def check_size(self) -> None:
        """Raises UserError, naming the ways to restrict the space, if it has more than ``max_lines`` lines.

        So it does if a rank has more values: the database has a row for each (table ``rank``).
        """
        most, ways = self.options.max_lines, "--max-rank, --rank-multiple"
        where = f"{self.method} on a layer of {self.shape.in_channels} inputs and {self.shape.out_channels} outputs"
        if self.method == "t3f":
            ways = f"--t3f-order aligned, fewer --t3f-cores, {ways}"
        n_lines = longest = 0
        for number, branch in enumerate(self._branches()):
            longest = max(longest, *branch.steps)
            n_lines += branch.n_lines
            if n_lines > most and number > MANY_SHAPES:
                raise UserError(
                    f"{where} has more than {n_lines:,} lines, above max_lines {most:,}; restrict it with {ways}"
                )
        if n_lines > most:
            raise UserError(
                f"{where} has {self.n_total:,} configurations on {n_lines:,} lines, above max_lines {most:,}; "
                f"restrict it with {ways}, or raise --max-lines"
            )
        if longest > most:
            raise UserError(
                f"{where} has {longest:,} values of one rank, above max_lines {most:,}; restrict it with {ways}, or "
                "raise --max-lines"
            )


def cost_on(device: LatencyModel | None, shape: LayerShape) -> Cost:
    """The cost of an original layer, with its latency on a device, if there is one. Raises UserError."""
    cost = original_cost(shape)
    if device is None:
        return cost
    latency = device.polynomial(original_operations(shape)).at(())
    if not latency:
        raise UserError(f"device '{device.device}' takes no time for a layer of {shape}; measure it again")
    return replace(cost, latency=latency)


def spaces_of(layer: Layer, names: tuple[str, ...] | None = None, options: Options | None = None) -> list[Space]:
    """The spaces of every applicable method (of those named) on a layer; none for a kept layer."""
    found = list(methods.applicable(layer, names))
    if not found:
        return []  # a kept layer needn't have sizes
    shape = layer_shape(layer)
    return [Space(method.name, shape, options or Options()) for method in found]
