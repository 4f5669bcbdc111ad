"""``rankline compress`` from the outside: how a run ends, and what is said about it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import keras
import pytest

from compress.search import _Search
from db.database import open_database
from db.runs import TrialRecord
from rankline.progress import TrialProgress
from tests.rankline.conftest import Run

OWN = """
import keras
import numpy as np


def model():
    keras.utils.set_random_seed(0)
    layers = keras.layers
    x = keras.Input((6, 6, 1))
    y = layers.Conv2D(8, 3, name="conv", trainable=False)(x)
    y = layers.Reshape((4, 32))(y)
    y = layers.LSTM(8, name="lstm")(y)
    return keras.Model(x, layers.Dense(4, activation="softmax", name="classes")(y), name="another")


def data():
    random = np.random.default_rng(0)
    x, y = random.random((80, 6, 6, 1)), np.arange(80) % 4
    return x[:60], y[:60], x[60:], y[60:]
"""

CLIMB = _Search._climb


def _nothing_is_good_enough(search: _Search, wanted: float) -> str:
    return CLIMB(search, 2.0)


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
    monkeypatch.setattr("compress.search._Search._climb", _nothing_is_good_enough)
    code, out, err = own(*COMPRESS, "--max-trials", "1")
    assert code == 0
    assert "run 1: fell short after 1 trials" in out
    assert "FLOPs of a sample, at least" in out
    assert "FELL SHORT: the best trial loses" in err
    assert "nor their factors were fine-tuned: conv" in err
    assert "the FLOPs of lstm are not known" in err
    assert keras.saving.load_model("small.keras").name == "another"
    found = json.loads(own(*COMPRESS, "--max-trials", "1", "--json")[1])
    assert (found["status"], found["frozen"], found["uncounted"]) == ("fell short", ["conv"], ["lstm"])
    assert {row["network"] for row in json.loads(own("runs", "--json")[1])} == {"model"}


def test_an_interrupted_run_writes_its_best_trial_and_exits_with_130(own: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(progress: TrialProgress, record: TrialRecord) -> None:
        if record.number == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr("compress.search._Search._climb", _nothing_is_good_enough)
    monkeypatch.setattr(TrialProgress, "trial", interrupt)
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
