"""What is said where a query has no answer."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from rankline.src.dse.errors import UserError

if TYPE_CHECKING:
    from rankline.src.db.queries.solutions import Solutions
    from rankline.src.db.queries.stored_lines import StoredLines


class NoSolutionError(UserError):
    """No configuration meets the windows."""


def no_solution(asked: Solutions, whole: StoredLines) -> NoSolutionError:
    """The error of a query without an answer, with what its set has; ``whole`` is that set without windows."""
    spans = []
    for metric in dict.fromkeys(one.metric for one in asked.windows):
        low, high = (whole.extreme(metric, highest) for highest in (False, True))
        if low is not None and high is not None:
            original = metric.of(asked.original)
            spans.append(
                f"{metric.name} {low:,} to {high:,} (reduction {1 - high / original:.3f} to {1 - low / original:.3f})"
            )
    if asked.error_bounds and whole.count():
        least = replace(asked, windows=(), error_bounds=()).min_error().error
        spans.append(f"error from {least:.4g} up")
    possible = f"its {asked.chosen} ones span {'; '.join(spans)}" if spans else f"it has no {asked.chosen} ones"
    return NoSolutionError(
        f"no configuration of '{asked.layer}' by {asked.method} meets the windows; {possible}: widen the windows"
    )


def unknown_errors(what: str) -> UserError:
    """The error of a query for errors that aren't known."""
    return UserError(
        f"no error of {what} is known yet; look at the trained weights first with: rankline explore MODEL --errors"
    )
