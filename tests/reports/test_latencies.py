"""Latencies in reports: of each layer and the whole network on each device, and what a run recorded of its plan."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from rankline.src.db.database import Database, open_database
from rankline.src.db.records.runs import TrialRecord
from rankline.src.dse.errors import UserError
from rankline.src.dse.metric import LATENCY
from rankline.src.dse.numbers import change
from rankline.src.dse.outgoing import for_markdown
from rankline.src.reports.report.content import content
from rankline.src.reports.report.formats import WRITERS
from rankline.src.reports.report.html import write_report
from tests.helpers.devices import made_up_device
from tests.helpers.report_page import Page
from tests.reports.conftest import HOSTILE, LAYERS, ORIGINAL, add_run, tried

RECORDED: dict[str, Any] = {
    "device": "laptop",
    "predicted_original_ps": 415_000_000,
    "predicted_ps": 201_000_000,
    "measured_original_ps": 400_000_000,
    "measured_ps": 210_000_000,
    "speedup": 400 / 210,
    "rounds": [
        {"limit_ps": 207_500_000, "predicted_ps": 207_000_000, "measured_ps": 233_000_000},
        {"limit_ps": 202_000_000, "predicted_ps": 201_000_000, "measured_ps": 210_000_000},
    ],
    "untimed": ["kept1"],
}

UNMEASURED = {"measured_original_ps": None, "measured_ps": None, "rounds": [], "untimed": [], "speedup": 0.8}


def made(path: Path, recorded: dict[str, Any] | None) -> Database:
    """A network with a kept layer that no device can tell, two devices, and a run."""
    database = open_database(str(path))
    database.explore(LAYERS, name=HOSTILE, methods=["tucker", "svd"])
    database.save_device(made_up_device())
    database.save_device(made_up_device("pho|ne", tile=16))
    made_by = {} if recorded is None else {"keep_latency": 0.5, "latency": recorded}
    trial: TrialRecord = replace(tried(1, "chosen", 0.94, 700), made_by=made_by)
    add_run(database, HOSTILE, [ORIGINAL, trial])
    return database


@pytest.fixture(scope="module")
def timed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    database = made(tmp_path_factory.mktemp("timed") / "space.db", RECORDED)
    yield database
    database.close()


def shown(database: Database, ending: str, run: int | None = 1, device: str | None = None) -> str:
    return WRITERS[ending](content(database, None if run else HOSTILE, run, 0, device), ())


def expected(database: Database, device: str) -> tuple[int, int, int, int]:
    """Picoseconds of the network before and after, and of the first layer."""
    solutions = database.solutions(HOSTILE, "tucker", HOSTILE, device=device)
    one = solutions.configuration([2, 3])
    with pytest.warns(match="kept1"):
        before, after = database.totals({HOSTILE: one}, HOSTILE, device)
    return tuple(map(LATENCY.of, (before, after, one.original, one.cost)))  # type: ignore[return-value]


@pytest.mark.parametrize("device", ["laptop", "pho|ne"])
def test_the_tables_have_what_the_database_says_of_the_plan(timed: Database, device: str) -> None:
    text = shown(timed, ".md")
    before, after, was, now = expected(timed, device)
    assert before != after
    title = for_markdown(f"Latency on {timed.device(device).title}")
    table = text.split(f"## {title}\n")[1].split("\n## ")[0]
    line = " | ".join(["whole network, at least", *map(LATENCY.text, (before, after)), change(1 - after / before)])
    assert line in table
    assert " | ".join([*map(LATENCY.text, (was, now)), change(1 - now / was)]) in table
    assert "half are predicted within 6.2 %, and 90 % within 18.8 %" in table
    assert "The device has no numbers for kept1: not in the sum." in table


def test_what_the_run_recorded_is_told_plan_by_plan(timed: Database) -> None:
    table = shown(timed, ".md").split("## Latency on laptop in the run\n")[1].split("\n## ")[0]
    assert "| model | allowed | predicted | measured |" in table
    assert "| original | – | 415 us | 400 us |" in table
    assert "| plan 1, too slow | 208 us | 207 us | 233 us |" in table
    assert "| chosen plan | 202 us | 201 us | 210 us |" in table
    assert "1.90 times faster." in table
    assert "no numbers for kept1: in no prediction" in table


def test_what_was_only_predicted_has_no_column_for_what_was_measured(tmp_path: Path) -> None:
    database = made(tmp_path / "space.db", RECORDED | UNMEASURED)
    table = shown(database, ".md").split("## Latency on laptop in the run\n")[1].split("\n## ")[0]
    database.close()
    assert "| model | predicted |\n" in table
    assert "| chosen plan | 201 us |" in table
    assert "1.25 times slower." in table
    assert "in no prediction" not in table


def test_the_page_and_latex_have_the_same_tables(timed: Database, tmp_path: Path) -> None:
    page = Page(write_report(timed, tmp_path / "report.html", run=1).read_text(encoding="utf-8"))
    assert "latency" in page.ids
    assert {address[1:] for address in page.loads} <= set(page.ids)
    before, after, *_ = expected(timed, "laptop")
    cells = ["whole network, at least", *map(LATENCY.text, (before, after)), change(1 - after / before)]
    assert " ".join(cells) in page.text
    assert "chosen plan 202 us 201 us 210 us" in page.text
    latex = shown(timed, ".tex")
    assert r"chosen plan & 202 us & 201 us & 210 us \\" in latex
    assert r"\label{tab:latency-2}" in latex


def test_the_csv_has_exact_picoseconds_for_each_device(timed: Database) -> None:
    rows = list(csv.DictReader(StringIO(shown(timed, ".csv"))))
    for device in ("laptop", "pho|ne"):
        _, _, was, now = expected(timed, device)
        assert (rows[0][f"latency_ps {device}"], rows[0][f"latency_ps_after {device}"]) == (str(was), str(now))
        assert (rows[1][f"latency_ps {device}"], rows[1][f"latency_ps_after {device}"]) == (str(was), "")
        assert rows[3][f"latency_ps {device}"] == ""


def test_one_device_can_be_asked_for(timed: Database) -> None:
    laptop, phone = (shown(timed, ".md", device=device) for device in ("laptop", "pho|ne"))
    assert "Latency on laptop (litert" in laptop
    assert "Latency on laptop in the run" in laptop
    assert "pho" not in laptop.split("Latency on laptop (litert")[1]
    assert "Latency on laptop" not in phone
    assert "latency_ps laptop" not in shown(timed, ".csv", device="pho|ne")
    with pytest.raises(UserError, match="unknown device 'none'"):
        content(timed, None, 1, 0, "none")


def test_a_choice_that_a_device_has_no_numbers_for_is_told(tmp_path: Path) -> None:
    database = made(tmp_path / "space.db", None)
    database.save_device(made_up_device(leave_out="pointwise"), replace=True)
    text = shown(database, ".md", device="laptop")
    database.close()
    assert "The device has no numbers for the choices of a" in text
    assert "in the run" not in text
    (line,) = [line for line in text.splitlines() if line.startswith("| whole network, at least")]
    assert line.endswith("| – | – |")


def test_without_a_run_a_device_tells_the_layers_as_they_are(tmp_path: Path) -> None:
    database = open_database(str(tmp_path / "space.db"))
    database.explore(LAYERS, name=HOSTILE, methods=["svd"])
    database.save_device(made_up_device())
    text, rows = shown(database, ".md", run=None), shown(database, ".csv", run=None)
    database.close()
    assert "| layer | latency |\n" in text
    assert "with the plan" not in text
    assert "latency_ps laptop" in rows
    assert "latency_ps_after" not in rows


@pytest.mark.parametrize("ending", WRITERS)
def test_a_database_without_a_device_has_no_latency(compressed: Database, ending: str) -> None:
    assert "latency" not in shown(compressed, ending).lower()
