"""The public calls: settings plus changes, names and files opened, and one tiny model through each of them."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest

import rankline
from rankline.src.compress.data.sets import load
from rankline.src.db.records.runs import SUCCESS
from tests.helpers.digits_net import digits_net

pytestmark = pytest.mark.filterwarnings("ignore::rankline.src.compress.fit.covariance.CalibrationWarning")

X = np.random.default_rng(0).integers(0, 17, size=(200, 8, 8, 1)).astype("float32")
Y = np.arange(200) % 10


@pytest.fixture(scope="module")
def model() -> keras.Model:
    """A tiny network with random weights: what it knows is of no matter here."""
    keras.utils.set_random_seed(0)
    return digits_net()


def test_a_compression_ends_in_a_file_a_plan_a_card_and_a_record(model: keras.Model, tmp_path: Path) -> None:
    database, out = str(tmp_path / "space.db"), tmp_path / "small.keras"
    tuned = rankline.FineTuning(epochs=0)
    done = rankline.compress(model, (X, Y, X, Y), database, name="net", out=out, max_drop=1.0, fine_tuning=tuned)
    assert done.run.status == SUCCESS
    assert keras.saving.load_model(out).count_params() == done.run.chosen.cost.params < model.count_params()
    assert [one.exists() for one in done.delivered.files] == [True] * 3
    (row,) = rankline.open(database).runs()
    assert (row["network"], row["status"], row["trials"]) == ("net", SUCCESS, 1)


def test_a_budget_is_kept_by_the_file(model: keras.Model, tmp_path: Path) -> None:
    database, out = str(tmp_path / "space.db"), tmp_path / "half.keras"
    done = rankline.budget(model, X, database, name="net", out=out, keep_flops=0.5, methods=("svd", "tucker"))
    assert done.points[0].trial.cost.flops <= 0.5 * done.total.flops
    assert keras.saving.load_model(out).count_params() == done.points[0].trial.cost.params


def test_changes_are_fields_of_the_settings_that_are_given(model: keras.Model) -> None:
    settings = rankline.BudgetSettings(methods=("svd",), value="uniform")
    one = rankline.allocate(model, X, settings=settings, keep_params=0.5)
    other = rankline.allocate(model, X, methods=("svd",), value="uniform", keep_params=0.5)
    assert one.plan == other.plan
    assert {choice.method for choice in one.plan.values()} == {"svd"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"max_dop": 0.1}, "unknown setting 'max_dop'; did you mean 'max_drop'?"),
        ({"strategy": "hybird"}, "unknown strategy 'hybird'; did you mean 'hybrid'?"),
        ({"jobs": 2}, "jobs is the number of a hybrid's searches in parallel"),
        ({"methods": {"conv": ("tucker", "cp")}}, "strategy similarity takes one method for conv layers"),
    ],
)
def test_a_name_or_value_that_is_none_is_refused_before_the_model_is_read(
    changes: dict[str, object], message: str
) -> None:
    with pytest.raises(rankline.UserError, match=message.replace("?", r"\?")):
        rankline.compress("absent.keras", load("digits"), **changes)


def test_a_budget_of_no_metric_is_refused_with_those_that_there_are(model: keras.Model) -> None:
    with pytest.raises(rankline.UserError, match="unknown budget 'flop'; did you mean 'flops'"):
        rankline.allocate(model, X, keep_flop=0.5)
