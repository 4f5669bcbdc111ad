"""Checks that a database is consistent."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
from sqlalchemy import Connection, func, select

from rankline.src.db.database import open_database
from rankline.src.db.schema import IDS_PER_SPACE, line, space
from rankline.src.db.soundness import problems
from rankline.src.dse.progress import Progress, no_progress
from rankline.src.dse.space import Space

if TYPE_CHECKING:
    from rankline.src.dse.scan.census import Census


def check_exhaustively(location: str, progress: Progress = no_progress) -> int:
    """Visits every configuration of every space and compares counts, extremes and sums with the stored lines.

    Returns the number of configurations visited. Raises UserError as ``check`` does, and RuntimeError if a space
    differs from its lines or was made by another version's formulas.
    """
    from rankline.src.dse.scan.census import census  # numba: only where every configuration is visited

    database = open_database(location, create=False)
    with database.engine.connect() as connection:
        rows = connection.execute(select(space)).mappings().all()
        total, done = sum(int(row["n_total"]) for row in rows), 0
        for row in rows:
            label = f"space {row['id']} ({row['method']})"
            progress(label, done, total)
            defined = Space.from_definition(json.loads(row["options"]))
            if defined.digest != row["digest"]:
                raise RuntimeError(
                    f"{location}: {label} was made by a version with other formulas; explore again into a new file"
                )
            if census(defined) != _stored_census(connection, row["id"]):
                raise RuntimeError(
                    f"{location}: the lines of {label} differ from its configurations; go back to a backup"
                )
            done += row["n_total"]
    return total


def _stored_census(connection: Connection, space_id: int) -> Census:
    """The census that a space's stored lines claim."""
    from rankline.src.dse.scan.census import census_of_intervals

    names = ("cap", "better", "use_lo", "use_hi", "p0", "p1", "m0", "m1", "f0", "f1")
    ids = line.c.id.between(space_id * IDS_PER_SPACE, (space_id + 1) * IDS_PER_SPACE - 1)
    rows = connection.execute(select(*(line.c[name] for name in names)).where(ids)).all()
    table = np.array([tuple(row) for row in rows], np.int64).reshape(-1, len(names))
    return census_of_intervals(table[:, 0], table[:, 1], table[:, 2:4], table[:, 4:])


def check(location: str) -> int:
    """The number of spaces, all of which are consistent.

    Raises UserError if the database can't be opened, RuntimeError if it is damaged: its pages, its schema, rows that
    belong to nothing, or counts that its rows don't add up to.
    """
    database = open_database(location, create=False, read_only=True)
    with database.engine.connect() as connection:
        for problem in problems(connection):
            raise RuntimeError(f"{location} is damaged: {problem}; go back to a backup")
        return int(connection.execute(select(func.count()).select_from(space)).scalar_one())
