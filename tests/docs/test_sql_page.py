"""docs/sql.md shows what its queries print, and tells of every view and column."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from rankline.cli import main
from rankline.src.db.queries.sql import run_sql
from rankline.src.db.schema import metadata
from rankline.src.db.views import views
from tests.helpers.demo_database import make
from tests.helpers.sql_page import PAGE, printed, recipes

TEXT = PAGE.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("docs") / "demo.db"
    make(path)
    return path


def test_there_are_eleven_recipes() -> None:
    assert re.findall(r"^### (\d+)\. ", TEXT, re.MULTILINE) == [str(number) for number in range(1, 12)]
    assert len(recipes()) == 12


@pytest.mark.parametrize(("sql", "output"), recipes(), ids=lambda text: text[:50])
def test_a_query_prints_what_the_page_shows(demo: Path, sql: str, output: str) -> None:
    """Where this is meant to change: python -m tests.helpers.sql_page"""
    assert printed(demo, sql) == output


def test_the_page_tells_of_every_table_view_and_column_of_a_view(demo: Path) -> None:
    for name in (*metadata.tables, *views("sqlite")):
        assert f"`{name}`" in TEXT, name
    for name in views("sqlite"):
        for column in run_sql(str(demo), f"SELECT * FROM {name}", limit_rows=1).columns:
            assert f"`{column}`" in TEXT or column in ("r2", "r3"), column


def test_the_commands_of_the_page_work(
    demo: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RANKLINE_DB", str(demo))
    commands = [line for line in re.findall(r"^\$ (rankline sql .*)$", TEXT, re.MULTILINE) if "- <" not in line]
    assert len(commands) == 2
    for command in commands:
        with pytest.raises(SystemExit) as ended:
            main(shlex.split(command.split(" > ")[0])[1:])
        assert not ended.value.code
        assert len(capsys.readouterr().out.splitlines()) > 3
