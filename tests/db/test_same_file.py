"""A database that is deleted or replaced while it is written to: noticed, not told as done."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from rankline.src.db.check import check
from rankline.src.db.database import Database, open_database
from rankline.src.db.records.runs import finish_run, start_run
from rankline.src.dse.errors import UserError
from rankline.src.dse.layer import dense

LAYERS = [dense("d", 12, 10)]


def deleted(path: Path) -> None:
    path.unlink()


def replaced(path: Path) -> None:
    other = path.with_name("other.db")
    shutil.copy(path.with_name("kept.db"), other)
    os.replace(other, path)


@pytest.fixture
def database(tmp_path: Path) -> Database:
    kept = open_database(str(tmp_path / "kept.db"))
    kept.explore(LAYERS, name="kept")
    kept.close()
    return open_database(str(tmp_path / "space.db"))


@pytest.mark.parametrize("change", [deleted, replaced])
def test_exploring_into_a_file_that_is_gone_fails(
    database: Database, tmp_path: Path, change: Callable[[Path], None]
) -> None:
    """Whether it goes before the last transaction or after it."""
    path = tmp_path / "space.db"
    with pytest.raises(UserError, match=rf"space.db was {change.__name__}"):
        database.explore(LAYERS, name="net", progress=lambda *_: change(path) if path.exists() else None)
    database.close()
    assert path.exists() == (change is replaced)
    if change is replaced:
        assert check(str(path)) == 3
        assert [row.name for row in open_database(str(path)).networks()] == ["kept"]


@pytest.mark.parametrize("change", [deleted, replaced])
def test_a_run_whose_file_is_gone_fails(database: Database, tmp_path: Path, change: Callable[[Path], None]) -> None:
    database.explore(LAYERS, name="net")
    run = start_run(database.engine, database.network_id("net"), {}, seed=0)
    change(tmp_path / "space.db")
    with pytest.raises(UserError, match="while it was in use"):
        finish_run(database.engine, run, "success")
    database.close()
