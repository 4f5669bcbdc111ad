"""Export of configurations to a file, in batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rankline.src.db.queries.solutions import Solutions
from rankline.src.dse.errors import UserError
from rankline.src.dse.whole_file import whole_file

if TYPE_CHECKING:
    import pandas as pd

Write = Callable[["pd.DataFrame"], None]


def export(solutions: Solutions, path: Path, limit: int, on_count: Callable[[int], None] = lambda count: None) -> int:
    """Writes every configuration that meets the windows to a .parquet, .csv or .jsonl file; returns their number.

    ``on_count`` is called with that number before the first row is written. Columns as in ``Solutions.batches``. The
    file is written atomically. Raises UserError on another suffix, if there are more than ``limit``, and if the file
    can't be written.
    """
    if path.suffix not in WRITERS:
        raise UserError(f"cannot export to '{path.name}'; possible endings: {', '.join(WRITERS)}")
    count = solutions.count()
    if count > limit:
        raise UserError(
            f"{count:,} configurations meet the windows, above the limit of {limit:,}; "
            "narrow the windows or raise the limit (--limit)"
        )
    on_count(count)
    with whole_file(path) as partial, WRITERS[path.suffix](partial) as write:
        for frame in solutions.batches():
            write(frame)
    return count


@contextmanager
def _csv(path: Path) -> Iterator[Write]:
    with path.open("w", encoding="utf-8", newline="") as file:
        header = [True]

        def write(frame: pd.DataFrame) -> None:
            frame.to_csv(file, index=False, header=header.pop() if header else False)

        yield write


@contextmanager
def _json_lines(path: Path) -> Iterator[Write]:
    with path.open("w", encoding="utf-8") as file:
        yield lambda frame: frame.to_json(file, orient="records", lines=True)


@contextmanager
def _parquet(path: Path) -> Iterator[Write]:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise UserError("Parquet needs pyarrow; install it with: pip install 'rankline[arrow]'") from None
    writers: list[Any] = []

    def write(frame: pd.DataFrame) -> None:
        table = pa.Table.from_pandas(frame, preserve_index=False)
        if not writers:
            writers.append(pq.ParquetWriter(path, table.schema))
        writers[0].write_table(table)

    try:
        yield write
        if not writers:
            pq.write_table(pa.table({}), path)
    finally:
        for writer in writers:
            writer.close()


WRITERS = {".parquet": _parquet, ".csv": _csv, ".jsonl": _json_lines}
