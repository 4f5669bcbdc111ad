"""A run that is killed, however often, ends with the same model as one that is not."""

from __future__ import annotations

import multiprocessing
import random
import signal
from pathlib import Path

import numpy as np
import pytest

from rankline.src.compress.runs.checkpoints import Checkpoints, checkpoints_of
from rankline.src.compress.runs.run import Run
from rankline.src.db.database import open_database
from rankline.src.db.records.runs import FAILED, FELL_SHORT, finish_run
from rankline.src.dse.errors import UserError
from tests.helpers import killed

KILLS = 10


def first_run(location: Path) -> int | None:
    """The run in the database, if it has come so far."""
    if not location.exists():
        return None
    database = open_database(str(location))
    ids = [row["id"] for row in database.runs()]
    database.close()
    return ids[0] if ids else None


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("network") / "killed.keras"
    killed.model().save(path)
    return str(path)


@pytest.fixture(scope="module")
def undisturbed(network: str, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return killed.compressed(network, str(tmp_path_factory.mktemp("undisturbed") / "space.db"))


def test_killed_ten_times_a_run_ends_with_the_same_model_and_trials(
    network: str, undisturbed: Run, tmp_path: Path
) -> None:
    moments = random.Random(1)
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(["tests.helpers.killed"])
    folders = iter(tmp_path / str(number) for number in range(KILLS))
    location = next(folders) / "space.db"
    location.parent.mkdir()
    kills = 0
    while kills < KILLS:
        process = processes.Process(target=killed.compressed, args=(network, str(location), first_run(location)))
        process.start()
        process.join(timeout=moments.uniform(0.2, 3))
        process.kill()  # which does nothing where it has just ended
        process.join()
        if process.exitcode == -signal.SIGKILL:
            kills += 1
            continue
        assert process.exitcode == 0
        check(location, undisturbed)
        location = next(folders) / "space.db"
        location.parent.mkdir()
    run = first_run(location)
    killed.compressed(network, str(location), run)
    check(location, undisturbed)


def check(location: Path, undisturbed: Run) -> None:
    """The recorded trials and the kept models are those of the undisturbed run."""
    database = open_database(str(location))
    (row,) = database.runs()
    trials = database.trials(row["id"])
    assert [trial["number"] for trial in trials] == list(range(len(undisturbed.trials)))
    for trial, wanted in zip(trials, undisturbed.trials, strict=True):
        assert (trial["status"], trial["accuracy"], trial["loss"]) == (wanted.status, wanted.accuracy, wanted.loss)
        ours = [(one["layer"], one["method"], one["ranks"], one["similarity"]) for one in trial["layers"]]
        assert ours == [(one.layer, one.method, one.ranks and list(one.ranks), one.similarity) for one in wanted.layers]
    kept = checkpoints_of(str(location), row["id"])
    assert kept is not None
    ours = kept.load(undisturbed.chosen.number).get_weights()
    for one, other in zip(ours, undisturbed.model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    database.close()


def test_a_run_that_fell_short_goes_on_with_more_trials(network: str, undisturbed: Run, tmp_path: Path) -> None:
    assert undisturbed.status == FELL_SHORT
    location = str(tmp_path / "space.db")
    few = killed.compressed(network, location, max_trials=2)
    assert [trial.number for trial in few.trials] == [0, 1, 2]
    more = killed.compressed(network, location, resume=few.id)
    assert [trial.accuracy for trial in more.trials] == [trial.accuracy for trial in undisturbed.trials]
    assert more.id == few.id


def test_a_run_of_other_settings_is_not_gone_on_with(network: str, tmp_path: Path) -> None:
    location = str(tmp_path / "space.db")
    run = killed.compressed(network, location, max_trials=1)
    with pytest.raises(UserError, match="another model, data or settings"):
        killed.compressed(network, location, resume=run.id, seed=4)


def test_a_second_process_is_refused(network: str, tmp_path: Path) -> None:
    location = str(tmp_path / "space.db")
    run = killed.compressed(network, location, max_trials=1)
    held = checkpoints_of(location, run.id)
    assert held is not None
    database = open_database(location)
    finish_run(database.engine, run.id, FELL_SHORT)
    with held.locked(), pytest.raises(UserError, match="another process"):
        killed.compressed(network, location, resume=run.id)
    assert database.runs()[0]["status"] == FELL_SHORT
    database.close()


def test_a_full_disk_ends_the_run_which_then_goes_on(
    network: str, undisturbed: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    location = str(tmp_path / "space.db")
    save = Checkpoints.save

    def full(self: Checkpoints, number: int, model: object) -> None:
        if number == 2:
            raise UserError("cannot write trial: No space left on device")
        save(self, number, model)  # type: ignore[arg-type]

    with monkeypatch.context() as patched:
        patched.setattr(Checkpoints, "save", full)
        with pytest.raises(UserError, match="No space left"):
            killed.compressed(network, location)
    run = killed.compressed(network, location, resume=1)
    assert [trial.loss for trial in run.trials] == [trial.loss for trial in undisturbed.trials]


def test_a_new_run_whose_models_cannot_be_kept_has_failed(network: str, tmp_path: Path) -> None:
    location = tmp_path / "space.db"
    location.with_name("space.db.runs").write_text("in the way")
    with pytest.raises(UserError, match="cannot write checkpoints to"):
        killed.compressed(network, str(location))
    database = open_database(str(location))
    assert [row["status"] for row in database.runs()] == [FAILED]
    database.close()
