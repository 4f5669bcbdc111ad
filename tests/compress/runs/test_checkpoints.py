"""Checkpoints that nobody will need: cleared by the next run, even where their own was killed before."""

from __future__ import annotations

from pathlib import Path

from rankline.src.compress.runs.checkpoints import Checkpoints, checkpoints_of, clear_finished
from rankline.src.db.database import open_database
from rankline.src.db.records.runs import FELL_SHORT, INTERRUPTED, SUCCESS, finish_run, start_run
from rankline.src.dse.layer import dense


def test_only_those_of_a_delivered_run_that_nobody_works_on_are_cleared(tmp_path: Path) -> None:
    database = open_database(str(tmp_path / "space.db"))
    database.explore([dense("d", 12, 10)], name="net", methods=["svd"])
    asked = {"request": {"strategy": "similarity"}}
    kept: dict[str, Checkpoints] = {}
    for name, settings, status in (
        ("delivered", asked, SUCCESS),
        ("worked on", asked, SUCCESS),
        ("a hybrid's", {}, SUCCESS),
        ("fell short", asked, FELL_SHORT),
        ("interrupted", asked, INTERRUPTED),
    ):
        run = start_run(database.engine, database.network_id("net"), settings, seed=0)
        finish_run(database.engine, run, status)
        found = checkpoints_of(database.location, run)
        assert found is not None
        kept[name] = found
        found.folder.mkdir(parents=True)
        (found.folder / "trial-0001.keras").touch()
    with kept["worked on"].locked():
        clear_finished(database)
    assert [name for name, one in kept.items() if not one.folder.exists()] == ["delivered"]
    database.close()
