"""``db check`` calls nothing sound that isn't, and ``db backup`` copies nothing that isn't."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from pathlib import Path

import pytest

from rankline.src.db.check import check
from rankline.src.db.database import open_database
from rankline.src.db.records.error_tables import WEIGHTS, store_errors
from rankline.src.db.records.runs import SUCCESS, LayerRecord, TrialRecord, finish_run, record_trial, start_run
from rankline.src.db.upgrade import backup, upgrade
from rankline.src.db.views import views
from rankline.src.dse.configuration import Configuration
from rankline.src.dse.cost import Cost
from rankline.src.dse.errors import UserError
from rankline.src.dse.layer import conv, dense
from tests.helpers.devices import made_up_device
from tests.helpers.error_tables import made_up

LAYERS = [conv("c1", (3, 3), 4, 6, (8, 8)), conv("c2", (3, 3), 4, 6, (8, 8)), dense("d", 12, 10)]
SCHEMAS = Path(__file__).parent / "schemas"


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with every kind of row, in which two networks share spaces and one space is no longer in use."""
    path = tmp_path_factory.mktemp("check") / "sound.db"
    database = open_database(str(path))
    database.explore(LAYERS, name="net", methods=["svd"])
    database.explore(LAYERS, name="net")
    database.explore(LAYERS[:1], name="other", methods=["tucker"])
    run = start_run(database.engine, database.network_id("net"), {"objective": "params"}, seed=1)
    layers = (LayerRecord("c1", Configuration("tucker", (2, 3)), Cost(80, 700, 9000), 0.9, 0.2),)
    record_trial(database.engine, run, TrialRecord(0, "original", 0.9, 0.3, Cost(300, 900, 10_000), 1.5, layers))
    finish_run(database.engine, run, SUCCESS, 0.9, 0.3, 0.95)
    database.save_device(made_up_device())
    store_errors(database.engine, 1, "tucker", WEIGHTS, "digest", made_up(LAYERS[0], "tucker", seed=3))
    database.close()
    return path


@pytest.fixture
def path(sound: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(sound, tmp_path / "space.db"))


def changed(path: Path, sql: str) -> Path:
    connection = sqlite3.connect(path)
    connection.executescript(sql)
    connection.close()
    return path


def test_a_sound_one_is_called_so_and_copied(path: Path) -> None:
    assert check(str(path)) == 8
    assert check(str(backup(str(path), path.with_name("copy.db")))) == 8
    changed(path, "CREATE TABLE notes (x); CREATE VIEW mine AS SELECT * FROM network; ANALYZE")
    assert check(str(path)) == 8


@pytest.mark.parametrize("stored", sorted(SCHEMAS.glob("*.db")), ids=lambda path: path.stem)
def test_one_that_was_upgraded_is_as_sound_as_one_that_was_made_now(stored: Path, tmp_path: Path) -> None:
    path = Path(shutil.copy(stored, tmp_path / "old.db"))
    upgrade(str(path))
    assert check(str(path)) == 8


OTHER_VIEW = views("sqlite")["configuration"].replace("line.p1", "2")

DAMAGES = {
    "DROP TABLE trial_layer": "the table trial_layer is missing",
    "DROP VIEW configuration": "the view configuration is missing",
    "DROP INDEX ix_run_network": "the index ix_run_network is missing",
    "ALTER TABLE trial DROP COLUMN metric": "the table trial differs",
    "ALTER TABLE run ADD COLUMN more TEXT": "the table run differs",
    f"DROP VIEW configuration; {OTHER_VIEW}": "the view configuration differs",
    "CREATE TRIGGER t AFTER INSERT ON run BEGIN DELETE FROM trial; END": "it has a trigger t",
    "DELETE FROM layer_space": "the layers of network 'net' have 0 spaces, 13 on record",
    "DELETE FROM layer_space WHERE layer = 2": "the layers of network 'net' have 8 spaces",
    "DELETE FROM layer_space WHERE layer = 3; DELETE FROM layer WHERE id = 3": "network 'net' has 2 layers, 3 on reco",
    "DELETE FROM line WHERE id % 16777216 = 1": r"has n_lines 23 on its lines, 24 on record",
    "UPDATE line SET use_hi = use_hi - 1 WHERE use_hi > 2": "has n_useful",
    "UPDATE space SET n_total = n_total + 1 WHERE id = 3": "has n_total",
    "DELETE FROM space WHERE id = 3": "belongs to a row of space that is not there",
    "DELETE FROM run": "a row of trial belongs to a row of run that is not there",
    "DELETE FROM layer_space; DELETE FROM space": "belongs to a row of space that is not there",
    "DELETE FROM trial": "a row of trial_layer belongs to a row of trial",
    "UPDATE line SET id = id + 200 * 16777216 WHERE space = 2": "a line's id is not among those of its space",
    "DELETE FROM rank WHERE r = 2": "numbers are missing in the table rank",
    "DELETE FROM rank WHERE r > 3": "numbers are missing in the table rank",
    "UPDATE trial_layer SET method = 'foo', ranks = '['": "a layer of trial 1 can't be read",
    "UPDATE trial_layer SET ranks = '[null]'": "a layer of trial 1 can't be read",
    "UPDATE network SET name = '' WHERE id = 2": "network 2 has no name",
    "UPDATE layer SET name = 'a' || char(0) WHERE id = 2": "layer 2 has no name",
    "UPDATE trial_layer SET layer = (SELECT max(id) FROM layer)": "a trial has a layer of another network",
    "UPDATE layer_space SET space = 8 WHERE layer = 1 AND space = 1": "is not one of layer 'c1'",
    "UPDATE layer SET kernel = '[3,' WHERE id = 1": r"layer 1 \('c1'\) can't be read",
    "UPDATE space SET options = '{}' WHERE id = 1": "space 1 can't be read",
    "UPDATE space SET method = 'cp' WHERE id = 1": "a layer has two spaces of one method",
    "UPDATE space SET method = 'other' WHERE id = 1": "space 1 is one of svd, not of other",
    "UPDATE run SET settings = 'x'": "run 1 can't be read",
    "UPDATE run SET status = 'x'": "run 1 can't be read",
    "UPDATE spectrum SET \"table\" = x'00'": "the errors of spectrum 1 can't be read",
    "UPDATE device SET numbers = '{'": "device 'laptop' can't be read: not JSON",
    "UPDATE device SET numbers = '{\"core\": 1}'": "device 'laptop' can't be read: 'core' must be an object",
    "UPDATE device SET name = 'a' || char(27)": "device 'a.*' can't be read: 'name' must be text",
    "UPDATE device SET measured = x'00'": "device 'laptop' can't be read: ",
    "UPDATE device SET measured = substr(measured, 1, 90)": "its measurements are cut short",
    "UPDATE device SET tile = 0": "device 'laptop' can't be read: 'tile' must be a whole number from 1",
    "UPDATE device SET tile = 8": "the latencies of space 1 on device 'laptop' are not those of its numbers",
    "UPDATE latency SET per_t1 = per_t1 + 1 WHERE space = 2": "the latencies of space 2 on device 'laptop' are not",
    "DELETE FROM latency WHERE shape = '5x2:3x4'": "the latencies of space .* on device 'laptop' are not",
    "DELETE FROM device": "a row of latency belongs to a row of device that is not there",
    "DROP VIEW configuration_latency": "the view configuration_latency is missing",
}  # fmt: skip


@pytest.mark.parametrize("sql", DAMAGES, ids=lambda sql: sql[:60])
def test_what_is_damaged_is_named_and_not_copied(path: Path, sql: str) -> None:
    changed(path, sql)
    with pytest.raises((RuntimeError, UserError), match=f"damaged: .*{DAMAGES[sql]}"):
        check(str(path))
    with pytest.raises(RuntimeError, match=DAMAGES[sql]):
        backup(str(path), path.with_name("copy.db"))
    assert not list(path.parent.glob("*copy*"))


def test_damaged_pages_are_found_and_not_copied(path: Path) -> None:
    older = backup(str(path), path.with_name("older.db"))
    kept = older.read_bytes()
    content = bytearray(path.read_bytes())
    middle = len(content) // 4096 // 2 * 4096
    content[middle : middle + 4096] = os.urandom(4096)
    path.write_bytes(content)
    with pytest.raises((RuntimeError, UserError), match=r"damaged|malformed"):
        check(str(path))
    for target in (path.with_name("copy.db"), older):
        with pytest.raises((RuntimeError, UserError)):
            backup(str(path), target)
    assert older.read_bytes() == kept
    assert not list(path.parent.glob("*copy*"))


def test_a_file_cut_to_nothing_is_not_sound_and_stays_empty(path: Path) -> None:
    os.truncate(path, 0)
    with pytest.raises(UserError, match="is empty"):
        check(str(path))
    assert path.stat().st_size == 0


def test_the_definition_of_a_space_that_was_lost_is_not_needed(path: Path) -> None:
    """Exploring with other options leaves a space that no layer has: that is no damage."""
    from rankline.src.dse.options import Options

    database = open_database(str(path))
    database.explore(LAYERS, name="net", methods=["tucker"], options=Options(rank_multiple=2))
    database.close()
    assert check(str(path)) == 9
    with sqlite3.connect(path) as connection:
        (options,) = connection.execute("SELECT options FROM space WHERE id = 9").fetchone()
    assert json.loads(options)["rank_multiple"] == 2
