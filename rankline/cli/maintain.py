"""``db``: upgrading, checking and copying a database."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rankline.cli.output import DEFAULT_DATABASE, DatabaseOption, JsonOption, note, write_json

app = typer.Typer(
    help="Upgrade, check or copy a database.\n\nExample: [bold]rankline db check --db space.db[/bold]",
    no_args_is_help=True,
)


@app.command()
def upgrade(db: DatabaseOption = DEFAULT_DATABASE, as_json: JsonOption = False) -> None:
    """Bring an older database to this version's schema, after a backup next to it.

    Example: [bold]rankline db upgrade --db space.db[/bold]
    """
    from rankline.src.db.upgrade import upgrade as run_upgrade

    done = run_upgrade(db)
    if as_json:
        write_json({"before": done.before, "after": done.after, "backup": done.backup and str(done.backup)})
    elif done.before == done.after:
        note(f"{db} has schema {done.after} already; nothing to do")
    else:
        note(f"{db}: schema {done.before} is now {done.after}; the old file is {done.backup}")


@app.command()
def check(
    db: DatabaseOption = DEFAULT_DATABASE,
    exhaustive: Annotated[bool, typer.Option("--exhaustive", help="Also visit every configuration.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Check that the file is sound and that every space has all its lines.

    Example: [bold]rankline db check --exhaustive --db space.db[/bold]
    """
    from rankline.cli.present.progress import bar
    from rankline.src.db.check import check as run_check
    from rankline.src.db.check import check_exhaustively

    spaces, visited = run_check(db), None
    if not as_json:
        note(f"{db} is sound: {spaces} spaces, all lines there")
    if exhaustive:
        with bar("configurations") as progress:
            visited = check_exhaustively(db, progress)
    if as_json:
        write_json({"spaces": spaces, "configurations_visited": visited})
    elif visited is not None:
        note(f"{visited:,} configurations visited: counts, extremes and sums are those of the lines")


@app.command()
def backup(
    to: Annotated[Path | None, typer.Argument(help="The file to write; by default next to the database.")] = None,
    db: DatabaseOption = DEFAULT_DATABASE,
    as_json: JsonOption = False,
) -> None:
    """Copy a database, also while it is in use.

    Example: [bold]rankline db backup copy.db --db space.db[/bold]
    """
    from rankline.src.db.upgrade import backup as run_backup

    written = run_backup(db, to)
    if as_json:
        write_json({"file": str(written)})
    else:
        note(f"wrote {written}")
