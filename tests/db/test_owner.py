"""A file that is not Rankline's stays as it is, to the byte, and nothing is left beside it."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from rankline.src.db.backends.engine import check_database
from rankline.src.db.check import check
from rankline.src.db.database import open_database
from rankline.src.db.queries.sql import run_sql
from rankline.src.db.upgrade import backup, upgrade
from rankline.src.dse.errors import UserError
from rankline.src.dse.layer import dense

LAYERS = [dense("d", 12, 10)]

READERS: dict[str, Callable[[str], object]] = {
    "open": lambda path: open_database(path, create=False),
    "read": lambda path: open_database(path, read_only=True),
    "check": check,
    "upgrade": upgrade,
    "backup": backup,
    "sql": lambda path: run_sql(path, "SELECT 1"),
}

WRITERS: dict[str, Callable[[str], object]] = {
    "explore": lambda path: open_database(path).explore(LAYERS, name="net"),
    "before hours of work": check_database,
}


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def foreign(path: Path, kind: str) -> None:
    """Another program's database; its log is left behind where that was killed."""
    tables = "CREATE TABLE moz (x); INSERT INTO moz VALUES (1);"
    if kind == "alembic":
        tables += "CREATE TABLE alembic_version (version_num); INSERT INTO alembic_version VALUES ('0002');"
    mode = "delete" if kind in ("plain", "alembic") else "wal"
    end = "os._exit(0)" if kind == "killed" else "c.close()"
    script = (
        f"c = sqlite3.connect({str(path)!r}); c.execute('PRAGMA journal_mode = {mode}'); c.executescript({tables!r})"
    )
    subprocess.run([sys.executable, "-S", "-c", f"import os, sqlite3\n{script}; {end}"], check=True)
    path.with_name(f"{path.name}-shm").unlink(missing_ok=True)


@pytest.mark.parametrize("kind", ["plain", "wal", "killed", "alembic"])
def test_another_program_s_database_is_refused_before_a_byte_changes(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "places.sqlite"
    foreign(path, kind)
    before = contents(tmp_path)
    assert (f"{path.name}-wal" in before) == (kind == "killed")
    for name, command in (READERS | WRITERS).items():
        with pytest.raises(UserError, match=r"database of another program .*moz"):
            command(str(path))
        assert contents(tmp_path) == before, name


@pytest.mark.parametrize("sql", ["CREATE VIEW v AS SELECT 1", "PRAGMA user_version = 1", "PRAGMA application_id = 7"])
def test_one_without_tables_is_another_program_s_too(tmp_path: Path, sql: str) -> None:
    path = tmp_path / "empty.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(sql)
    before = contents(tmp_path)
    for command in (READERS | WRITERS).values():
        with pytest.raises(UserError, match="database of another program"):
            command(str(path))
    assert contents(tmp_path) == before


@pytest.mark.parametrize("content", [b"", b"some words, and more of them", b"SQLite format 3\0", bytes(5000)])
def test_what_only_reads_makes_no_database_of_another_file(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "odd.db"
    path.write_bytes(content)
    for name, command in READERS.items():
        with pytest.raises(UserError, match=r"odd.db"):
            command(str(path))
        assert contents(tmp_path) == {"odd.db": content}, name


@pytest.mark.parametrize("command", [*READERS, *WRITERS])
def test_what_is_no_file_is_refused_and_never_waited_for(tmp_path: Path, command: str) -> None:
    os.mkfifo(tmp_path / "pipe.db")
    (tmp_path / "folder.db").mkdir()
    for name, message in (("pipe.db", "is a pipe"), ("folder.db", "is a folder")):
        with pytest.raises(UserError, match=message):
            (READERS | WRITERS)[command](str(tmp_path / name))


@pytest.mark.parametrize("command", READERS)
def test_what_only_reads_makes_no_file(tmp_path: Path, command: str) -> None:
    with pytest.raises(UserError, match="no database at"):
        READERS[command](str(tmp_path / "none.db"))
    assert list(tmp_path.iterdir()) == []


def test_a_database_that_is_still_in_its_log_is_known(tmp_path: Path) -> None:
    """As after a kill soon after it was made: the file itself has no table yet."""
    made = open_database(str(tmp_path / "made.db"))
    made.explore(LAYERS, name="net")
    for suffix in ("", "-wal"):
        shutil.copy(tmp_path / f"made.db{suffix}", tmp_path / f"left.db{suffix}")
    made.close()
    with closing(sqlite3.connect(f"file:{tmp_path}/left.db?immutable=1", uri=True)) as connection:
        assert connection.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,)
    assert run_sql(str(tmp_path / "left.db"), "SELECT name FROM network").rows == [("net",)]
    assert [row.name for row in open_database(str(tmp_path / "left.db"), create=False).networks()] == ["net"]
