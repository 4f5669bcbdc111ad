"""Benchmark results as one page, each with its machine, versions, date, rows, and times in comparison with others."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rankline.src.dse.errors import UserError
from rankline.src.dse.numbers import MISSING, count
from rankline.src.dse.whole_file import write_text
from rankline.src.reports.figures.drawn import Drawn
from rankline.src.reports.report.benchmark_times import measured_times
from rankline.src.reports.report.html import environment

if TYPE_CHECKING:
    from collections.abc import Iterator

SHOWN_APART = ("benchmark", "date", "machine", "versions", "seed", "rows")
"""Keys of a result that are not shown among its figures."""


@dataclass(frozen=True)
class Benchmark:
    """A result: where and when it was made, its figures by name, and its rows, if any."""

    name: str
    date: str
    made_with: str
    figures: Sequence[tuple[str, str]]
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    times: Drawn | None


def write_benchmarks(folder: Path, path: Path) -> Path:
    """Writes the page of a folder's results atomically; returns ``path``.

    Raises UserError if ``path`` is not an .html file or can't be written, and if the folder has no results.
    """
    if path.suffix.lower() != ".html":
        raise UserError(f"benchmark results become a page; name an .html file, not '{path.name}'")
    found = read_benchmarks(folder)
    write_text(path, environment().get_template("benchmarks.html").render(benchmarks=found))
    return path


def read_benchmarks(folder: Path) -> list[Benchmark]:
    """The results in a folder's .json files, by name. Raises UserError if there is none or one can't be read."""
    if not (paths := sorted(folder.glob("*.json"))):
        raise UserError(f"there are no benchmark results (.json files) in '{folder}'; make some with: rankline bench")
    return [_benchmark(_read(path), number) for number, path in enumerate(paths, start=1)]


def _read(path: Path) -> Mapping[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"cannot read {path} as a benchmark result: {error}") from error
    if not isinstance(found, dict) or not {"benchmark", "date"} <= found.keys():
        raise UserError(f"{path} is not a benchmark result: it needs the fields 'benchmark' and 'date'")
    return found


def _benchmark(found: Mapping[str, Any], number: int) -> Benchmark:
    rows = [dict(_flat("", row)) for row in found.get("rows", [])]
    columns = list(dict.fromkeys(key for row in rows for key in row))
    facts = {**found.get("machine", {}), **found.get("versions", {}), "seed": found.get("seed")}
    return Benchmark(
        name=str(found["benchmark"]),
        date=str(found["date"])[:16].replace("T", " "),
        made_with=", ".join(f"{key} {value}" for key, value in facts.items() if value is not None),
        figures=list(_flat("", {key: value for key, value in found.items() if key not in SHOWN_APART})),
        columns=columns,
        rows=[[row.get(key, MISSING) for key in columns] for row in rows],
        times=_times(found, number),
    )


def _times(found: Mapping[str, Any], number: int) -> Drawn | None:
    import pandas as pd

    from rankline.src.reports.figures.times import times

    rows = measured_times(found)
    if not rows:
        return None
    label = f"Seconds of {found['benchmark']}, here and elsewhere"
    return Drawn(f"times-{number}", label, times(pd.DataFrame(rows), ""))


def _flat(prefix: str, values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(f"{prefix}{key}, ", value)
        else:
            yield prefix + key, _text(value)


def _text(value: Any) -> str:
    if value is None:
        return MISSING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return count(value)
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:.4g}"
    return " to ".join(map(_text, value)) if isinstance(value, list) and len(value) == 2 else str(value)
