"""``serve``: the web explorer."""

from __future__ import annotations

from typing import Annotated

import typer

from rankline.cli.output import DEFAULT_DATABASE, DatabaseOption, note


def serve(
    db: DatabaseOption = DEFAULT_DATABASE,
    host: Annotated[
        str, typer.Option(help="Address to listen at; the default is for this machine alone.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen at; 0 takes any that is free.")] = 8050,
) -> None:
    """Explore a database in a browser: clouds, windows, a basket to export, and runs while they are under way.

    The database is only read. Ends with Ctrl-C or SIGTERM.

    Example: [bold]rankline serve --db demo/rankline.db[/bold]
    """
    from rankline.src.reports.explorer.safety import is_loopback
    from rankline.src.reports.explorer.server import serve as serve_until_stopped

    def started(address: str) -> None:
        if not is_loopback(host):
            note(f"warning: whoever can reach {host} can read the whole database; there is no password")
        note(f"explore at {address} (Ctrl-C ends)")

    serve_until_stopped(db, host, port, started)
