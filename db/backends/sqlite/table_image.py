"""A table as the bytes of an SQLite database, made from arrays without a Python object per row.

SQLite opens such bytes as a database in memory and copies the whole table from it, in a fifth of the time that binding
row by row takes. The format: https://www.sqlite.org/fileformat2.html
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from functools import cache

import numpy as np
from numba import njit
from numpy.typing import NDArray

from rankline.src.dse.lines import Integers

Bytes = NDArray[np.uint8]

NULL = -(2**63)
"""Stands for NULL among the values."""

PAGE = 65_536
"""Bytes per page: the maximum, so that a shallow tree holds many rows."""

_LEAF, _INTERIOR = 13, 5
_LEAF_HEADER, _INTERIOR_HEADER = 8, 12
_CHILDREN = 4_000
"""Children of an interior page; each takes 15 bytes at most."""

_FIRST_PAGES = 2
"""Pages before the leaves: the database's description, and the root of the table's tree."""


def table_image(create: str, keys: Integers, values: Integers, texts: Sequence[str] = (), column: int = -1) -> Bytes:
    """The database with one table, created by the statement ``create``, and these rows.

    The table's first column is its INTEGER PRIMARY KEY: ``keys``, rising, from 0 to 2^56 - 1. The others are ``values``
    (rows, columns): integers or NULL; those in ``column`` are indices into ``texts``.
    """
    encoded = [one.encode() for one in texts]
    ends = np.array([0, *map(len, encoded)], np.int64).cumsum()
    widest = 32 + 9 * values.shape[1] + max(map(len, encoded), default=0)
    leaves = 1 + len(keys) // ((PAGE - _LEAF_HEADER) // widest)
    pages = np.zeros((_FIRST_PAGES + leaves + leaves // _CHILDREN + 2, PAGE), np.uint8)
    pages[:_FIRST_PAGES] = np.frombuffer(_empty(create), np.uint8).reshape(-1, PAGE)
    letters = np.frombuffer(b"".join(encoded), np.uint8)
    last_keys = _write_leaves(keys, np.ascontiguousarray(values), column, letters, ends, pages[_FIRST_PAGES:])
    count = _write_tree(pages, last_keys)
    pages[0, 28:32] = np.frombuffer(count.to_bytes(4, "big"), np.uint8)
    return pages[:count]


@cache
def _empty(create: str) -> bytes:
    """The database with the table and no rows."""
    connection = sqlite3.connect(":memory:")
    connection.execute(f"PRAGMA page_size = {PAGE}")
    connection.execute(create)
    image = connection.serialize()
    connection.close()
    return image


def _write_tree(pages: Bytes, last_keys: Integers) -> int:
    """Writes the pages above the leaves, given the leaves' last keys; returns the number of pages.

    Pages are counted from 1.
    """
    if len(last_keys) == 1:
        pages[_FIRST_PAGES - 1] = pages[_FIRST_PAGES]
        return _FIRST_PAGES
    count = _FIRST_PAGES + len(last_keys)
    level = np.stack([np.arange(_FIRST_PAGES + 1, count + 1), last_keys], axis=1)
    while len(level) > _CHILDREN:
        groups = np.array_split(level, -(-len(level) // _CHILDREN))  # evenly, since a page needs two children
        for j, group in enumerate(groups):
            _write_interior(pages[count + j], group)
        level = np.array([(count + j, group[-1, 1]) for j, group in enumerate(groups, start=1)], np.int64)
        count += len(groups)
    _write_interior(pages[_FIRST_PAGES - 1], level)
    return count


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _write_interior(page: Bytes, children: Integers) -> None:
    """``children``: (pages, 2), the number and last key of each."""
    last = len(children) - 1
    top = PAGE
    for i in range(last):
        top -= 4 + _varint_size(children[i, 1])
        _write_integer(page, _INTERIOR_HEADER + 2 * i, top, 2)
        _write_integer(page, top, children[i, 0], 4)
        _write_varint(page, top + 4, children[i, 1])
    _write_header(page, _INTERIOR, last, top)
    _write_integer(page, 8, children[last, 0], 4)


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _write_leaves(
    keys: Integers, values: Integers, column: int, letters: Bytes, ends: Integers, pages: Bytes
) -> Integers:  # fmt: skip
    """Fills leaf after leaf; returns the last key of each."""
    last_keys = np.zeros(len(pages), np.int64)
    types = np.zeros(values.shape[1], np.int64)
    sizes = np.zeros(values.shape[1], np.int64)
    number, cells, top = 0, 0, PAGE
    for i in range(len(keys)):
        head, body = 2, 0  # the head's own size, and the key's type; the key's value is not repeated here
        for j in range(len(types)):
            if j == column and values[i, j] != NULL:
                size = ends[values[i, j] + 1] - ends[values[i, j]]
                types[j] = 13 + 2 * size
            else:
                types[j], size = _type_of(values[i, j])
            sizes[j] = size
            head += _varint_size(types[j])
            body += size
        size = _varint_size(head + body) + _varint_size(keys[i]) + head + body
        if top - size < _LEAF_HEADER + 2 * (cells + 1):
            _write_header(pages[number], _LEAF, cells, top)
            number, cells, top = number + 1, 0, PAGE
        page = pages[number]
        top -= size
        _write_integer(page, _LEAF_HEADER + 2 * cells, top, 2)
        cells += 1
        last_keys[number] = keys[i]
        at = _write_varint(page, top, head + body)
        at = _write_varint(page, at, keys[i])
        page[at], page[at + 1] = head, 0
        at += 2
        for j in range(len(types)):
            at = _write_varint(page, at, types[j])
        for j in range(len(types)):
            if types[j] >= 13:
                for k in range(ends[values[i, j]], ends[values[i, j] + 1]):
                    page[at] = letters[k]
                    at += 1
            else:
                _write_integer(page, at, values[i, j], sizes[j])
                at += sizes[j]
    _write_header(pages[number], _LEAF, cells, top)
    return last_keys[: number + 1]


@njit(inline="always")  # type: ignore[untyped-decorator]
def _type_of(value: int) -> tuple[int, int]:
    """The serial type of an integer or NULL, and its size in bytes."""
    if value == NULL:
        return 0, 0
    if value == 0 or value == 1:
        return 8 + value, 0
    magnitude = value if value >= 0 else ~value
    if magnitude < 1 << 7:
        return 1, 1
    if magnitude < 1 << 15:
        return 2, 2
    if magnitude < 1 << 23:
        return 3, 3
    if magnitude < 1 << 31:
        return 4, 4
    if magnitude < 1 << 47:
        return 5, 6
    return 6, 8


@njit(inline="always")  # type: ignore[untyped-decorator]
def _varint_size(value: int) -> int:
    size = 1
    while value >= 1 << 7:
        value >>= 7
        size += 1
    return size


@njit(inline="always")  # type: ignore[untyped-decorator]
def _write_varint(page: Bytes, at: int, value: int) -> int:
    """Seven bits per byte, highest first; all but the last have the top bit set. Returns the end position."""
    if value < 1 << 7:  # nearly all
        page[at] = value
        return at + 1
    size: int = _varint_size(value)
    end = at + size
    flag = 0
    for place in range(end - 1, at - 1, -1):
        page[place] = (value & 127) | flag
        value >>= 7
        flag = 128
    return end


@njit(inline="always")  # type: ignore[untyped-decorator]
def _write_integer(page: Bytes, at: int, value: int, size: int) -> None:
    """The lowest ``size`` bytes of an integer, highest first."""
    for place in range(size):
        page[at + place] = value >> (8 * (size - 1 - place)) & 255


@njit(inline="always")  # type: ignore[untyped-decorator]
def _write_header(page: Bytes, kind: int, cells: int, top: int) -> None:
    """The header of a page; a cell start of 65,536 is written as 0."""
    page[0] = kind
    _write_integer(page, 3, cells, 2)
    _write_integer(page, 5, top, 2)
