"""The study's measures of a space: computed once from its rank lines, then shared by all equal layers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from sqlalchemy import Engine

from rankline.src.dse.cost import Cost
from rankline.src.dse.progress import Progress
from rankline.src.reports.study.networks import KnownSpace, StudiedLayer
from rankline.src.reports.study.segments import Bounds, Range, Segments, level_bounds, stored

CONSTRAINTS = ("0.5", "0.6", "0.7", "0.8", "0.9")
TOLERANCE = Fraction("0.005")

LEVELS = 100

OTHER = {"params": "flops", "flops": "params"}


@dataclass(frozen=True)
class Measures:
    """The measures of a space on a layer.

    ``extremes``: lowest and highest params, flops and memory (bytes) of the better set. ``covered``: the shares of the
    levels of params and FLOPs reduction, each 1 % wide, that have a better solution. ``width``: highest minus lowest
    FLOPs reduction, mean over the levels of params reduction that have a better solution; 0 without any. ``given``:
    the range of reductions of the other metric in the useful set at a fixed reduction of params or FLOPs, for each of
    ``CONSTRAINTS``; None if no useful solution is within ``TOLERANCE`` above it.
    """

    extremes: dict[str, Bounds] | None
    covered: dict[str, float]
    width: float
    given: dict[str, list[tuple[float, float] | None]]


def measure_all(engine: Engine, layers: Sequence[StudiedLayer], progress: Progress) -> dict[int, Measures]:
    """The measures of all spaces of the layers, by the space's id; each is read once."""
    todo: dict[int, tuple[Cost, str]] = {}
    for layer in layers:
        for method, space in layer.spaces.items():
            todo.setdefault(space.id, (layer.original, f"{layer.network} {layer.layer.name} {method}"))
    found = {}
    for done, (space_id, (original, label)) in enumerate(todo.items()):
        progress(label, done, len(todo))
        found[space_id] = measure(stored(engine, space_id), original)
    return found


def measure(sets: dict[str, Segments], original: Cost) -> Measures:
    """The measures of a space from its better and useful configurations."""
    better, useful = sets["better"], sets["useful"]
    extremes = {metric: better.extremes(metric) for metric in ("params", "flops", "memory")}
    levels = [(str(Fraction(j, LEVELS)), str(Fraction(j + 1, LEVELS))) for j in range(LEVELS)]
    ranges = {metric: better.ranges(metric, level_bounds(metric, original, levels), OTHER[metric]) for metric in OTHER}
    filled = [one for one in ranges["params"] if one is not None]
    widths = [(one.highest - one.lowest) / original.flops for one in filled]
    return Measures(
        extremes={metric: pair for metric, pair in extremes.items() if pair is not None} or None,
        covered={metric: sum(one is not None for one in found) / LEVELS for metric, found in ranges.items()},
        width=sum(widths) / len(widths) if widths else 0.0,
        given={metric: _given(useful, metric, original) for metric in OTHER},
    )


def _given(useful: Segments, metric: str, original: Cost) -> list[tuple[float, float] | None]:
    windows = [(level, str(Fraction(level) + TOLERANCE)) for level in CONSTRAINTS]
    found = useful.ranges(metric, level_bounds(metric, original, windows), OTHER[metric])
    whole = getattr(original, OTHER[metric])
    return [None if one is None else _reductions(one, whole) for one in found]


def _reductions(found: Range, whole: int) -> tuple[float, float]:
    return 1 - found.highest / whole, 1 - found.lowest / whole


def choices(method: str, space: KnownSpace) -> int:
    """How many numbers a user must set for one configuration: its ranks (at most), plus one for T3F's tensor shape."""
    return space.n_ranks + (method == "t3f")
