from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from rankline.src.db.database import Database, open_database


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    """A new database in a file."""
    opened = open_database(str(tmp_path / "space.db"))
    yield opened
    opened.close()
