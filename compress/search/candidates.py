"""The configurations of one layer that a search tries, from the smallest up."""

from __future__ import annotations

from collections.abc import Iterator

from rankline.src.db.queries.no_solution import NoSolutionError
from rankline.src.db.queries.solution import Solution
from rankline.src.db.queries.solutions import Solutions


def candidates(
    solutions: Solutions, objective: str, step: float, max_solutions: int, tolerance: float, seed: int
) -> Iterator[Solution]:
    """The configuration with the lowest objective first; then, level by level, the database's picks, without repeats.

    The levels are reductions of the objective: that of the lowest configuration minus k steps, down to the original.
    ``max_solutions`` is the most picks per level (see Solutions.candidates). A layer without useful configurations has
    no candidates.
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
