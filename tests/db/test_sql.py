"""A user's own SQL: what it returns, what it may not do, and where it is stopped."""

from __future__ import annotations

import ctypes
import os
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from rankline.src.db.database import open_database
from rankline.src.db.queries.sql import run_sql
from rankline.src.dse.errors import UserError
from rankline.src.dse.layer import conv, dense

ENDLESS = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c)"
LONG = "x" * 40_000


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database whose name needs care in a URI."""
    found = tmp_path_factory.mktemp("sql") / "50 % of ä?#&=.db"
    database = open_database(str(found))
    database.explore([conv("c", (3, 3), 4, 6, (8, 8)), dense("d", 12, 10)], name="net")
    database.close()
    return found


@pytest.fixture
def unchanged(path: Path) -> Iterator[None]:
    """The test leaves the database as it was, and no file but those that SQLite makes to read."""
    before = content(path)
    yield
    assert content(path) == before
    assert {one.name.removeprefix(path.name) for one in path.parent.iterdir()} <= {"", "-wal", "-shm"}


def content(path: Path) -> list[str]:
    with sqlite3.connect(path) as connection:
        return list(connection.iterdump())


def refusal(path: Path, sql: str, limit_seconds: float = 10) -> str:
    """The message with which the SQL is refused."""
    with pytest.raises(UserError) as raised:
        run_sql(str(path), sql, limit_seconds=limit_seconds)
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_a_query_returns_columns_and_rows(path: Path) -> None:
    found = run_sql(str(path), "SELECT name, params AS p, NULL, x'00ff' FROM layer ORDER BY position; -- all of them")
    assert found.columns == ("name", "p", "NULL", "x'00ff'")
    assert found.rows == [("c", 216, None, b"\x00\xff"), ("d", 120, None, b"\x00\xff")]
    assert not found.truncated


@pytest.mark.parametrize(
    "sql",
    [
        "VALUES (1), (2)",
        "SELECT name FROM sqlite_schema",
        "EXPLAIN QUERY PLAN SELECT * FROM line",
        "SELECT count(*) FROM configuration",
        "WITH two AS (SELECT 1 UNION SELECT 2) SELECT count(*) FROM two",
        "SELECT value FROM layer, json_each(kernel)",
        "SELECT layer, row_number() OVER (ORDER BY params), round(avg(params) OVER ()) FROM configuration",
        "SELECT name LIKE 'c%', name GLOB 'c*', kernel ->> 0, current_date, round(2.567, 2) FROM layer",
    ],
)
def test_what_only_reads_is_possible(path: Path, sql: str) -> None:
    assert run_sql(str(path), sql).rows


def test_rows_above_the_limit_are_cut_and_told(path: Path) -> None:
    found = run_sql(str(path), f"{ENDLESS} SELECT x FROM c", limit_rows=3)
    assert found.rows == [(1,), (2,), (3,)]
    assert found.truncated
    assert not run_sql(str(path), "VALUES (1), (2), (3)", limit_rows=3).truncated


def test_text_that_is_no_text_is_shown_with_a_mark(path: Path) -> None:
    assert run_sql(str(path), "SELECT CAST(x'61ff' AS TEXT)").rows == [("a\ufffd",)]


WRITES = [
    "INSERT INTO rank VALUES (1000)",
    "INSERT INTO rank VALUES (1000) RETURNING r",
    "WITH r AS (SELECT 1000 AS r) INSERT INTO rank SELECT r FROM r",
    "REPLACE INTO rank VALUES (1)",
    "UPDATE network SET name = 'other'",
    "DELETE FROM trial",
    "DROP TABLE trial",
    "DROP VIEW configuration",
    "CREATE TABLE more (a)",
    "CREATE TABLE more AS SELECT * FROM layer",
    "CREATE TEMP TABLE more (a)",
    "CREATE VIEW more AS SELECT 1",
    "CREATE INDEX more ON line (p0)",
    "CREATE TRIGGER more AFTER INSERT ON rank BEGIN DELETE FROM rank; END",
    "CREATE VIRTUAL TABLE more USING fts5(a)",
    "ALTER TABLE network ADD COLUMN more",
    "REINDEX",
    "ANALYZE",
    "EXPLAIN DELETE FROM trial",
]

OTHERS = [
    ("VACUUM", "ATTACH and VACUUM"),
    ("VACUUM INTO 'copy.db'", "ATTACH and VACUUM"),
    ("ATTACH 'other.db' AS other", "ATTACH and VACUUM"),
    ("ATTACH ':memory:' AS other", "ATTACH and VACUUM"),
    ("DETACH main", "DETACH"),
    ("PRAGMA user_version = 7", "PRAGMA"),
    ("PRAGMA query_only = OFF", "PRAGMA"),
    ("PRAGMA journal_mode = DELETE", "PRAGMA"),
    ("SELECT * FROM pragma_table_info('line')", "pragma_table_info"),
    ("SELECT * FROM dbstat", "dbstat"),
    ("SELECT * FROM sqlite_temp_master", "the table sqlite_temp_master may not be read"),
    ("BEGIN", "BEGIN"),
    ("COMMIT", "COMMIT"),
    ("SAVEPOINT here", "SAVEPOINT"),
    ("SELECT load_extension('more.so')", r"the function load_extension\(\) is not allowed"),
    ("SELECT fts3_tokenizer('more')", "fts3_tokenizer"),
    ("SELECT randomblob(10)", "randomblob"),
    ("SELECT writefile('file', 'text')", "unknown function 'writefile'"),
    ("SELECT readfile('/etc/passwd')", "unknown function 'readfile'"),
    ("SELECT edit('text')", "unknown function 'edit'"),
    ("SELECT 1; DELETE FROM trial", "only one SELECT"),
    ("", "no SQL"),
    (" -- nothing\n", "no SQL"),
    ("hello", 'near "hello": syntax error; give one SELECT'),
    ("SELECT (1", "incomplete input"),
    ("SELECT ?", "bindings"),
    ("SELECT 1\0", "null character"),
    ("SELECT '\udcff'", "surrogates"),
    (
        "SELECT layer, parms FROM configuration",
        r"unknown column 'parms'; did you mean 'params'\? Possible: .*flops_red",
    ),
    ("SELECT c.parms FROM configuration AS c", "did you mean 'params'"),
    ("SELECT absent", "unknown column 'absent'"),
    ("SELECT * FROM layer WHERE name = conv2", "text goes in single quotes"),
    ("SELECT * FROM configuratoin", "unknown table 'configuratoin'; did you mean 'configuration'"),
    ("SELECT medain(params) FROM layer", "unknown function 'medain'"),
    ("SELECT 1" + " + 1" * 20_000, "SQLite cannot run this"),
    ("SELECT 1" + ", 1" * 300, "too many columns"),
]


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("sql", WRITES)
def test_nothing_can_be_written(path: Path, sql: str) -> None:
    assert "would write" in refusal(path, sql)


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize(("sql", "message"), OTHERS, ids=lambda text: text[:50].encode(errors="replace").decode())
def test_everything_else_is_refused_with_what_is_possible(path: Path, sql: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        run_sql(str(path), sql)


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize(
    "sql",
    [
        f"{ENDLESS} SELECT count(*) FROM c",
        f"{ENDLESS} SELECT x FROM c ORDER BY x DESC",
        f"{ENDLESS} SELECT x FROM c WHERE x < 0",
        "SELECT count(*) FROM configuration AS a, configuration AS b, line AS c WHERE a.fm < b.fm + c.m0",
    ],
)
def test_a_query_that_would_run_for_minutes_is_stopped(path: Path, sql: str) -> None:
    started = time.monotonic()
    assert "stopped after 0.3 seconds; narrow it" in refusal(path, sql, limit_seconds=0.3)
    assert time.monotonic() - started < 5


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("SELECT zeroblob(2000000000)", "zeroblob"),
        ("SELECT hex(zeroblob(1000000000))", "zeroblob"),
        ("SELECT printf('%1000000000d', 1)", "printf"),
        ("SELECT format('%.*c%.*c', 2000000000, 'x', 2000000000, 'x')", "format"),
        (f"SELECT replace('{LONG}', 'x', 'xxx')", "larger than 100,000 bytes"),
        (f"{ENDLESS} SELECT group_concat(x) FROM (SELECT x FROM c LIMIT 99999)", "larger than 100,000 bytes"),
        (f"{ENDLESS} SELECT '{LONG}' FROM c", "more than 64,000,000 bytes"),
    ],
)
def test_a_result_that_would_fill_the_memory_is_refused(path: Path, sql: str, message: str) -> None:
    assert message in refusal(path, sql)


def text(length: int, letter: str = "a") -> str:
    """SQL for a text of that many letters, short enough for a statement."""
    return f"substr(replace('{'z' * 400}', 'z', '{letter * 250}'), 1, {length})"


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("one", ["trim(a, b || '{}a')", "a LIKE '%' || c || {}", "a GLOB '*' || c || {}"])
def test_functions_that_are_slow_on_long_texts_are_stopped_in_time(path: Path, one: str) -> None:
    """Within one step of SQLite, 190 of which take minutes."""
    columns = ", ".join(one.format(j) for j in range(190))
    texts = f"SELECT {text(90_000)} AS a, {text(8_200, 'b')} AS b, {text(900)} || 'b' AS c"
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    assert "stopped after 0.3 seconds" in refusal(path, f"SELECT {columns} FROM ({texts})", limit_seconds=0.3)
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before < 2


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize(
    "sql",
    [
        f"SELECT {', '.join(f'length(json_group_array({text(90_000)} || {j}))' for j in range(20))} FROM line, rank",
        f"{ENDLESS} SELECT x, {text(99_000)} AS v FROM c ORDER BY -x",
        f"{ENDLESS} SELECT count(DISTINCT {text(99_000)} || x) FROM c",
        f"WITH s AS MATERIALIZED ({ENDLESS} SELECT x, {text(99_000)} AS v FROM c) SELECT count(*) FROM s",
    ],
    ids=["aggregates", "sorting", "distinct", "kept"],
)
def test_what_would_fill_the_memory_or_the_disk_on_the_way_is_refused(path: Path, tmp_path: Path, sql: str) -> None:
    """Sorting and grouping happen in memory, which is bounded."""
    # In a process of its own, because the peak of children is that of all that a process ever had.
    code = f"""
import resource
from rankline.src.db.queries.sql import run_sql
from rankline.src.dse.errors import UserError
try:
    run_sql({str(path)!r}, {sql!r}).columns
except UserError as error:
    print(error)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    told, peak = done.stdout.splitlines()
    assert "more than 256 MB of memory" in told
    assert int(peak) < 700_000  # kB


def children() -> set[int]:
    found = Path(f"/proc/self/task/{os.getpid()}/children").read_text()
    return {int(one) for one in found.split()}


def test_no_process_is_left_behind(path: Path) -> None:
    before = children()
    run_sql(str(path), "SELECT 1")
    refusal(path, "SELECT nothing")
    refusal(path, f"{ENDLESS} SELECT count(*) FROM c", limit_seconds=0.1)
    assert children() == before


def test_the_process_ends_with_the_one_that_asked_even_if_that_is_killed(path: Path) -> None:
    script = (
        "from rankline.src.db.queries.sql import run_sql\n"
        f"run_sql({str(path)!r}, {ENDLESS + ' SELECT count(*) FROM c'!r}, limit_seconds=60)\n"
    )
    asking = subprocess.Popen([sys.executable, "-c", script])
    listed = Path(f"/proc/{asking.pid}/task/{asking.pid}/children")
    deadline = time.monotonic() + 30
    while not (found := listed.read_text().split()) and time.monotonic() < deadline:
        time.sleep(0.02)
    (child,) = found
    time.sleep(0.2)
    asking.kill()
    asking.wait()
    while Path(f"/proc/{child}").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not Path(f"/proc/{child}").exists()


def test_a_user_s_own_modules_are_not_run(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("json", "sqlite3", "rankline", "sitecustomize"):
        (tmp_path / f"{name}.py").write_text(f"open({str(tmp_path / 'run')!r}, 'w')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert run_sql(str(path), "SELECT 1").rows == [(1,)]
    assert not (tmp_path / "run").exists()


def test_an_interrupt_ends_a_query(path: Path) -> None:
    before, before_it = signal.signal(signal.SIGALRM, signal.default_int_handler), children()
    signal.setitimer(signal.ITIMER_REAL, 0.2)
    try:
        with pytest.raises(KeyboardInterrupt):
            run_sql(str(path), f"{ENDLESS} SELECT count(*) FROM c")
        assert children() == before_it
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("limits", [{"limit_rows": 0}, {"limit_seconds": 0}, {"limit_seconds": float("nan")}])
def test_a_limit_of_nothing_is_refused(path: Path, limits: dict[str, float]) -> None:
    with pytest.raises(UserError, match=r"limit of (rows|seconds) must be"):
        run_sql(str(path), "SELECT 1", **limits)  # type: ignore[arg-type]


def test_what_is_no_rankline_file_is_refused(tmp_path: Path, path: Path) -> None:
    foreign, damaged, older = (tmp_path / name for name in ("foreign.db", "damaged.db", "older.db"))
    with sqlite3.connect(foreign) as connection:
        connection.execute("CREATE TABLE album (title TEXT)")
    damaged.write_bytes(path.read_bytes()[:100] + bytes(8000))
    shutil.copy(path, older)
    with sqlite3.connect(older) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '0000'")
    assert "no Rankline database" in refusal(foreign, "SELECT 1")
    assert "cannot open the database" in refusal(damaged, "SELECT 1")
    assert f"rankline db upgrade --db {older}" in refusal(older, "SELECT 1")
    assert "no database at" in refusal(tmp_path / "absent.db", "SELECT 1")
    assert not (tmp_path / "absent.db").exists()


def test_another_database_is_refused_without_its_password() -> None:
    with pytest.raises(UserError, match=r"postgresql://me:\*\*\*@host/space use .* psql"):
        run_sql("postgresql://me:secret@host/space", "SELECT 1")


def test_a_url_of_a_file_works(path: Path, tmp_path: Path) -> None:
    shutil.copy(path, tmp_path / "plain.db")
    assert run_sql(f"sqlite:///{tmp_path}/plain.db", "SELECT count(*) FROM layer").rows == [(2,)]


def obey_permissions() -> None:
    """Takes from root, and from all that it starts, the right to write anywhere (prctl(2), capabilities(7))."""
    PR_CAPBSET_DROP, CAP_DAC_OVERRIDE = 24, 1
    ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, CAP_DAC_OVERRIDE, 0, 0, 0)


def read_without_rights(path: Path) -> str:
    """What a process prints that may read the file's folder and not write to it."""
    script = (
        "from rankline.src.db.queries.sql import run_sql\n"
        f"try: print(run_sql({str(path)!r}, 'SELECT count(*) FROM layer').rows)\n"
        "except ValueError as error: print(error)\n"
    )
    asked = [sys.executable, "-c", script]
    done = subprocess.run(asked, capture_output=True, text=True, check=True, preexec_fn=obey_permissions)
    return done.stdout.strip()


def test_a_database_in_a_read_only_folder_is_read(path: Path) -> None:
    """Also where SQLite's log was left behind, if it can be; where it can't, what it holds is not passed over."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shutil.copy(path, folder / "quiet.db")
        shutil.copy(path, folder / "busy.db")
        with sqlite3.connect(folder / "busy.db") as writer:
            writer.execute("DELETE FROM layer_space")
            writer.execute("DELETE FROM layer")
            writer.commit()
            for suffix in ("", "-wal", "-shm"):
                shutil.copy(folder / f"busy.db{suffix}", folder / f"left.db{suffix}")
            for suffix in ("", "-wal"):
                shutil.copy(folder / f"busy.db{suffix}", folder / f"torn.db{suffix}")
        for one in folder.iterdir():
            one.chmod(0o444)
        folder.chmod(0o555)
        try:
            assert read_without_rights(folder / "quiet.db") == "[(2,)]"
            assert read_without_rights(folder / "left.db") == "[(0,)]"
            assert "copy torn.db and torn.db-wal to another" in read_without_rights(folder / "torn.db")
        finally:
            os.chmod(folder, 0o755)
