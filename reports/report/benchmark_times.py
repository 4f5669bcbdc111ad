"""Times from benchmark results: the same work by Rankline and by others, in seconds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from rankline.src.dse.methods import METHODS
from rankline.src.reports.figures.times import OURS

Result = Mapping[str, Any]

Time = tuple[str, str, float]
"""The work, who did it, and the seconds."""


def measured_times(result: Result) -> list[dict[str, Any]]:
    """Rows of work, who and seconds, for the figure of times; empty for a benchmark that compares no times."""
    reader = READERS.get(str(result["benchmark"]))
    found = () if reader is None else reader(result)
    return [{"work": work, "who": who, "seconds": seconds} for work, who, seconds in found]


def _lines(result: Result) -> Iterator[Time]:
    ours, work = result["rankline"], f"{result['configurations']:,} configurations, and a window of them"
    yield work, OURS, ours["write_s_median_of_5"] + ours["answer_s"]
    yield work, "NumPy", result["numpy"]["s"]
    yield work, "a plain Python loop", result["python_loop"]["s"]


def _scan(result: Result) -> Iterator[Time]:
    work = f"every one of {result['configurations']:,} configurations"
    yield work, OURS, result["scan"]["s_median_of_7"]
    yield work, "NumPy", result["numpy"]["s_median_of_3"]


def _zoo(result: Result) -> Iterator[Time]:
    explored = result["explore"]
    number, work = explored["configurations"], f"all {explored['configurations']:,} configurations"
    yield work, OURS, explored["computing_and_writing_s"]
    yield work, "NumPy, at its measured rate", number / result["numpy_configurations_per_s"]
    yield work, "a plain Python loop, at its measured rate", number / result["python_loop_configurations_per_s"]
    for name, window in result["duckdb"]["windows"].items():
        yield f"a window of {name}", OURS, window["rankline_median_s"]
        yield f"a window of {name}", "DuckDB", window["duckdb_median_s"]


def _decompositions(result: Result) -> Iterator[Time]:
    for row in result["rows"]:
        method = row["method"]
        work = f"{METHODS[method].title if method in METHODS else method}, {row['kernel']}"
        # CP is compared at equal error: our time until we reach theirs.
        yield work, OURS, row.get("ours until their error", row["ours"])["s"]
        yield work, "TensorLy", row["tensorly"]["s"]


READERS: Mapping[str, Callable[[Result], Iterator[Time]]] = {
    "lines": _lines,
    "scan": _scan,
    "zoo": _zoo,
    "decompositions": _decompositions,
}
