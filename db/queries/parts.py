"""Running one query over a space's lines in parallel parts.

SQLite computes in the calling thread without Python's lock, so a scan over many lines takes about half the time in two
threads, each with its own connection.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise
from typing import Any

from sqlalchemy import Engine, Row, Select

from rankline.src.db.backends.engine import is_in_memory
from rankline.src.db.schema import IDS_PER_SPACE

LINES_WORTH_A_THREAD = 10_000
"""A scan over this many lines takes about 3 ms, ten times the cost of handing it to a thread."""


def parts(n_lines: int) -> list[range]:
    """The numbers of a space's lines, split evenly: one part per core, unless there are few lines."""
    count = max(1, min(os.cpu_count() or 1, n_lines // LINES_WORTH_A_THREAD))
    cuts = [n_lines * j // count for j in range(count + 1)]
    return [range(first, last) for first, last in pairwise(cuts)]


def run(engine: Engine, query: Select[Any], space: int, pieces: Sequence[range]) -> list[Sequence[Row[Any]]]:
    """The rows of the query for each piece, a range of the space's line numbers, in the order of the pieces.

    ``query`` selects from the subquery that ``intervals`` makes.
    """

    def rows(piece: range) -> Sequence[Row[Any]]:
        first = space * IDS_PER_SPACE + piece.start
        with engine.connect() as connection:
            return connection.execute(query, {"first": first, "last": first + len(piece) - 1}).all()

    if len(pieces) == 1 or is_in_memory(engine):
        return [rows(piece) for piece in pieces]
    return list(_threads().map(rows, pieces))


@cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="rankline-query")
