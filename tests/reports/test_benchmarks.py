"""Benchmark results as a page."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rankline.src.dse.errors import UserError
from rankline.src.dse.outgoing import for_html
from rankline.src.reports.figures.times import OURS
from rankline.src.reports.report.benchmark_times import READERS, measured_times
from rankline.src.reports.report.benchmarks import read_benchmarks, write_benchmarks
from tests.helpers.report_page import Page
from tests.reports.conftest import HOSTILE

RESULTS = Path(__file__).parents[2] / "benchmarks" / "results"

HEAD = {
    "date": "2026-01-02T03:04:05+00:00",
    "machine": {"cores": 2, "python": "3.11.7"},
    "versions": {"numpy": "2.4.6"},
    "seed": 7,
}

SCAN = {
    "benchmark": "scan",
    **HEAD,
    "configurations": 1000,
    "scan": {"s_median_of_7": 0.5},
    "numpy": {"s_median_of_3": 1.5},
}

ROWS = {"benchmark": HOSTILE, **HEAD, "rows": [{"name": HOSTILE, "share": 0.25, "at": {"s": 2.0}}, {"name": "b"}]}


def folder_of(path: Path, *results: dict[str, Any]) -> Path:
    for number, result in enumerate(results):
        (path / f"{number}.json").write_text(json.dumps(result), encoding="utf-8")
    return path


def test_a_page_has_machine_versions_date_rows_and_times(tmp_path: Path) -> None:
    path = write_benchmarks(folder_of(tmp_path, SCAN, ROWS), tmp_path / "bench.html")
    found = Page(path.read_text(encoding="utf-8"))
    assert "2026-01-02 03:04; cores 2, python 3.11.7, numpy 2.4.6, seed 7" in found.text
    assert "scan, s_median_of_7 0.5" in found.text
    ours, theirs = found.figures["times-1"]["data"]
    assert (ours["name"], ours["x"], theirs["name"], theirs["x"]) == (OURS, [0.5], "NumPy", [1.5])
    assert "name share at, s" in found.text
    assert f"{for_html(HOSTILE)} 0.25 2" in found.text
    assert "b – –" in found.text
    assert all(address.startswith("#") for address in found.loads)
    assert not {"link", "img"} & set(found.tags)


def test_the_results_of_the_checkout_all_have_a_place() -> None:
    found = {one.name: one for one in read_benchmarks(RESULTS)}
    assert set(found) == {path.stem for path in RESULTS.glob("*.json")}
    assert {name for name, one in found.items() if one.times} == set(READERS)
    for path in RESULTS.glob("*.json"):
        stored = json.loads(path.read_text(encoding="utf-8"))
        assert len(found[path.stem].rows) == len(stored.get("rows", []))
        assert all(row["seconds"] > 0 for row in measured_times(stored))


def test_what_is_no_result_is_a_user_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no benchmark results"):
        read_benchmarks(tmp_path)
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(UserError, match="cannot read"):
        read_benchmarks(tmp_path)
    (tmp_path / "a.json").write_text('{"x": 1}')
    with pytest.raises(UserError, match="not a benchmark result"):
        read_benchmarks(tmp_path)
    with pytest.raises(UserError, match=r"name an \.html file"):
        write_benchmarks(tmp_path, tmp_path / "bench.csv")
