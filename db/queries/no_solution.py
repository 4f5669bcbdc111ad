"""The errors of queries without an answer."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from rankline.src.db.queries.stored_lines import StoredLines
from rankline.src.dse.cost import Cost
from rankline.src.dse.errors import UserError
from rankline.src.dse.metric import Metric

if TYPE_CHECKING:
    from rankline.src.db.queries.scanned_lines import ScannedLines


class NoSolutionError(UserError):
    """No configuration meets the windows."""


def no_solution(
    what: str,
    chosen: str,
    metrics: Iterable[Metric],
    original: Cost,
    whole: StoredLines | ScannedLines,
    least_error: float | None,
) -> NoSolutionError:
    """The error of a query without an answer, with the ranges of its set in the metrics asked for.

    ``whole`` is that set without windows; ``least_error`` is included if known.
    """
    spans = []
    for metric in dict.fromkeys(metrics):
        low, high = (whole.extreme(metric, highest) for highest in (False, True))
        if low is not None and high is not None:
            before = metric.of(original)
            spans.append(
                f"{metric.name} {metric.text(low)} to {metric.text(high)} "
                f"(reduction {1 - high / before:.3f} to {1 - low / before:.3f})"
            )
    if least_error is not None:
        spans.append(f"error from {least_error:.4g} up")
    possible = f"its {chosen} ones span {'; '.join(spans)}" if spans else f"it has no {chosen} ones"
    return NoSolutionError(f"no configuration of {what} meets the windows; {possible}: widen the windows")


def unknown_errors(what: str) -> UserError:
    """The error of a query about errors that aren't known."""
    return UserError(
        f"no error of {what} is known yet; compute it from the trained weights with: rankline explore MODEL --errors"
    )
