"""A user's own SQL on a database, over a read-only connection and within limits."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import TIMEOUT_MAX, Event, Timer
from typing import IO, Any

from rankline.src.db.backends.location import check_location, sqlite_path
from rankline.src.db.backends.sqlite.owner import check_version, stored_version
from rankline.src.dse.errors import UserError

LIMIT_ROWS = 10_000
LIMIT_SECONDS = 10.0

_ROOT = Path(__file__).parents[4]
"""The folder of the package ``rankline``: this file is rankline/src/db/queries/sql.py in it."""

_PROGRAM = "import sys; sys.path.append(sys.argv[1]); from rankline.src.db.queries.sql_process import main; main()"
"""Run without any other folder of modules, such as the current one: it needs the standard library and ours."""


@dataclass(frozen=True)
class Rows:
    """The result of a query; ``truncated`` if it had more rows than the limit."""

    columns: tuple[str, ...]
    rows: list[tuple[Any, ...]]
    truncated: bool


def run_sql(location: str, sql: str, limit_rows: int = LIMIT_ROWS, limit_seconds: float = LIMIT_SECONDS) -> Rows:
    """The rows of one SELECT, at most ``limit_rows`` of them, found within ``limit_seconds``.

    Nothing is written, whatever the statement. A process of its own runs it, and is ended after the limit even within a
    slow function. Raises UserError on any other statement, on invalid SQL, if a limit other than ``limit_rows`` is
    exceeded, and if ``location`` is not a Rankline database in an SQLite file.
    """
    if limit_rows < 1:
        raise UserError(f"the limit of rows must be at least 1; got {limit_rows}")
    if not limit_seconds > 0:
        raise UserError(f"the limit of seconds must be above 0; got {limit_seconds}")
    path = sqlite_path(location)
    if path is None:
        from sqlalchemy.engine import make_url

        shown = make_url(location).render_as_string(hide_password=True)
        raise UserError(f"SQL is run on SQLite files; for {shown} use the database's own shell, such as psql")
    check_location(location, create=False)
    check_version(stored_version(path, location), location)
    with _process() as process:
        asked = {"path": str(path.absolute()), "sql": sql, "limit_rows": limit_rows}
        return _answer(process, json.dumps(asked), limit_seconds)


@contextmanager
def _process() -> Iterator[subprocess.Popen[bytes]]:
    """A process for one statement, ended with the block; in a session of its own, so that Ctrl-C is ours alone."""
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", _PROGRAM, str(_ROOT)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def _answer(process: subprocess.Popen[bytes], request: str, limit_seconds: float) -> Rows:
    assert process.stdin is not None
    assert process.stdout is not None
    with suppress(BrokenPipeError):
        process.stdin.write(f"{request}\n".encode())
        process.stdin.flush()
    columns: tuple[str, ...] = ()
    rows: list[tuple[Any, ...]] = []
    late = Event()

    def stop() -> None:
        late.set()
        process.kill()

    watchdog = Timer(min(limit_seconds, TIMEOUT_MAX), stop)
    try:
        for kind, *what in _told(process.stdout):
            if kind == "ready":
                watchdog.start()
            elif kind == "columns":
                columns = tuple(what)
            elif kind == "row":
                rows.append(tuple(what))
            elif kind == "end":
                return Rows(columns, rows, truncated=what[0])
            else:
                raise UserError(what[0])
    finally:
        watchdog.cancel()
    if late.is_set():
        raise UserError(
            f"the query was stopped after {limit_seconds:g} seconds; narrow it, e.g. by WHERE layer = '..' AND "
            "method = '..', or allow more time with --limit-seconds"
        )
    raise RuntimeError(f"the process of the query was ended ({process.wait()}), perhaps for lack of memory; narrow it")


def _told(output: IO[bytes]) -> Iterator[list[Any]]:
    """The process's lines; blobs are marked, as JSON has none."""
    for line in output:
        if not line.endswith(b"\n"):
            return  # the process was ended while it wrote
        yield json.loads(line, object_hook=lambda blob: bytes.fromhex(blob["blob"]))
