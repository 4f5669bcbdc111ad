"""That the file in use is still the one at its path: SQLite goes on writing into a file that was deleted."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection, Engine, event

from rankline.src.dse.errors import UserError


def watch(engine: Engine, path: Path) -> None:
    """From the engine's first connection on, raises UserError where another file or none is at ``path``.

    This is looked at whenever a connection is made or taken from the pool, and before a transaction ends.
    """
    log, index = (path.with_name(f"{path.name}-{suffix}") for suffix in ("wal", "shm"))
    seen: dict[Path, _Identity] = {}

    def check(*_: object) -> None:
        found = _identity(path)
        if found is not None and seen.setdefault(path, found) == found:
            seen[log] = _identity(log)
            return
        if seen.get(log) is not None and seen[log] == _identity(log):
            for left in (log, index):  # SQLite would take the old file's log for that of the new one
                left.unlink(missing_ok=True)
        done = "deleted" if found is None else "replaced by another file"
        raise UserError(f"the database {path} was {done} while it was in use; run the same again")

    def check_commit(connection: Connection) -> None:
        try:
            check()
        except UserError:
            connection.connection.rollback()  # SQLAlchemy counts the transaction as ended
            raise

    for moment in ("connect", "checkout"):
        event.listen(engine, moment, check)
    event.listen(engine, "commit", check_commit)


_Identity = tuple[int, int] | None


def _identity(path: Path) -> _Identity:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino
