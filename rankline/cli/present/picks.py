"""Tables of picked configurations."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from rankline.cli.output import note
from rankline.cli.present.table import Shown, duration, share
from rankline.src.dse.metric import LATENCY
from rankline.src.dse.numbers import percent, spread_text

if TYPE_CHECKING:
    from rankline.src.db.queries.solution import Solution

COSTS = ["ranks", "shape", "params", "FM elements", "FLOPs", "memory (bytes)", "params saved", "FLOPs saved"]
LATENCIES = ["latency", "original latency", "latency saved"]
ERRORS = ["error", "of"]

LEAST_IMPORTANT = ["original latency", "memory (bytes)", "FM elements", "of", "FLOPs", "params"]
"""What a narrow terminal can do without: the reductions tell as much."""


def pick_columns(timed: bool, as_csv: bool) -> list[str]:
    """The columns of ``pick_row``, with latencies if there is a device. People see a latency's unit beside its number,
    machines in the heading."""
    latency, original, saved = LATENCIES
    latencies = [f"{latency} (ps)", f"{original} (ps)", saved] if as_csv else LATENCIES
    return [*COSTS, *(latencies if timed else []), *ERRORS]


def pick_row(one: Solution) -> list[Any]:
    """A configuration's cells."""
    saved = [share(one.reduction(metric), bar=True) for metric in ("params", "flops")]
    times: list[Any] = []
    if one.latency is not None:
        times = [*map(duration, (one.latency, LATENCY.of(one.original))), share(one.reduction("latency"), bar=True)]
    errors = [None, None] if one.error is None else [_error(one), f"{one.error_of}, {one.certainty}"]
    ranks, costs = " ".join(map(str, one.ranks)), [one.params, one.fm, one.flops, one.memory]
    return [ranks, one.shape, *costs, *saved, *times, *errors]


def tell_of_errors(shown: Iterable[Solution | None]) -> None:
    """Notes on what the errors of a table are, where that isn't plain."""
    known = [one for one in shown if one is not None and one.error is not None]
    if len({one.error_of for one in known}) > 1:
        note("some errors are of the weights, some of the outputs on calibration data: these don't compare")
    certainties = {one.certainty for one in known}
    if "bound" in certainties:
        note("<=: the error is at most that")
    if "estimate" in certainties:
        note("~: an estimate, which windows on the error use; in brackets: between what the true error lies")


def _error(one: Solution) -> Shown:
    """The error, with what tells people that it is a bound or an estimate, and how far that may be off."""
    sign = {"bound": "<= ", "estimate": "~ "}.get(one.certainty or "", "")
    spread = spread_text(one.error_low, one.error_high) if one.certainty == "estimate" else ""
    return Shown(one.error, f"{sign}{percent(one.error)}{spread}")
