"""The lazy query over all configurations of one layer by one method."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import cached_property
from math import ceil, inf
from typing import TYPE_CHECKING, Any

from sqlalchemy import Engine

from rankline.src.db.queries.levels import equal_levels, levels_of
from rankline.src.db.queries.line_windows import RANKS, SETS
from rankline.src.db.queries.no_solution import NoSolutionError, no_solution, unknown_errors
from rankline.src.db.queries.place import Place
from rankline.src.db.queries.solution import Solution, Summary
from rankline.src.db.queries.stored_lines import StoredLines
from rankline.src.db.queries.windows import Bounds, Window, error_window, window
from rankline.src.db.records.error_tables import LayerErrors
from rankline.src.dse.configuration import Configuration
from rankline.src.dse.cost import Cost
from rankline.src.dse.devices.latency import LatencyModel
from rankline.src.dse.error_table import Spectrum
from rankline.src.dse.errors import UserError, one_of
from rankline.src.dse.metric import FLOPS, REDUCTION, Metric, metric
from rankline.src.dse.space import Space

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from rankline.src.db.queries.scanned_lines import ScannedLines


@dataclass(frozen=True)
class StoredSpace:
    """A row of the table ``space``: its id, definition (JSON) and counts."""

    id: int
    options: str
    n_ranks: int
    n_total: int
    n_better: int
    n_useful: int
    n_lines: int


@dataclass(frozen=True)
class Solutions:
    """All configurations of ``layer`` by ``method``, narrowed by a set and windows; lazy until a result is asked for.

    The sets are nested: ``all``; ``better``, with params and FLOPs both below the original's; ``useful``, also with no
    rank larger than its neighbours can feed. Counts and picks take ``useful`` by default. ``device`` is what ``on``
    asks.
    """

    engine: Engine
    layer: str
    method: str
    space: StoredSpace
    original: Cost
    bytes_per_element: int = 4
    chosen: str = "useful"
    windows: tuple[Window, ...] = ()
    errors: LayerErrors | None = None
    error_bounds: tuple[tuple[float | None, float | None], ...] = ()
    kept_in_memory: bool = False
    device: LatencyModel | None = field(default=None, repr=False)

    def where(self, **bounds: Bounds) -> Solutions:
        """Narrowed to windows, each a pair (low, high) with None for an open end.

        ``params``, ``fm``, ``flops``, ``memory`` (bytes) and ``latency`` (picoseconds, or a text such as ``200us``)
        include both ends; ``params_reduction`` and the like are fractions of the original's, with low <= reduction <
        high; ``error`` is the relative error (see ``Solution.error``) and includes both ends. Raises UserError on a bad
        window, for an error that isn't known, and for a latency without a device (see ``on``).
        """
        errors = self.error_bounds
        if "error" in bounds:
            self._known_errors()
            errors = (*errors, error_window(bounds.pop("error")))
        more = [window(name, pair, self.original, self.bytes_per_element) for name, pair in bounds.items()]
        return replace(self, windows=(*self.windows, *more), error_bounds=errors)

    def within(self, chosen: str) -> Solutions:
        """The same windows over another set: ``all``, ``better`` or ``useful``."""
        if chosen not in SETS:
            raise one_of("set", chosen, list(SETS))
        return replace(self, chosen=chosen)

    def on(self, device: LatencyModel | None) -> Solutions:
        """The same with the latency of each configuration on a device, so that windows and picks can be about it.

        Raises UnmeasuredError if the device has no numbers for an operation of the layer or of the method's chains.
        """
        space = self._on(device)
        space.check_device()
        return replace(self, device=device, original=replace(self.original, latency=space.original.latency))

    def in_memory(self) -> Solutions:
        """The same configurations with the same answers, from lines recomputed and kept in memory.

        For many queries on one space: the first takes longer, the others milliseconds. The last 24 spaces are kept.
        """
        return replace(self, kept_in_memory=True)

    def at(self, level: float, objective: str = "params", tolerance: float = 0.005) -> Solutions:
        """The configurations at a reduction ``level`` of the objective (params, fm, flops, memory or latency).

        Those with level <= reduction < level + tolerance; if there are none, those at the nearest level above; if there
        are none above, those of the highest reduction.
        """
        name = self._metric(objective).name + REDUCTION
        exact = Fraction(str(level))
        near = self.where(**{name: (exact, exact + Fraction(str(tolerance)))})
        aim = near.windows[-1]
        if near.count():
            return near
        above = replace(self, windows=(*self.windows, replace(aim, low=None)))
        nearest = above._lines.extreme(aim.metric, highest=True)
        if nearest is None:
            nearest = self._lines.extreme(aim.metric, highest=False)
        if nearest is None:
            return near
        return replace(self, windows=(*self.windows, Window(aim.metric, nearest, nearest, aim.level)))

    def total(self) -> int:
        """Number of configurations of the whole space."""
        return self.space.n_total

    def better(self) -> int:
        """Number of configurations of the space with params and FLOPs both below the original's."""
        return self.space.n_better

    def useful(self) -> int:
        """Number of better configurations of the space in which no rank is larger than its neighbours can feed."""
        return self.space.n_useful

    def count(self) -> int:
        """Number of configurations in the set that meet all windows."""
        return self._lines.count()

    def lowest(self, metric: str) -> Solution:
        """The configuration with the lowest params, fm, flops, memory or latency.

        Ties by fewer params, fewer FM, ranks, shape. Raises NoSolutionError if no configuration meets the windows.
        """
        return self._pick(self._metric(metric), highest=False)

    def highest(self, metric: str) -> Solution:
        """The configuration with the highest params, fm, flops, memory or latency; ties and errors as in ``lowest``."""
        return self._pick(self._metric(metric), highest=True)

    def min_flops(self) -> Solution:
        """``lowest("flops")``."""
        return self.lowest("flops")

    def max_flops(self) -> Solution:
        """``highest("flops")``."""
        return self.highest("flops")

    def min_error(self) -> Solution:
        """The configuration with the least error; ties as in ``lowest``. Raises UserError if no error is known."""
        place = self._scanned().least_error()
        if place is None:
            raise self._no_solution()
        return self._solution(place)

    def pareto(self, *costs: str) -> list[Solution]:
        """The front of error against params, fm, flops, memory or latency: all that is not dominated, cheapest first.

        With one cost, its range is cut into 4,096 levels, and each contributes its least error. With several, the front
        is exact up to 200,000 configurations; beyond that it is the front of the least errors in the 256 x 256 cells of
        the first two costs. Raises UserError if no error is known.
        """
        places = self._scanned().front([self._metric(cost) for cost in costs or ("params",)])
        return [self._solution(place) for place in places]

    def summary(self) -> Summary:
        """``count``, ``min_flops`` and ``max_flops`` in one, faster than the three calls."""
        count, lowest, highest = self._lines.summary(FLOPS)
        return Summary(count, *(None if place is None else self._solution(place) for place in (lowest, highest)))

    def equal_rank(self) -> Solution:
        """The configuration with all ranks equal whose metric is nearest to the level of the last window (``at`` adds
        one).

        The level is the end that is closer to the original: c of a reduction window [c, ...), the high end of an
        absolute one. The other windows and ends do not restrict it. Raises UserError without such a window,
        NoSolutionError if the set has no equal ranks.
        """
        aims = [one for one in self.windows if one.level is not None]
        if not aims:
            raise UserError("equal_rank needs a level to aim at: narrow with where(params_reduction=(0.6, None))")
        place = self._whole().nearest_equal(aims[-1].metric, aims[-1].level or Fraction(0))
        if place is None:
            raise NoSolutionError(f"no {self.chosen} configuration of '{self.layer}' by {self.method} has equal ranks")
        return self._solution(place)

    def random(self, n: int, seed: int) -> list[Solution]:
        """A uniform sample of up to n distinct configurations that meet the windows, in random order."""
        if n < 0:
            raise UserError(f"random takes a number of configurations from 0 up; got {n}")
        return [self._solution(place) for place in self._lines.random(n, seed)]

    def picks(self) -> dict[str, Solution]:
        """``min_flops`` and ``max_flops``, and ``equal_rank`` if a window has a level and ranks can be equal.

        Raises NoSolutionError if no configuration meets the windows.
        """
        found = {"min_flops": self.min_flops(), "max_flops": self.max_flops()}
        if any(one.level is not None for one in self.windows):
            with suppress(NoSolutionError):
                found["equal_rank"] = self.equal_rank()
        return found

    def candidates(self, max_solutions: int, seed: int) -> list[Solution]:
        """The candidates of a compression step: min_flops; then max_flops and equal_rank; then random ones.

        At most ``max_solutions``, without repeats; empty if nothing meets the windows.
        """
        if not self.count():
            return []
        if max_solutions == 1:
            return [self.min_flops()]
        drawn = self.random(max_solutions - 3, seed) if max_solutions > 3 else []
        return list(dict.fromkeys([*list(self.picks().values())[:max_solutions], *drawn]))

    def envelope(self, levels: int = 60, metric: str = "params") -> pd.DataFrame:
        """The lowest and highest FLOPs at each level of a metric: low, high, n, min_flops, max_flops.

        ``low`` and ``high`` are in the metric's unit (bytes for memory).
        """
        lines, of = self._lines, self._metric(metric)
        low, high = lines.extreme(of, highest=False), lines.extreme(of, highest=True)
        bounds = [] if low is None or high is None else equal_levels(low, high, levels)
        return levels_of(lines.spans(of), bounds)

    def meet(self, one: Solution) -> bool:
        """Whether a configuration of the space is within all windows."""
        error = inf if one.error is None else one.error
        return all(_is_between(window.metric.of(one.cost), window.low, window.high) for window in self.windows) and all(
            _is_between(error, low, high) for low, high in self.error_bounds
        )

    def configuration(self, ranks: Sequence[int], shape: str | None = None) -> Solution:
        """The configuration with these ranks, regardless of set and windows. Raises UserError if there is none."""
        wanted = Configuration(self.method, tuple(ranks), shape)
        cost = self._space.cost_at(wanted)
        if cost is None:
            named = f"{'x'.join(map(str, ranks))} {shape or ''}".strip()
            raise UserError(f"'{self.layer}' has no configuration {named} by {self.method}")
        return self._solution(Place(wanted, cost))

    def steps(self, step: float = 0.1, objective: str = "params") -> pd.DataFrame:
        """The number of configurations at each level of reduction: level, n, min_flops, max_flops.

        A level holds those with level <= reduction < level + step, from 0 up. Raises UserError on a bad step.
        """
        width = Fraction(str(step))
        if not 0 < width <= 1:
            raise UserError(f"a step must be a fraction above 0 and up to 1, such as 0.1; got {step}")
        name = self._metric(objective).name + REDUCTION
        starts = [k * width for k in range(ceil(1 / width))]
        windows = [window(name, (start, start + width), self.original, self.bytes_per_element) for start in starts]
        level_of = {(one.low or 0, one.high or 0): start for one, start in zip(windows, starts, strict=True)}
        frame = levels_of(self._lines.spans(self._metric(objective)), list(level_of))
        found = [float(level_of[low, high]) for low, high in zip(frame["low"], frame["high"], strict=True)]
        return frame.drop(columns=["low", "high"]).assign(level=found)[["level", "n", "min_flops", "max_flops"]]

    def batches(self, size: int = 100_000) -> Iterator[pd.DataFrame]:
        """All configurations as data frames of about ``size`` rows; see ``to_pandas`` for the columns."""
        columns = ["shape", *RANKS[: self.space.n_ranks], "params", "fm", "flops"]
        for frame in self._lines.frames(size):
            yield frame[columns].assign(
                memory=self.bytes_per_element * (frame["params"] + frame["fm"]),
                params_reduction=1 - frame["params"] / self.original.params,
                flops_reduction=1 - frame["flops"] / self.original.flops,
                **self._latencies(frame),
                **({} if self.errors is None else self.errors.of_frame(frame, RANKS[: self.space.n_ranks])),
            )

    def arrow_batches(self, size: int = 100_000) -> Iterator[pa.RecordBatch]:
        """The same as Arrow record batches. Raises UserError without pyarrow (extra ``arrow``)."""
        try:
            import pyarrow as pa
        except ImportError:
            raise UserError("Arrow batches need pyarrow; install it with: pip install 'rankline[arrow]'") from None
        for frame in self.batches(size):
            yield pa.RecordBatch.from_pandas(frame, preserve_index=False)

    def to_pandas(self, limit: int = 100_000) -> pd.DataFrame:
        """Every configuration that meets the windows: shape, r1.., params, fm, flops, memory (bytes), reductions; on a
        device latency_ps and its reduction; and the error if known.

        Raises UserError if there are more than ``limit``.
        """
        import pandas as pd

        count = self.count()
        if count > limit:
            raise UserError(
                f"{count:,} configurations meet the windows, above the limit of {limit:,}; narrow the windows, "
                "take a sample with random(), go through batches(), or raise the limit"
            )
        frames = list(self.batches())
        return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()

    @cached_property
    def _lines(self) -> StoredLines | ScannedLines:
        """The configurations in question: by SQL, unless errors or latencies are asked for, which SQL doesn't know."""
        return self._scanned() if self.error_bounds else self._lines_in(self.windows)

    def _whole(self) -> StoredLines | ScannedLines:
        """The whole set, without windows."""
        return self._lines_in(())

    def _lines_in(self, windows: tuple[Window, ...]) -> StoredLines | ScannedLines:
        if self.kept_in_memory or self.device is not None:
            return self._narrowed(None, windows)
        return StoredLines(self.engine, self._space, self.space.id, self.space.n_lines, self.chosen, windows)

    def _scanned(self) -> ScannedLines:
        spectrum = self._known_errors().spectrum
        low = max((low for low, _ in self.error_bounds if low is not None), default=None)
        high = min((high for _, high in self.error_bounds if high is not None), default=None)
        return self._narrowed(spectrum, self.windows, (low, high))

    def _narrowed(
        self,
        spectrum: Spectrum | None,
        windows: tuple[Window, ...],
        within: tuple[float | None, float | None] = (None, None),
    ) -> ScannedLines:
        from rankline.src.db.queries.scanned_lines import ScannedLines  # numba: only where SQL can't answer

        return ScannedLines(self._space, spectrum, self.chosen, windows, within)

    @cached_property
    def _space(self) -> Space:
        return self._on(self.device)

    def _on(self, device: LatencyModel | None) -> Space:
        return Space.from_definition(json.loads(self.space.options)).on(device)

    def _latencies(self, frame: pd.DataFrame) -> dict[str, pd.Series[Any]]:
        """The latency columns of a data frame's configurations; none without a device."""
        if self.original.latency is None:
            return {}
        times = frame["latency"]
        return {"latency_ps": times, "latency_reduction": 1 - times / self.original.latency}

    def _known_errors(self) -> LayerErrors:
        if self.errors is None:
            raise unknown_errors(f"'{self.layer}' by {self.method}")
        return self.errors

    def _pick(self, metric: Metric, highest: bool) -> Solution:
        place = self._lines.pick(metric, highest)
        if place is None:
            raise self._no_solution()
        return self._solution(place)

    def _solution(self, place: Place) -> Solution:
        return Solution(self.layer, place.configuration, place.cost, self.original, self.bytes_per_element, self.errors)

    def _metric(self, name: str) -> Metric:
        return metric(name, self.bytes_per_element)

    def _no_solution(self) -> NoSolutionError:
        whole, what = self._whole(), f"'{self.layer}' by {self.method}"
        least = None
        if self.error_bounds and whole.count():
            least = replace(self, windows=(), error_bounds=()).min_error().error
        return no_solution(what, self.chosen, (one.metric for one in self.windows), self.original, whole, least)


def _is_between(value: float, low: float | None, high: float | None) -> bool:
    return (low is None or low <= value) and (high is None or value <= high)
