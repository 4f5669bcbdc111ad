"""A run whose process is gone is interrupted, for whoever looks; nobody else's is touched."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from rankline.src.db.database import Database, open_database
from rankline.src.db.records.runs import INTERRUPTED, RUNNING, reopen_run, run_settings, start_run
from rankline.src.dse.layer import dense
from rankline.src.dse.process import Process, this_host, this_process


def ended() -> Process:
    """A process that was here."""
    process = subprocess.Popen([sys.executable, "-S", "-c", ""])
    process.wait()
    return Process(this_host(), process.pid, 1)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A database with a run of this process, one of a process that is gone, one whose process's number is in use
    again, one of another host, and one of an older version."""
    database = open_database(str(tmp_path / "space.db"))
    database.explore([dense("d", 12, 10)], name="net")
    for _ in range(5):
        start_run(database.engine, database.network_id("net"), {}, seed=0)
    database.close()
    made_by = {
        2: ended(),
        3: replace(this_process(), started=1),
        4: replace(ended(), host="elsewhere"),
    }
    with sqlite3.connect(tmp_path / "space.db") as connection:
        for run, process in made_by.items():
            connection.execute("UPDATE run SET process = ? WHERE id = ?", (json.dumps(process.as_dict()), run))
        connection.execute("UPDATE run SET process = NULL WHERE id = 5")
    connection.close()
    return tmp_path / "space.db"


TOLD = [RUNNING, INTERRUPTED, INTERRUPTED, RUNNING, RUNNING]


def recorded(path: Path) -> list[str]:
    with sqlite3.connect(path) as connection:
        return [status for (status,) in connection.execute("SELECT status FROM run ORDER BY id")]


def told(database: Database) -> list[str]:
    return [row.status for row in database.runs()]


def test_who_opens_it_to_write_closes_it(path: Path) -> None:
    assert recorded(path) == [RUNNING] * 5
    assert told(open_database(str(path), create=False)) == recorded(path) == TOLD


def test_a_reader_is_told_and_writes_nothing(path: Path) -> None:
    reader = open_database(str(path), read_only=True)
    assert told(reader) == TOLD
    assert run_settings(reader.engine, 2)[2] == INTERRUPTED
    assert recorded(path) == [RUNNING] * 5


def test_who_finds_it_locked_is_told_at_once(path: Path) -> None:
    writer = sqlite3.connect(path, isolation_level=None)
    writer.execute("BEGIN IMMEDIATE")
    assert told(open_database(str(path))) == TOLD
    writer.rollback()
    assert recorded(path) == [RUNNING] * 5


def test_a_run_that_goes_on_belongs_to_the_process_that_goes_on_with_it(path: Path) -> None:
    database = open_database(str(path))
    reopen_run(database.engine, 2)
    assert told(open_database(str(path)))[1] == recorded(path)[1] == RUNNING
