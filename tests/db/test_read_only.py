"""A database that is opened to be read only."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from sqlalchemy import text

from rankline.src.db.database import open_database
from rankline.src.dse.errors import UserError
from rankline.src.dse.layer import dense

LAYERS = [dense("d", 12, 10)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    made = open_database(str(tmp_path / "space.db"))
    made.explore(LAYERS, name="net")
    made.close()
    return tmp_path / "space.db"


def test_it_answers_and_refuses_every_change(path: Path) -> None:
    before = path.read_bytes()
    opened = open_database(str(path), read_only=True)
    assert opened.solutions("d", "svd").count() > 0
    with pytest.raises(UserError, match="readonly"):
        opened.explore(LAYERS, name="other")
    with pytest.raises(UserError, match="readonly"), opened.engine.begin() as connection:
        connection.execute(text("DELETE FROM network"))
    opened.close()
    assert path.read_bytes() == before


def test_it_sees_what_another_process_adds(path: Path) -> None:
    opened, writer = open_database(str(path), read_only=True), open_database(str(path))
    assert [row["name"] for row in opened.networks()] == ["net"]
    writer.explore(LAYERS, name="other")
    assert [row["name"] for row in opened.networks()] == ["net", "other"]
    for one in (opened, writer):
        one.close()


def test_no_file_is_made(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="rankline explore"):
        open_database(str(tmp_path / "none.db"), read_only=True)
    assert list(tmp_path.iterdir()) == []


def test_an_empty_file_is_left_empty_and_told(tmp_path: Path) -> None:
    path = tmp_path / "empty.db"
    path.touch()
    with pytest.raises(UserError, match="is empty"):
        open_database(str(path), read_only=True)
    assert path.stat().st_size == 0


def test_a_locked_file_is_told_at_once_and_not_waited_for(path: Path) -> None:
    """A file in WAL mode is locked to readers only while its log is being turned off."""
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("PRAGMA locking_mode = EXCLUSIVE")
    holder.execute("BEGIN EXCLUSIVE")
    holder.execute("UPDATE network SET name = name")
    with pytest.raises(UserError, match="locked"):
        open_database(str(path), read_only=True)
    holder.close()
