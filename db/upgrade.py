"""Upgrading an older database to this version's schema, and backups of a database."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from rankline.src.db.backends.engine import bare_engine, explain_errors, schema_version, unused_engine, writing
from rankline.src.db.backends.location import check_location, sqlite_path
from rankline.src.db.backends.sqlite.owner import stored_version
from rankline.src.db.backends.sqlite.read_only import open_read_only
from rankline.src.db.soundness import problems
from rankline.src.db.version import SCHEMA_VERSION
from rankline.src.dse.errors import UserError
from rankline.src.dse.whole_file import whole_file

MIGRATIONS = Path(__file__).parent / "migrations"


@dataclass(frozen=True)
class Upgraded:
    """The versions before and after, and the path of the old file's copy (None for other databases)."""

    before: str
    after: str
    backup: Path | None


def upgrade(location: str, migrations: Path = MIGRATIONS, target: str = SCHEMA_VERSION) -> Upgraded:
    """Upgrades a database to ``target`` in one transaction, after a backup next to it.

    A database that already has that version is left alone. Raises UserError for one that is newer, or not Rankline's.
    """
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    check_location(location, create=False)
    path = sqlite_path(location)
    if path is not None and stored_version(path, location) is None:  # before it is opened to be written
        raise _empty(location)
    engine = bare_engine(location, create=False)
    explain_errors(engine, location)
    with engine.connect() as connection:
        before = schema_version(connection, location)
    if before is None:
        raise _empty(location)
    if before > target:
        raise UserError(f"{location} has schema {before}, newer than {target}; install a newer Rankline")
    if before == target:
        return Upgraded(before, before, None)
    config = Config()
    config.set_main_option("script_location", str(migrations))
    if before not in {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}:
        raise UserError(f"{location} has schema {before}, which no Rankline made; go back to a backup")
    copy = backup(location) if path else None
    with writing(engine).begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, target)
    engine.dispose()
    return Upgraded(before, target, copy)


def _empty(location: str) -> UserError:
    return UserError(f"{location} is empty; fill it with: rankline explore MODEL --db {location}")


def backup(location: str, to: Path | None = None) -> Path:
    """A consistent and sound copy of an SQLite database, taken while it may be in use; returns the copy's path.

    Without ``to``, the copy is next to the database, with the time in its name. Raises UserError if it can't be made,
    RuntimeError if the database is damaged.
    """
    path = sqlite_path(location)
    if path is None:
        raise UserError(f"only SQLite files are copied here; use the database's own backup for {location}")
    check_location(location, create=False)
    if stored_version(path, location) is None:
        raise _empty(location)
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%fZ")
    target = to or path.with_name(f"{path.stem}-{stamp}.backup{path.suffix}")
    if target.exists():
        raise UserError(f"{target} exists; give another file")
    with whole_file(target) as partial:
        try:
            with closing(open_read_only(path)) as source, closing(sqlite3.connect(partial)) as copy:
                source.backup(copy)
        except (sqlite3.Error, OSError) as error:
            raise UserError(f"cannot copy {path} to {target}: {error}") from error
        with unused_engine(partial).connect() as connection:
            for problem in problems(connection):
                raise RuntimeError(f"{path} is damaged: {problem}; it was not copied, go back to an older backup")
    return target
