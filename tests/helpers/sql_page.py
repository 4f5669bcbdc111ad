"""docs/sql.md as recipes. ``python -m tests.helpers.sql_page`` writes into the page what its queries print today."""

from __future__ import annotations

import re
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory

from rankline.cli.output import write_table
from rankline.src.db.queries.sql import run_sql
from tests.helpers.demo_database import make

PAGE = Path(__file__).parents[2] / "docs" / "sql.md"
RECIPE = re.compile(r"```sql\n(?P<sql>.*?)```\n\n```text\n(?P<output>.*?)```", re.DOTALL)


def recipes() -> list[tuple[str, str]]:
    """Each query of the page with the output that the page shows."""
    return [(found["sql"], found["output"]) for found in RECIPE.finditer(PAGE.read_text(encoding="utf-8"))]


def printed(database: Path, sql: str) -> str:
    """The rows of a query as the command line prints them, without the title."""
    found = run_sql(str(database), sql)
    with redirect_stdout(StringIO()) as out:
        write_table("", found.columns, found.rows, drop_empty=False)
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines() if line.strip()) + "\n"


def rewrite() -> None:
    with TemporaryDirectory() as folder:
        database = Path(folder) / "demo.db"
        make(database)
        page = RECIPE.sub(
            lambda found: f"```sql\n{found['sql']}```\n\n```text\n{printed(database, found['sql'])}```",
            PAGE.read_text(encoding="utf-8"),
        )
    PAGE.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    rewrite()
