"""``rankline runs`` as a user meets it, and what ``rankline compress`` refuses before it starts one."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from rankline.src.compress.runs.latency import PlanLatency, device_facts
from rankline.src.compress.runs.settings import Settings
from rankline.src.db.database import Database, open_database
from rankline.src.db.records.runs import (
    CHOSEN,
    FAILED,
    FELL_SHORT,
    ORIGINAL,
    RUNNING,
    SUCCESS,
    TRIED,
    LayerRecord,
    TrialRecord,
    finish_run,
    record_trial,
    start_run,
)
from rankline.src.dse.configuration import Configuration
from rankline.src.dse.cost import Cost
from rankline.src.dse.layer import conv, dense
from tests.helpers.devices import elsewhere
from tests.rankline.conftest import Run

LAYERS = [conv("conv", (3, 3), 8, 12, (8, 8)), dense("dense", 48, 10)]
BEFORE = Cost(1500, 900, 90_000)

SEARCHED = [
    TrialRecord(0, ORIGINAL, 0.98, 0.1, BEFORE, 0.5, ()),
    TrialRecord(
        1, FAILED, None, None, Cost(100, 950, 9_000), 2.0,
        (
            LayerRecord("conv", Configuration("tucker", (1, 1)), Cost(29, 950, 9_000), None, 0.9),
            LayerRecord("dense", Configuration("svd", (1,)), Cost(58, 11, 116), None, 0.8),
        ),
    ),
    TrialRecord(
        2, CHOSEN, 0.97, 0.12345, Cost(700, 940, 40_000), 3.25,
        (
            LayerRecord("conv", Configuration("tucker", (4, 6)), Cost(320, 940, 39_000), 0.93124, 0.25),
            LayerRecord("dense", None, Cost(480, 10, 960), 1.0, 0.0),
        ),
        0.75, 0.5,
    ),
]  # fmt: skip
"""A search: its first trial diverged, its second was good, with the dense layer as it was."""


@pytest.fixture
def recorded(run: Run) -> Iterator[Database]:
    """Three runs in rankline.db: a search, VBMF that fell short, and one that has only just started."""
    database = open_database("rankline.db")
    database.explore(LAYERS, name="net")
    owner = database.network_id("net")
    plain = asdict(Settings(seed=3))
    request = {"strategy": "similarity", "methods": {}, "model": "net.keras", "data": "digits", "out": None}
    one = start_run(database.engine, owner, {**plain, "data": "digits", "request": request}, 3)
    for trial in SEARCHED:
        record_trial(database.engine, one, trial)
    finish_run(database.engine, one, SUCCESS, 0.96, 0.2, 0.975)
    two = start_run(database.engine, owner, {**plain, "data": "digits", "max_drop": 0.0, "strategy": "vbmf"}, 0)
    record_trial(database.engine, two, SEARCHED[0])
    record_trial(database.engine, two, TrialRecord(1, TRIED, 0.5, 2.0, Cost(800, 900, 50_000), 1.0, ()))
    finish_run(database.engine, two, FELL_SHORT, 0.975, 0.2, 0.975)
    start_run(database.engine, owner, plain, 0)
    yield database
    database.close()


def rows_of(out: str) -> list[list[str]]:
    """The cells of a table's rows, two blanks or more apart."""
    return [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in out.splitlines() if line.strip()]


def test_runs_lists_them_with_how_they_were_made_and_ended(recorded: Database, run: Run) -> None:
    code, out, _ = run("runs")
    title, columns, _, *rows = rows_of(out)
    assert (code, title) == (0, ["3 runs"])
    assert columns == ["id", "network", "strategy", "methods", "status", "trials", "test accuracy", "seed", "started"]
    assert rows[0][:8] == ["1", "net", "similarity", "tucker svd", "success", "2", "96.0 %", "3"]
    assert rows[1][:5] == ["2", "net", "vbmf", "fell short", "1"]
    assert rows[2][:6] == ["3", "net", "similarity", "tucker svd", "running", "0"]
    found = json.loads(run("runs", "--json")[1])
    assert [(row["id"], row["status"]) for row in found] == [(1, SUCCESS), (2, FELL_SHORT), (3, RUNNING)]
    assert found[0]["settings"]["conv_method"] == "tucker"


def test_runs_show_has_every_trial_and_layer(recorded: Database, run: Run) -> None:
    code, out, _ = run("runs", "show", "1")
    rows = rows_of(out)
    assert code == 0
    assert ["0", "original", "98.0 %", "0.1000", "1,500", "90,000", "0.5", "–"] in rows
    assert ["1", "failed", "–", "–", "100", "9,000", "2.0", "–"] in rows
    assert ["2", "chosen", "97.0 %", "0.1235", "700", "40,000", "3.2", "0.8"] in rows
    assert ["1", "conv", "tucker", "1x1", "29", "96.6 %", "–", "90.0 %"] in rows
    assert ["2", "conv", "tucker", "4x6", "320", "63.0 %", "0.931", "25.0 %"] in rows
    assert ["2", "dense", "as it was", "480", "0.0 %", "–", "–"] in rows
    found = json.loads(run("runs", "show", "1", "--json")[1])
    assert [trial["metric"] for trial in found] == [None, None, 0.5]
    assert found[2]["construct_seconds"] == 0.75
    assert [layer["ranks"] for layer in found[2]["layers"]] == [[4, 6], None]


def csv_of(out: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(out)))


def test_runs_are_told_to_machines_as_csv(recorded: Database, run: Run) -> None:
    rows = csv_of(run("runs", "--csv")[1])
    assert [(row["id"], row["status"], row["test accuracy"]) for row in rows] == [
        ("1", SUCCESS, "0.96"), ("2", FELL_SHORT, "0.975"), ("3", RUNNING, ""),
    ]  # fmt: skip
    rows = csv_of(run("runs", "show", "1", "--csv")[1])
    assert [(row["trial"], row["layer"]) for row in rows] == [
        ("0", ""), ("1", "conv"), ("1", "dense"), ("2", "conv"), ("2", "dense"),
    ]  # fmt: skip
    assert (rows[3]["params"], rows[3]["layer's params"], rows[3]["similarity"]) == ("700", "320", "0.93124")
    assert csv_of(run("runs", "show", "3", "--csv")[1]) == []
    rows = csv_of(run("runs", "compare", "1", "2", "--csv")[1])
    assert {row["what"] for row in rows} == {"setting", "model", "layer"}
    (params,) = [row for row in rows if row["name"] == "params"]
    assert (params["run 1"], params["run 2"]) == ("700", "1500")
    assert "give --csv after the command: rankline runs show --csv" in run("runs", "--csv", "show", "1")[2]


def test_latencies_on_record_are_told_predicted_and_measured(recorded: Database, run: Run) -> None:
    facts = {**asdict(Settings(objective="latency")), **device_facts(elsewhere())}
    number = start_run(recorded.engine, recorded.network_id("net"), facts, 0)
    times = [
        PlanLatency("board", 9_000_000, 9_000_000),
        PlanLatency("board", 9_000_000, 5_000_000, 8_400_000, 6_000_000),
    ]
    for one, latency in zip((SEARCHED[0], SEARCHED[2]), times, strict=True):
        made_by = {"latency": latency.as_dict()}
        record_trial(recorded.engine, number, replace(one, number=times.index(latency), made_by=made_by))
    finish_run(recorded.engine, number, SUCCESS, 0.96, 0.2, 0.975)
    assert "1.40 times faster on board" in run("runs")[1]
    out = run("runs", "show", str(number))[1]
    assert f"run {number}, latencies on {elsewhere().title}" in out
    assert rows_of(out)[3][-3:] == ["9 us", "–", "1.00"]
    assert rows_of(out)[4][-3:] == ["5 us", "6 us", "1.40"]
    assert "{" not in out
    rows = csv_of(run("runs", "show", str(number), "--csv")[1])
    assert [row["predicted latency (ps)"] for row in rows] == ["9000000", "5000000", "5000000"]
    assert [row["measured latency (ps)"] for row in rows] == ["", "6000000", "6000000"]
    shown = run("runs", "compare", "1", str(number))[1]
    assert elsewhere().title in shown
    assert "digest" not in shown


def test_a_run_without_layers_or_trials_is_shown_too(recorded: Database, run: Run) -> None:
    assert "its layers" not in run("runs", "show", "2")[1]
    assert run("runs", "show", "3")[0] == 0
    assert json.loads(run("runs", "show", "3", "--json")[1]) == []


def test_runs_compare_puts_settings_models_and_layers_side_by_side(recorded: Database, run: Run) -> None:
    code, out, _ = run("runs", "compare", "1", "2")
    rows = rows_of(out)
    assert code == 0
    assert ["max_drop", "0.015", "0.0"] in rows
    assert ["strategy", "similarity", "vbmf"] in rows
    assert ["status", "success", "fell short"] in rows
    assert not [row for row in rows if row[0] in ("data", "network", "objective", "request")]
    assert ["params", "700", "1,500"] in rows
    assert ["test accuracy", "96.0 %", "97.5 %"] in rows
    assert ["conv", "tucker 4x6", "–"] in rows
    assert ["dense", "as it was", "–"] in rows
    found = json.loads(run("runs", "compare", "1", "2", "--json")[1])
    assert set(found) == {"1", "2"}
    assert found["1"]["trial"]["status"] == CHOSEN
    assert found["2"]["trial"]["status"] == ORIGINAL


def test_runs_of_two_networks_are_told_apart(recorded: Database, run: Run) -> None:
    recorded.explore(LAYERS[:1], name="other")
    other = start_run(recorded.engine, recorded.network_id("other"), asdict(Settings(seed=3)), 3)
    record_trial(recorded.engine, other, SEARCHED[0])
    assert ["network", "net", "other"] in rows_of(run("runs", "compare", "1", str(other))[1])


def test_runs_export_writes_all_that_is_on_record(recorded: Database, run: Run) -> None:
    code, out, err = run("runs", "export", "1", "run.json")
    assert (code, out, err) == (0, "", "wrote run 1 with 3 trials to run.json\n")
    found = json.loads(Path("run.json").read_text())
    (row,) = [row for row in recorded.runs() if row["id"] == 1]
    assert found == {**row, "trials": json.loads(run("runs", "show", "1", "--json")[1])}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("show", "7"), "there is no run 7; the database has runs: 1, 2, 3"),
        (("compare", "1", "7"), "there is no run 7"),
        (("compare", "1", "3"), "run 3 has no trial yet"),
        (("export", "7", "run.json"), "there is no run 7"),
        (("export", "1", "run.csv"), "a run is exported as .json; got 'run.csv'"),
        (("export", "1", "absent/run.json"), "cannot write absent/run.json"),
        (("--db", "other.db", "show", "1"), "give --db after the command: rankline runs show --db"),
        (("--json", "show", "1"), "give --json after the command: rankline runs show --json"),
        (("show", "1", "--db", "absent.db"), "no database at"),
    ],
)
def test_a_mistake_is_answered_in_one_line(
    recorded: Database, run: Run, arguments: tuple[str, ...], message: str
) -> None:
    code, out, err = run("runs", *arguments)
    assert (code, out) == (2, "")
    assert err.startswith(f"rankline: {message}")
    assert err.count("\n") == 1
    assert not Path("run.json").exists()


def test_a_database_without_runs_says_so(run: Run) -> None:
    open_database("rankline.db").explore(LAYERS, name="net")
    assert run("runs")[1].startswith("0 runs\n")
    assert run("runs", "--json")[1] == "[]\n"
    code, _, err = run("runs", "show", "1")
    assert (code, err) == (2, "rankline: there is no run 1; the database has runs: none\n")


def test_the_database_may_come_from_the_environment(
    recorded: Database, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RANKLINE_DB", str(Path("rankline.db").absolute()))
    assert run("runs", "show", "1", "--json")[0] == 0


NEW = ("compress", "zoo:lenet5", "--data", "digits", "--out", "small.keras")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("compress",), "compress needs MODEL, --data and --out (or --resume RUN)"),
        (("compress", "--data", "digits", "--out", "small.keras"), "compress needs MODEL"),
        (("compress", "zoo:lenet5", "--data", "digits"), "compress needs MODEL, --data and --out"),
        (("compress", "zoo:lenet5", "--resume", "1"), "--resume takes the model, data, file and settings of the run; "),
        (("compress", "zoo:lenet5", "--resume", "1"), "leave out MODEL"),
        (("compress", "--data", "digits", "--resume", "1"), "--resume takes the model"),
        (("compress", "--resume", "1", "--max-drop", "3", "--seed", "1"), "leave out --max-drop, --seed"),
        (("compress", "--resume", "1"), "run 1 has succeeded; there is nothing to resume"),
        (("compress", "--resume", "2"), "run 2 is not a single search and can't be resumed; start it again"),
        (("compress", "--resume", "7"), "there is no run 7; the database has runs: 1, 2, 3"),
        (("compress", "--resume", "1", "--db", "absent.db"), "no database at"),
        ((*NEW, "--strategy", "hybird"), "unknown strategy 'hybird'; did you mean 'hybrid'"),
        ((*NEW, "--metric", "los"), "unknown metric 'los'; did you mean 'loss'"),
        ((*NEW, "--fine-tune", "layerwise"), "unknown schedule 'layerwise'. Possible: iterative, one-shot"),
        ((*NEW, "--objective", "size"), "unknown objective 'size'"),
        ((*NEW, "--drop-smallest", "100"), "drop_smallest must be a fraction from 0 to below 1"),
        ((*NEW, "--budget-trials", "0"), "max_trials must be at least 1"),
        ((*NEW, "--budget-minutes", "0"), "max_minutes must be above 0"),
        ((*NEW, "--conv-method", "tucker,svd"), "strategy similarity takes one method for conv layers"),
        ((*NEW, "--conv-method", ","), "--conv-method takes names separated by commas"),
        ((*NEW, "--strategy", "hybrid", "--conv-method", "tucker,tuker"), "did you mean 'tucker'"),
        ((*NEW, "--jobs", "2"), "jobs is the number of a hybrid's searches in parallel; leave it out with"),
        (("compress", "--resume", "1", "--jobs", "2"), "leave out --jobs"),
    ],
    ids=lambda value: "" if isinstance(value, str) else " ".join(value)[-50:],
)  # fmt: skip
def test_what_cannot_be_asked_of_compress_is_refused_in_one_line_and_starts_nothing(
    recorded: Database, run: Run, arguments: tuple[str, ...], message: str
) -> None:
    before = recorded.runs()
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert message in err
    assert err.startswith("rankline: ")
    assert err.count("\n") == 1
    assert recorded.runs() == before
    assert sorted(path.name for path in Path().glob("*.keras")) == []


def test_flops_that_are_not_known_are_told_of(run: Run) -> None:
    layers = [
        {"name": "known", "kind": "dense", "in_channels": 24, "out_channels": 16},
        {"name": "opaque", "kind": "lstm", "kept_because": "a recurrent layer", "kept_params": 36, "kept_fm": 4},
    ]
    database = open_database("rankline.db")
    database.explore(layers, name="net")
    number = start_run(database.engine, database.network_id("net"), {}, 0)
    record_trial(database.engine, number, TrialRecord(0, "original", 0.9, 0.2, Cost(420, 20, 768), 0.1, ()))
    _, out, err = run("runs", "show", "1")
    assert "FLOPs, at least" in out
    assert "the FLOPs of opaque are not known, and not in the sums" in err
    assert json.loads(run("runs", "show", "1", "--json")[1])[0]["is_whole"] is False
    assert "the FLOPs of opaque are not known" in run("layers")[2]
    assert json.loads(run("query", "--json")[1])["is_whole"] is False
