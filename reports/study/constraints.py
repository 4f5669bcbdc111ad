"""The range of FLOPs at a fixed reduction of params, and the reverse, over the convolutions of the networks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from statistics import median

from rankline.src.dse.methods import METHODS
from rankline.src.dse.metric import METRICS
from rankline.src.dse.numbers import percent
from rankline.src.dse.symbols import LayerShape
from rankline.src.reports.report.table import Column, Table, counted
from rankline.src.reports.study.measures import CONSTRAINTS, OTHER, TOLERANCE, Measures
from rankline.src.reports.study.networks import Studied, StudiedLayer

NOTES = (
    f"Useful solutions with level <= reduction < level + {percent(float(TOLERANCE))}. Each distinct layer (equal "
    "shapes counted once) that has one gives a range, from its least to its largest reduction of the other metric.",
    "Over those layers: the least and the largest reduction of any, the medians of the ranges' two ends, and the "
    "widest range of one layer. Where a layer's input and output are of one size, FLOPs are proportional to params in "
    "all methods but T3F, and the range is no wider than the window.",
    "All distinct layers are included; ‘with a solution’ counts those that a method reaches at the level.",
)


@dataclass(frozen=True)
class Group:
    """Distinct layers to which the same methods apply."""

    title: str
    layers: tuple[StudiedLayer, ...]

    def methods(self) -> Iterator[str]:
        """The methods that apply to any of the layers, in the registry's order."""
        return (name for name in METHODS if any(name in layer.spaces for layer in self.layers))


def groups(studied: Studied) -> list[Group]:
    """The distinct convolutions of the networks: those with a spatial kernel, and 1x1 ones, which are matrices."""
    distinct: dict[str, dict[LayerShape, StudiedLayer]] = {"conv": {}, "1×1 conv": {}}
    for one in studied.layers:
        if one.layer.kind == "conv":
            distinct["1×1 conv" if one.layer.is_pointwise else "conv"].setdefault(one.shape, one)
    return [Group(title, tuple(layers.values())) for title, layers in distinct.items() if layers]


def constraints(studied: Studied, measures: Mapping[int, Measures], metric: str) -> Table:
    """The range of the other metric's reductions at fixed reductions of ``metric`` (params or flops), by method.

    There is a row for each group of layers, level and method, over all distinct layers of the group.
    """
    rows = []
    for group in groups(studied):
        for place, level in enumerate(CONSTRAINTS):
            for method in group.methods():
                spaces = [layer.spaces[method] for layer in group.layers if method in layer.spaces]
                found = [measures[space.id].given[metric][place] for space in spaces]
                rows.append(
                    {
                        "at": float(level),
                        "layers": group.title,
                        "method": METHODS[method].title,
                        "n_layers": len(spaces),
                        **_aggregated([pair for pair in found if pair is not None]),
                    }
                )
    fixed, other = METRICS[metric].title, METRICS[OTHER[metric]].title
    columns = (
        Column("at", f"{fixed} reduction", percent, number=True),
        Column("layers", "layers"),
        Column("method", "method"),
        counted("n_layers", "distinct"),
        counted("n_with", "with a solution"),
        *(Column(key, title, percent, number=True) for key, title in ENDS.items()),
    )
    title = f"Reductions of {other} at fixed reductions of {fixed}"
    return Table(f"constraints_{metric}", title, columns, rows, (studied.coverage(), *NOTES))


ENDS = {
    "least": "least",
    "median_low": "median from",
    "median_high": "median to",
    "largest": "largest",
    "widest": "widest",
}


def _aggregated(found: list[tuple[float, float]]) -> dict[str, float | int | None]:
    if not found:
        return {"n_with": 0, **dict.fromkeys(ENDS)}
    lows, highs = zip(*found, strict=True)
    widest = max(high - low for low, high in found)
    values = (min(lows), median(lows), median(highs), max(highs), widest)
    return {"n_with": len(found), **dict(zip(ENDS, values, strict=True))}
