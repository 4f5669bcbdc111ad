"""The file: its schema and history, sharing of spaces, what is refused, and that nothing is half-written."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import Engine

from rankline.src.db.backends.engine import bare_engine, writing
from rankline.src.db.database import Database, open_database
from rankline.src.db.records.runs import (
    LayerRecord,
    TrialRecord,
    choose_trial,
    record_trial,
    run_settings,
    trials,
)
from rankline.src.db.upgrade import MIGRATIONS, backup, upgrade
from rankline.src.db.version import SCHEMA_VERSION
from rankline.src.dse.configuration import Configuration
from rankline.src.dse.cost import Cost
from rankline.src.dse.errors import UserError
from rankline.src.dse.layer import conv, dense
from tests.helpers import brute

SCHEMAS = Path(__file__).parent / "schemas"
LAYERS = [conv("c1", (3, 3), 4, 6, (8, 8)), conv("c2", (3, 3), 4, 6, (8, 8)), dense("d", 12, 10)]


def schema_of(path: Path) -> dict[str, str]:
    """Every object's SQL, with white space and quotes folded."""
    with sqlite3.connect(path) as connection:
        rows = connection.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL").fetchall()
    return {name: " ".join(sql.replace('"', "").split()) for name, sql in rows}


def columns_of(path: Path) -> dict[str, list[tuple[object, ...]]]:
    with sqlite3.connect(path) as connection:
        names = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {name: connection.execute(f"PRAGMA table_xinfo({name})").fetchall() for name in sorted(names)}


def test_a_fresh_database_equals_a_migrated_one(tmp_path: Path) -> None:
    fresh, migrated = tmp_path / "fresh.db", tmp_path / "migrated.db"
    open_database(str(fresh)).close()
    _migrate_from_nothing(bare_engine(str(migrated)))
    assert columns_of(fresh) == columns_of(migrated)
    assert set(schema_of(fresh)) == set(schema_of(migrated))
    assert schema_of(fresh)["configuration"] == schema_of(migrated)["configuration"]
    for name, sql in schema_of(fresh).items():
        for word in ("STRICT", "WITHOUT ROWID", "UNIQUE", "FOREIGN KEY"):
            assert sql.count(word) == schema_of(migrated)[name].count(word), name


def _migrate_from_nothing(engine: Engine) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with writing(engine).begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def test_the_newest_migration_is_the_version_of_the_code() -> None:
    assert max(path.stem for path in (MIGRATIONS / "versions").glob("v*.py")) == f"v{SCHEMA_VERSION}"


@pytest.mark.parametrize("stored", sorted(SCHEMAS.glob("*.db")), ids=lambda path: path.stem)
def test_every_schema_that_landed_still_opens_or_upgrades(stored: Path, tmp_path: Path) -> None:
    path = tmp_path / stored.name
    shutil.copy(stored, path)
    upgrade(str(path))
    database = open_database(str(path))
    wanted = list(brute.configurations(LAYERS[0], "tucker"))
    solutions = database.solutions("c1", "tucker", network="stored")
    assert solutions.total() == len(wanted)
    assert solutions.within("all").min_flops().cost == min(wanted, key=lambda one: one.order).cost
    assert database.runs()[0]["status"] == "success"
    database.close()


@pytest.mark.parametrize("stored", sorted(SCHEMAS.glob("*.db")), ids=lambda path: path.stem)
def test_the_run_of_every_schema_that_landed_is_still_read_and_compared_with(stored: Path, tmp_path: Path) -> None:
    path = tmp_path / stored.name
    shutil.copy(stored, path)
    done = upgrade(str(path))
    assert (done.backup is None) == (stored.stem == SCHEMA_VERSION)
    database = open_database(str(path))
    layers = (LayerRecord("c1", Configuration("tucker", (2, 3)), Cost(80, 700, 9000), 0.9, 0.2),)
    old = TrialRecord(1, "chosen", 0.9, 0.3, Cost(300, 900, 10_000), 1.5, layers, None, None)
    assert trials(database.engine, 1) == [old]
    assert run_settings(database.engine, 1) == ("stored", {"objective": "params"}, "success")
    new = replace(old, number=2, status="tried", construct_seconds=0.5, metric=0.25)
    record_trial(database.engine, 1, new)
    assert trials(database.engine, 1) == [old, new]
    choose_trial(database.engine, 1, 2)
    assert [row["status"] for row in database.trials(1)] == ["tried", "chosen"]
    database.close()


def test_a_database_of_the_first_schema_is_refused_with_the_command_that_upgrades_it(tmp_path: Path) -> None:
    path = tmp_path / "old.db"
    shutil.copy(SCHEMAS / "0001.db", path)
    with pytest.raises(UserError, match=f"rankline db upgrade --db {path}"):
        open_database(str(path))
    done = upgrade(str(path))
    assert (done.before, done.after) == ("0001", SCHEMA_VERSION)
    assert done.backup is not None
    with sqlite3.connect(path) as connection, sqlite3.connect(done.backup) as copy:
        old, new = ({row[1] for row in one.execute("PRAGMA table_xinfo(trial)")} for one in (copy, connection))
        assert new - old == {"construct_seconds", "metric"}
        for table in ("network", "layer", "space", "line", "run", "trial_layer"):
            columns = ", ".join(row[1] for row in copy.execute(f"PRAGMA table_xinfo({table})"))
            query = f"SELECT {columns} FROM {table} ORDER BY 1, 2"
            assert connection.execute(query).fetchall() == copy.execute(query).fetchall()


def test_there_is_a_stored_database_of_this_schema() -> None:
    assert (SCHEMAS / f"{SCHEMA_VERSION}.db").exists()


def migrations_with(folder: Path, *steps: str) -> Path:
    """Today's migrations and one more, 9998, on top."""
    migrations = folder / "migrations"
    shutil.copytree(MIGRATIONS, migrations)
    lines = [
        "import sqlalchemy as sa",
        "from alembic import op",
        f"revision, down_revision = '9998', '{SCHEMA_VERSION}'",
        "def upgrade():",
        *(f"    {step}" for step in steps),
    ]
    (migrations / "versions" / "v9998.py").write_text("\n".join(lines))
    return migrations


def test_an_older_database_is_refused_and_mended_by_the_command_that_the_error_names(tmp_path: Path) -> None:
    """A migration on top of today's makes today's file an old one."""
    migrations = migrations_with(tmp_path, "op.add_column('run', sa.Column('note', sa.Text))")
    path = tmp_path / "old.db"
    open_database(str(path)).explore(LAYERS, name="kept")
    done = upgrade(str(path), migrations, target="9998")
    assert done.backup is not None
    assert done.before == SCHEMA_VERSION
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT note FROM run").fetchall() == []
        assert connection.execute("SELECT name FROM network").fetchall() == [("kept",)]
    assert open_database(str(done.backup)).networks()[0]["name"] == "kept"
    with pytest.raises(UserError, match="newer Rankline"):
        open_database(str(path))
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '0000'")
    with pytest.raises(UserError, match=f"rankline db upgrade --db {path}"):
        open_database(str(path))


def test_a_migration_that_fails_leaves_the_database_as_it_was(tmp_path: Path) -> None:
    migrations = migrations_with(
        tmp_path, "op.add_column('run', sa.Column('note', sa.Text))", "op.execute('SELECT nothing')"
    )
    path = tmp_path / "old.db"
    open_database(str(path)).close()
    before = schema_of(path)
    with pytest.raises(Exception, match="nothing"):
        upgrade(str(path), migrations, target="9998")
    assert schema_of(path) == before


def test_the_view_lists_every_configuration_in_any_sqlite_tool(database: Database, tmp_path: Path) -> None:
    database.explore(LAYERS, name="net")
    columns = "shape, r1, r2, r3, r4, params, fm, flops, better, useful"
    query = f"SELECT {columns} FROM configuration WHERE layer = ? AND method = ?"
    with sqlite3.connect(tmp_path / "space.db") as connection:
        for layer, method in ((LAYERS[0], "tt"), (LAYERS[0], "cp"), (LAYERS[2], "t3f")):
            rows = connection.execute(query, (layer.name, method)).fetchall()
            wanted = [
                (one.shape, *one.ranks, *[None] * (4 - len(one.ranks)), one.cost.params, one.cost.fm, one.cost.flops,
                 int(one.better), int(one.useful))
                for one in brute.configurations(layer, method)
            ]  # fmt: skip
            assert sorted(rows, key=repr) == sorted(wanted, key=repr)


def test_numbers_are_stored_as_integers(database: Database) -> None:
    database.explore(LAYERS, name="net")
    with database.engine.connect() as connection:
        kinds = connection.exec_driver_sql("SELECT DISTINCT typeof(p0), typeof(f1), typeof(cap) FROM line").all()
    assert [tuple(row) for row in kinds] == [("integer", "integer", "integer")]


def test_a_killed_explore_leaves_whole_spaces_and_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "killed.db"
    script = (
        "from rankline.src.db.database import open_database\nfrom rankline.src.dse.layer import conv\n"
        f"layers = [conv(f'c{{j}}', (3, 3), 60 + j, 64, (8, 8)) for j in range(40)]\n"
        f"open_database({str(path)!r}).explore(layers, name='net', progress=lambda *_: print('space', flush=True))\n"
    )
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, env={**os.environ})
    assert process.stdout is not None
    for _ in range(7):
        process.stdout.readline()
    time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    database = open_database(str(path))
    assert database.networks() == []
    with database.engine.connect() as connection:
        spaces = connection.exec_driver_sql("SELECT id, n_lines FROM space").all()
        stored = dict(
            tuple(row) for row in connection.exec_driver_sql("SELECT space, count(*) FROM line GROUP BY space")
        )
    assert len(spaces) >= 6
    assert stored == {row.id: row.n_lines for row in spaces}
    layers = [conv(f"c{j}", (3, 3), 60 + j, 64, (8, 8)) for j in range(40)]
    done = database.explore(layers, name="net")
    assert done.n_new_spaces == done.n_spaces - len(spaces)
    database.close()


def test_a_space_that_cannot_be_written_whole_leaves_nothing(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> str:
        raise OSError("no more memory")

    with monkeypatch.context() as patched:
        patched.setattr("rankline.src.db.explore.spaces._create_line", fail)
        with pytest.raises(OSError, match="no more memory"):
            database.explore(LAYERS, name="net")
    with database.engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM space").scalar() == 0
        assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1
        names = {row.name for row in connection.exec_driver_sql("PRAGMA database_list")}
        assert names <= {"main", "temp"}
    assert database.explore(LAYERS, name="net").n_new_spaces == 8


def test_two_processes_may_explore_the_same_at_once(tmp_path: Path) -> None:
    script = (
        "from rankline.src.db.database import open_database\nfrom rankline.src.dse.layer import conv\n"
        f"layers = [conv(f'c{{j}}', (3, 3), 20 + j, 24, (8, 8)) for j in range(8)]\n"
        f"open_database({str(tmp_path / 'both.db')!r}).explore(layers, name='net')\n"
    )
    both = [subprocess.Popen([sys.executable, "-c", script]) for _ in range(2)]
    assert [process.wait() for process in both] == [0, 0]
    database = open_database(str(tmp_path / "both.db"))
    assert len(database.spaces("net")) == 8 * 5
    database.close()


def test_what_is_no_rankline_database_is_refused(tmp_path: Path) -> None:
    words = tmp_path / "words.db"
    words.write_text("not a database, but some text that is longer than a header")
    foreign = tmp_path / "foreign.db"
    with sqlite3.connect(foreign) as connection:
        connection.execute("CREATE TABLE album (title TEXT)")
    with pytest.raises(UserError, match="not an SQLite database"):
        open_database(str(words))
    with pytest.raises(UserError, match="another program.*album"):
        open_database(str(foreign))
    with pytest.raises(UserError, match="is a folder"):
        open_database(str(tmp_path))
    with pytest.raises(UserError, match="no database at.*rankline explore"):
        open_database(str(tmp_path / "absent.db"), create=False)
    with pytest.raises(UserError, match="the folder .* does not exist"):
        open_database(str(tmp_path / "absent" / "x.db"))
    assert words.read_text().startswith("not a database")


def test_a_database_in_a_read_only_folder_is_refused() -> None:
    with pytest.raises(UserError, match="cannot open the database"):
        open_database("/proc/rankline.db").explore(LAYERS)


@pytest.mark.parametrize("stamp", [None, "abc", "1"])
def test_a_database_without_a_schema_version_is_refused(database: Database, tmp_path: Path, stamp: str | None) -> None:
    _ = database.engine
    path = tmp_path / "space.db"
    with sqlite3.connect(path) as connection:
        connection.execute("DELETE FROM alembic_version")
        if stamp:
            connection.execute("INSERT INTO alembic_version VALUES (?)", [stamp])
    for open_it in (open_database, upgrade):
        with pytest.raises(UserError, match="has no schema version"):
            open_it(str(path))


def test_a_schema_version_that_never_was_is_not_upgraded(database: Database, tmp_path: Path) -> None:
    _ = database.engine
    path = tmp_path / "space.db"
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '0000'")
    with pytest.raises(UserError, match="schema 0000, which no Rankline made"):
        upgrade(str(path))
    assert [one.name for one in tmp_path.iterdir() if "backup" in one.name] == []


def test_a_locked_and_a_damaged_database_are_told_in_one_line(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database.explore(LAYERS, name="net")
    database.close()
    monkeypatch.setattr("rankline.src.db.backends.engine._PRAGMAS", ("busy_timeout = 10", "foreign_keys = ON"))
    path = tmp_path / "space.db"
    again = open_database(str(path))
    with sqlite3.connect(path) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(UserError, match=r"space.db: database is locked; another program keeps it locked"):
            again.explore(LAYERS[:1], name="more")
        other.rollback()
    again.close()
    content = bytearray(path.read_bytes())
    content[4096:] = bytes(len(content) - 4096)
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"malformed; the file is damaged; go back to a backup"):
        open_database(str(path)).networks()


def test_a_backup_that_fails_leaves_nothing_behind(database: Database, tmp_path: Path) -> None:
    """On a full disk, here for want of the right to write a file as large as that."""
    database.explore(LAYERS, name="net")
    database.close()
    path = tmp_path / "space.db"
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (36_000, hard))
    try:
        with pytest.raises(UserError, match=r"cannot copy .*space.db to .*copy.db"):
            backup(str(path), tmp_path / "copy.db")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    with pytest.raises(UserError, match="cannot copy"):
        backup(str(path), tmp_path / "absent" / "copy.db")
    assert not list(tmp_path.glob("copy*"))


def test_a_backup_holds_the_same_and_overwrites_nothing(database: Database, tmp_path: Path) -> None:
    database.explore(LAYERS, name="net")
    copy = backup(str(tmp_path / "space.db"), tmp_path / "copy.db")
    assert open_database(str(copy)).spaces() == database.spaces()
    with pytest.raises(UserError, match="exists"):
        backup(str(tmp_path / "space.db"), tmp_path / "copy.db")
