"""Table II: the number of solutions of each method for the literature's layers, and the time to generate them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from rankline.src.dse.layer import conv
from rankline.src.dse.lines import lines_of
from rankline.src.dse.methods import METHODS
from rankline.src.dse.scan.census import census
from rankline.src.dse.space import Space, spaces_of
from rankline.src.reports.report.table import Column, Table, counted, yes_no
from rankline.src.reports.study.published import CASES, LONGEST_SECONDS, Case, agrees

Clock = Callable[[], float]

NOTES = (
    "Published counts are rounded down; ‘agrees’ compares ours at the same digits. A dash: not published.",
    "Useful: better, and no rank larger than its neighbours can feed; the literature doesn't know this set.",
    "The published better count of CP for (3,3,256,512), 7.6E+2, is that of stride 2; so both strides are shown.",
    "The published better counts of TT on 2-D and 3-D layers don't follow from the published formulas, "
    "at either stride.",
    "T3F's enumeration is not published; here: 2 and 3 cores, aligned shapes.",
)

TIME_NOTES = (
    f"Published: up to {LONGEST_SECONDS:,} s for one layer and method (which one is not stated).",
    "To make: seconds for the rank lines, which hold every configuration exactly. To visit: seconds for a walk that "
    "evaluates every configuration one by one. Measured in this run: the shortest of three trials, code compiled.",
)

TRIALS = 3


def counts(cases: Sequence[Case] = CASES) -> Table:
    """Solutions of each case by each method: all and better, with the published counts, and useful."""
    rows = []
    for case in cases:
        for space in spaces_of(case.layer, case.methods):
            parts = list(lines_of(space))
            published = case.published.get(space.method)
            total, better = sum(part.n_total for part in parts), sum(part.n_better for part in parts)
            rows.append(
                {
                    "layer": case.title,
                    "stride": case.stride,
                    "method": METHODS[space.method].title,
                    "all": total,
                    "all_published": published and published.all,
                    "all_agrees": published and agrees(total, published.all),
                    "better": better,
                    "better_published": published and published.better,
                    "better_agrees": published and agrees(better, published.better),
                    "useful": sum(part.n_useful for part in parts),
                }
            )
    columns = (
        Column("layer", "layer"),
        counted("stride", "stride"),
        Column("method", "method"),
        counted("all", "all"),
        Column("all_published", "published", number=True),
        Column("all_agrees", "agrees", yes_no),
        counted("better", "better"),
        Column("better_published", "published", number=True),
        Column("better_agrees", "agrees", yes_no),
        counted("useful", "useful"),
    )
    return Table("counts", "Solutions of a layer by method (Table II)", columns, rows, NOTES)


def times(clock: Clock, cases: Sequence[Case] = CASES) -> Table:
    """Seconds to make and to visit each case's spaces; ``clock`` returns seconds."""
    tiny = conv("warm-up", (3, 3), 2, 2, (4, 4))
    for space in spaces_of(tiny, ("tucker",)):
        _timed(space, clock)
    rows = []
    for case in cases:
        for space in spaces_of(case.layer, case.methods):
            made, visited = _timed(space, clock)
            rows.append(
                {
                    "layer": case.title,
                    "stride": case.stride,
                    "method": METHODS[space.method].title,
                    "all": space.n_total,
                    "lines": space.n_lines,
                    "seconds_made": made,
                    "seconds_visited": visited,
                }
            )
    columns = (
        Column("layer", "layer"),
        counted("stride", "stride"),
        Column("method", "method"),
        counted("all", "all"),
        counted("lines", "rank lines"),
        Column("seconds_made", "to make (s)", _seconds, number=True),
        Column("seconds_visited", "to visit (s)", _seconds, number=True),
    )
    return Table("times", "Time to generate all solutions of a layer", columns, rows, TIME_NOTES)


def _timed(space: Space, clock: Clock) -> tuple[float, float]:
    """Seconds to make the lines and to visit the configurations, the shortest of several trials."""
    trials = []
    for _ in range(TRIALS):
        start = clock()
        for _ in lines_of(replace(space)):  # a new space, whose polynomials are not computed yet
            pass
        made = clock()
        census(space)
        trials.append((made - start, clock() - made))
    return min(made for made, _ in trials), min(visited for _, visited in trials)


def _seconds(value: float) -> str:
    return f"{value:.2g}" if value < 0.1 else f"{value:.2f}"
