"""Rows of the database: the same by attribute, by name and as plain values for machines."""

from __future__ import annotations

import json
from dataclasses import FrozenInstanceError

import pytest

from rankline.src.db.database import Database
from rankline.src.db.records.row import Row
from rankline.src.db.records.runs import LayerRecord, TrialRecord, record_trial, start_run
from rankline.src.dse.configuration import Configuration
from rankline.src.dse.cost import Cost
from rankline.src.dse.layer import Layer, conv, dense

KEPT = Layer("k", "lstm", 0, 0, kept_because="no method for it", kept_params=9)
LAYERS = [conv("c", (3, 3), 4, 6, (8, 8)), dense("d", 12, 10), KEPT]


@pytest.fixture
def recorded(database: Database) -> Database:
    """A network with a run of one trial."""
    database.explore(LAYERS, name="net")
    run = start_run(database.engine, database.network_id("net"), {"objective": "params"}, seed=3)
    layers = (LayerRecord("c", Configuration("svd", (2,)), Cost(9, 8, 7)), LayerRecord("d", None, Cost(120, 10, 240)))
    record_trial(database.engine, run, TrialRecord(1, "tried", 0.5, 0.1, Cost(3, 2, 1), 0.25, layers))
    return database


def rows_of(database: Database) -> list[Row]:
    listed = database.networks(), database.layers(), database.spaces(), database.runs(), database.trials(1)
    return [one for rows in listed for one in rows]


def test_a_row_is_the_same_by_name_as_a_dict_and_for_machines(recorded: Database) -> None:
    for row in rows_of(recorded):
        assert {name: row[name] for name in row} == dict(row) == {**row} == row.as_dict()
        assert json.loads(json.dumps(row.as_dict())).keys() == row.keys()
        with pytest.raises(KeyError):
            row["nothing"]
        with pytest.raises(FrozenInstanceError):
            row.status = "changed"  # type: ignore[attr-defined]


def test_a_trial_has_the_keys_that_machines_read_in_their_order(recorded: Database) -> None:
    (trial,) = recorded.trials(1)
    names = (
        "id run number status accuracy loss params fm flops is_whole seconds construct_seconds metric made_by layers"
    )
    assert list(trial.as_dict()) == names.split()
    factorized, as_it_was = trial.as_dict()["layers"]
    assert list(factorized) == ["layer", "method", "ranks", "shape", "params", "fm", "flops", "similarity", "error"]
    assert (factorized["method"], factorized["ranks"], factorized["flops"]) == ("svd", [2], 7)
    assert (as_it_was["method"], as_it_was["ranks"]) == (None, None)


def test_a_layer_row_is_the_layer_that_was_explored(recorded: Database) -> None:
    assert recorded.layer_shapes() == LAYERS


def test_what_is_not_known_of_a_cost_counts_nothing(recorded: Database) -> None:
    kept = recorded.layers()[-1]
    assert (kept.params, kept.fm, kept.flops) == (9, None, None)
    assert kept.cost == Cost(9, 0, 0)
