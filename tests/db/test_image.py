"""Tables as bytes: SQLite finds in them the rows that they were made from."""

from __future__ import annotations

import sqlite3

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rankline.src.db.backends.sqlite.table_image import NULL, PAGE, table_image

CREATE = "CREATE TABLE one (id INTEGER NOT NULL, a INTEGER, words TEXT, b INTEGER, PRIMARY KEY (id)) STRICT"
TEXTS = ["", "8x8:4x16", "é" * 40, "x" * 300]

edges = st.sampled_from([sign * 2**power + more for power in range(63) for sign in (1, -1) for more in (-1, 0, 1)])
numbers = st.none() | edges | st.integers(-(2**63) + 1, 2**63 - 1)
rows = st.tuples(numbers, st.none() | st.integers(0, len(TEXTS) - 1), numbers)


def read(keys: list[int], values: list[tuple[int | None, ...]]) -> list[tuple[object, ...]]:
    """The rows that SQLite reads from the image, which it finds sound."""
    table = np.array([[NULL if v is None else v for v in row] for row in values], np.int64).reshape(-1, 3)
    image = table_image(CREATE, np.array(keys, np.int64), table, TEXTS, 1)
    connection = sqlite3.connect(":memory:")
    connection.deserialize(image.data)
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    found = connection.execute("SELECT * FROM one ORDER BY id").fetchall()
    connection.close()
    return found


def expected(keys: list[int], values: list[tuple[int | None, ...]]) -> list[tuple[object, ...]]:
    return [(key, a, None if j is None else TEXTS[j], b) for key, (a, j, b) in zip(keys, values, strict=True)]


@given(st.dictionaries(st.integers(0, 2**56 - 1), rows, max_size=40))
def test_every_value_comes_back(content: dict[int, tuple[int | None, ...]]) -> None:
    keys = sorted(content)
    values = [content[key] for key in keys]
    assert read(keys, values) == expected(keys, values)


@pytest.mark.parametrize("children", [4, 5, 4000])
@pytest.mark.parametrize("count", [1, 3_000, 3_300, 60_000])
def test_trees_of_any_height_hold_all_rows(children: int, count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rankline.src.db.backends.sqlite.table_image._CHILDREN", children)
    keys = [7 * k * k for k in range(count)]
    values = [(k, k % len(TEXTS), -k) for k in range(count)]
    assert count < 60_000 or count * len(TEXTS[3]) // 4 > 4 * 4 * PAGE
    assert read(keys, values) == expected(keys, values)
