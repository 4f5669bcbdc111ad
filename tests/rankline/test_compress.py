"""``rankline compress`` from the outside: how a run ends, and what is said about it."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import keras
import pytest

from rankline.cli.present.summary import write_summary
from rankline.src.db.database import open_database
from rankline.src.db.records.runs import TrialRecord
from tests.rankline.conftest import Run

OWN = """
import keras
import numpy as np


def model():
    keras.utils.set_random_seed(0)
    layers = keras.layers
    x = keras.Input((6, 6, 1))
    y = layers.Conv2D(8, 3, name="conv", trainable=False)(x)
    y = layers.Reshape((4, 32), name="rows")(y)
    y = layers.LSTM(8, name="lstm")(y)
    return keras.Model(x, layers.Dense(4, activation="softmax", name="classes")(y), name="another")


def data():
    random = np.random.default_rng(0)
    x, y = random.random((80, 6, 6, 1)), np.arange(80) % 4
    return x[:60], y[:60], x[60:], y[60:]
"""

COSTS = {"params": 10, "flops": 20, "memory_bytes": 80, "bytes_on_disk": 500, "latency_ms": 1.0}
"""Of a model, as the summary has them."""

COMPRESS = ("compress", "own_network:model", "--data", "own_network:data", "--out", "small.keras", "--epochs", "0")


@pytest.fixture
def own(run: Run, monkeypatch: pytest.MonkeyPatch) -> Run:
    Path("own_network.py").write_text(OWN)
    monkeypatch.syspath_prepend(str(Path.cwd()))
    monkeypatch.delitem(sys.modules, "own_network", raising=False)
    return run


def test_a_run_that_falls_short_says_so_and_what_was_not_tuned_or_counted(
    own: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rankline.src.compress.runs.settings.Settings.is_good", lambda *_: False)
    code, out, err = own(*COMPRESS, "--max-trials", "1")
    assert code == 0
    assert "run 1: fell short after 1 trial\n" in out
    assert "FLOPs of a sample, at least" in out
    assert "FELL SHORT: the best trial loses" in err
    assert "nor their factors were fine-tuned: conv" in err
    assert "the FLOPs of lstm are not known" in err
    assert keras.saving.load_model("small.keras").name == "another"
    found = json.loads(own(*COMPRESS, "--max-trials", "1", "--json")[1])
    assert (found["status"], found["frozen"], found["uncounted"]) == ("fell short", ["conv"], ["lstm"])
    assert {row["network"] for row in json.loads(own("runs", "--json")[1])} == {"model"}


def test_an_interrupted_run_writes_its_best_trial_and_exits_with_130(own: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(record: TrialRecord) -> None:
        if record.number == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr("rankline.src.compress.runs.settings.Settings.is_good", lambda *_: False)
    monkeypatch.setattr("rankline.cli.present.progress.tell_trial", interrupt)
    code, out, err = own(*COMPRESS)
    assert code == 130
    assert "run 1: interrupted after 2 trials" in out
    assert "INTERRUPTED: what was written is the best trial so far" in err
    assert Path("small.keras").exists()
    database = open_database("rankline.db")
    assert [row["status"] for row in database.trials(1)] == ["original", "chosen", "tried"]
    database.close()


def test_explore_and_compress_call_a_network_the_same(own: Run) -> None:
    assert own("explore", "own_network:model", "--methods", "tucker,svd", "--rank-multiple", "2")[0] == 0
    before = own("spaces", "--json")[1]
    assert own(*COMPRESS, "--max-trials", "1")[0] == 0
    assert own("spaces", "--json")[1] == before


def test_a_run_that_fell_short_goes_on_from_its_last_trial(own: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rankline.src.compress.runs.settings.Settings.is_good", lambda *_: False)
    assert own(*COMPRESS, "--max-trials", "1")[0] == 0
    Path("small.keras").unlink()
    code, out, err = own("compress", "--resume", "1", "--max-trials", "2", "--json")
    assert code == 0, err
    found = json.loads(out)
    assert (found["run"], found["status"], found["trials"]) == (1, "fell short", 2)
    assert Path("small.keras").exists()
    assert "  trial 1" not in err
    assert "  trial 2" in err
    trials = json.loads(own("runs", "show", "1", "--json")[1])
    assert [trial["number"] for trial in trials] == [0, 1, 2]
    monkeypatch.undo()


def test_a_run_that_succeeded_has_nothing_to_go_on_with(own: Run) -> None:
    assert own(*COMPRESS, "--max-drop", "100", "--max-trials", "1")[0] == 0
    assert Path("small.md").exists()
    assert not Path("rankline.db.runs").exists()
    code, out, err = own("compress", "--resume", "1")
    assert (code, out) == (2, "")
    assert err == "rankline: run 1 has succeeded; there is nothing to resume\n"


def test_a_baseline_that_falls_short_says_that_the_original_was_written(capsys: pytest.CaptureFixture[str]) -> None:
    model = {"validation_accuracy": 0.9, "test_accuracy": 0.9, **COSTS}
    found = {
        "own_layers": [],
        "run": 1,
        "status": "fell short",
        "trials": 4,
        "frozen": [],
        "uncounted": [],
        "original": model,
    }
    write_summary({**found, "compressed": model})
    assert (
        "FELL SHORT: every trial loses more than --max-drop allows; the original was written" in capsys.readouterr().err
    )
    write_summary({**found, "compressed": {**model, "params": 5, "validation_accuracy": 0.8}})
    assert "FELL SHORT: the best trial loses 10.0 points of validation accuracy, more" in capsys.readouterr().err


def test_an_original_that_knows_the_validation_samples_by_heart_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    model = {"validation_accuracy": 0.99, "test_accuracy": 0.97, **COSTS}
    found = {
        "own_layers": [],
        "run": 1,
        "status": "success",
        "trials": 4,
        "frozen": [],
        "uncounted": [],
        "compressed": model,
    }
    write_summary({**found, "original": model})
    assert capsys.readouterr().err == ""
    write_summary({**found, "original": {**model, "test_accuracy": 0.9}})
    assert "9.0 points better on the validation samples" in capsys.readouterr().err


def test_a_file_that_will_be_replaced_is_told_beforehand(own: Run) -> None:
    Path("small.keras").write_text("a model")
    Path("small.md").write_text("a page")
    err = own(*COMPRESS, "--max-drop", "100", "--max-trials", "1")[2]
    assert err.startswith("small.keras, small.md will be replaced\n")


@pytest.mark.parametrize(
    ("option", "pattern", "message"),
    [
        ("--include", "cnv*", "unknown layer 'cnv*'"),
        ("--exclude", "clases", "unknown layer 'clases'; did you mean 'classes'"),
        ("--exclude", "c*", "no layer of 'model' can be made smaller (conv: left out by include or exclude"),
    ],
)
def test_a_pattern_that_leaves_nothing_or_fits_nothing_starts_no_run(
    own: Run, option: str, pattern: str, message: str
) -> None:
    code, out, err = own(*COMPRESS, option, pattern)
    assert (code, out) == (2, "")
    assert f"rankline: {message}" in err
    assert err.count("\n") == 1
    assert json.loads(own("runs", "--json")[1]) == []


def test_a_hybrid_tells_which_search_is_made_and_leaves_nothing_behind(own: Run) -> None:
    methods = ("--conv-method", "tucker,svd", "--dense-method", "svd")
    code, _, err = own(*COMPRESS, "--strategy", "hybrid", *methods, "--max-drop", "100")
    assert code == 0, err
    told = [line.split("  ")[0].strip() for line in err.splitlines() if line.strip().startswith(("search", "orig"))]
    assert told == ["search 1 of 2: tucker + svd", "original", "search 2 of 2: svd + svd", "original", "original"]
    assert not Path("rankline.db.runs").exists()


def test_a_pruning_tells_and_shows_how_each_trial_was_made(own: Run) -> None:
    source = Path("own_network.py").read_text()
    Path("own_network.py").write_text(source.replace('layers.LSTM(8, name="lstm")', "layers.Flatten()"))
    code, _, err = own(*COMPRESS, "--strategy", "pruning", "--max-trials", "2", "--max-drop", "100")
    assert code == 0, err
    assert "criterion l1, removed 0.5" in err
    shown = own("runs", "show", "1")[1]
    assert "made by" in shown
    assert "criterion l1, removed 0.5" in shown
    assert [row["made_by"] for row in json.loads(own("runs", "show", "1", "--json")[1])][:2] == [
        {},
        {"criterion": "l1", "removed": 0.5},
    ]


def test_a_limit_that_any_model_would_keep_is_told_before_the_first_trial(own: Run) -> None:
    err = own(*COMPRESS, "--max-drop", "100", "--max-trials", "1")[2]
    lines = [line for line in err.splitlines() if "a model that knows nothing would do" in line]
    assert len(lines) == 1
    assert lines[0].startswith("note: model 'another' has an accuracy of")
    assert err.index(lines[0]) < err.index("trial 1")
    assert "knows nothing" not in own(*COMPRESS, "--metric", "loss", "--max-drop", "100", "--max-trials", "1")[2]


def test_on_a_terminal_the_parts_of_a_trial_are_seen(own: Run, screen: io.StringIO) -> None:
    code, _, err = own(*COMPRESS, "--epochs", "1", "--max-drop", "100", "--max-trials", "1")
    assert code == 0, err
    shown = screen.getvalue()
    parts = ("judging", "layers decomposed", "epochs of fine-tuning", "trial 1  accuracy", "writing")
    places = [shown.find(part) for part in parts]
    assert -1 not in places
    assert places == sorted(places)
