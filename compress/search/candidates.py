"""The configurations of one layer that a search goes through, from the smallest up."""

from __future__ import annotations

from collections.abc import Iterator

from rankline.src.db.queries.no_solution import NoSolutionError
from rankline.src.db.queries.solution import Solution
from rankline.src.db.queries.solutions import Solutions


def candidates(
    solutions: Solutions, objective: str, step: float, max_solutions: int, tolerance: float, seed: int
) -> Iterator[Solution]:
    """The lowest objective first; then, level by level, what the database picks there, nothing twice.

    The levels are reductions of the objective: the lowest configuration's less k steps, down to the original.
    ``max_solutions`` is the most picks a level (see Solutions.candidates). A layer without a useful
    configuration has none.
    """
    try:
        lowest = solutions.lowest(objective)
    except NoSolutionError:
        return
    seen = {lowest}
    yield lowest
    start = lowest.reduction(objective)
    for k in range(1, int(start / step) + 1):
        level = round(start - k * step, 9)
        for solution in solutions.at(level, objective, tolerance).candidates(max_solutions, seed + k):
            if solution not in seen:
                seen.add(solution)
                yield solution
