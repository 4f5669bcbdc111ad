"""Whether a database holds what it says."""

from __future__ import annotations

from sqlalchemy import func, select

from db.database import open_database
from db.schema import line, space


def check(location: str) -> int:
    """The number of spaces, all found whole.

    Raises UserError where the database can't be opened, RuntimeError where the file is damaged or a space's
    lines don't add up to its counts.
    """
    database = open_database(location, create=False)
    useful = func.sum(func.coalesce(line.c.use_hi - line.c.use_lo + 1, 0))
    found = select(
        line.c.space,
        func.count().label("n_lines"),
        func.sum(line.c.cap).label("n_total"),
        func.sum(line.c.better).label("n_better"),
        useful.label("n_useful"),
    ).group_by(line.c.space)
    names = ("n_lines", "n_total", "n_better", "n_useful")
    with database.engine.connect() as connection:
        if connection.dialect.name == "sqlite":
            verdict = connection.exec_driver_sql("PRAGMA integrity_check").scalar()
            if verdict != "ok":
                raise RuntimeError(f"{location} is damaged ({verdict}); go back to a backup")
        counted = {row["space"]: row for row in connection.execute(found).mappings()}
        stored = connection.execute(select(space)).mappings().all()
    for row in stored:
        there = counted.get(row["id"], dict.fromkeys(names, 0))
        for name in names:
            if there[name] != row[name]:
                raise RuntimeError(
                    f"{location}: space {row['id']} ({row['method']}) has {name} {there[name]:,} on its lines, "
                    f"{row[name]:,} on record; explore again into a new file"
                )
    return len(stored)
