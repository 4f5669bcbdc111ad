"""Table III: the number of solutions at each level of params reduction."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from math import ceil

from rankline.src.dse.errors import UserError
from rankline.src.dse.methods import METHODS
from rankline.src.dse.numbers import si
from rankline.src.dse.space import spaces_of
from rankline.src.reports.report.table import Column, Table
from rankline.src.reports.study.published import CASES, Case
from rankline.src.reports.study.segments import computed, level_bounds

NOTES = (
    "A level holds the solutions with level <= params reduction < level + step. Reductions are of the layer's kernel.",
)


def levels_of(step: float) -> list[tuple[str, str]]:
    """The levels of reduction from 0 to 1, as exact texts. Raises UserError for a bad step."""
    try:
        width = Fraction(str(step))
    except ValueError:
        width = Fraction(0)
    if not Fraction(1, 1000) <= width <= 1:
        raise UserError(f"a step must be a fraction from 0.001 to 1, such as 0.1; got {step}")
    starts = [k * width for k in range(ceil(1 / width))]
    return [(str(start), str(min(start + width, Fraction(1)))) for start in starts]


def level_titles(step: float) -> dict[str, str]:
    """The columns of the levels: key and title."""
    return {_key(start): f"{_percent(start)} %" for start, _ in levels_of(step)}


def steps(step: float, cases: Sequence[Case] = CASES) -> Table:
    """Better and useful solutions of each case by each method, at each level of params reduction ``step`` wide.

    Raises UserError for a bad step.
    """
    levels = levels_of(step)
    rows = []
    for case in cases:
        for space in spaces_of(case.layer, case.methods):
            bounds = level_bounds("params", space.original, levels)
            for chosen, segments in computed(space).items():
                found = segments.ranges("params", bounds, "flops")
                numbers = [0 if one is None else one.n for one in found]
                rows.append(
                    {
                        "layer": case.title,
                        "stride": case.stride,
                        "method": METHODS[space.method].title,
                        "set": chosen,
                        **{_key(start): number for (start, _), number in zip(levels, numbers, strict=True)},
                    }
                )
    columns = (
        Column("layer", "layer"),
        Column("stride", "stride", number=True),
        Column("method", "method"),
        Column("set", "set"),
        *(Column(key, title, si, number=True) for key, title in level_titles(step).items()),
    )
    title = f"Solutions at each level of params reduction, step {_percent(str(Fraction(str(step))))} % (Table III)"
    return Table("steps", title, columns, rows, NOTES)


def _key(start: str) -> str:
    return f"from_{_percent(start)}"


def _percent(level: str) -> str:
    return f"{float(100 * Fraction(level)):g}"
