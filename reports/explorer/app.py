"""The application: the frame that all pages share, the page for an address, and error messages."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from dash import Dash, Input, Output, State, dcc, html, no_update

from rankline.src.db.database import Database
from rankline.src.dse.errors import UserError
from rankline.src.reports.explorer import compare_page, explore_page, network_page, runs_page
from rankline.src.reports.explorer.given import text
from rankline.src.reports.explorer.messages import ExplorerDash
from rankline.src.reports.explorer.parts import hint, method_style
from rankline.src.reports.explorer.safety import is_loopback, secure

PAGES = {"/": explore_page, "/network": network_page, "/runs": runs_page, "/compare": compare_page}
"""Modules by address, with a TITLE, ``layout`` (the page for a query) and ``register`` (its callbacks)."""

FRAME = """<!doctype html>
<html lang="en">
<head>{%metas%}<title>{%title%}</title>{%favicon%}<style>STYLE</style>{%css%}</head>
<body>{%app_entry%}<footer>{%config%}{%scripts%}{%renderer%}</footer>
<noscript>The explorer needs JavaScript; rankline report writes pages whose tables do without.</noscript></body>
</html>"""


def make_app(database: Database, host: str = "127.0.0.1") -> Dash:
    """The explorer of a database, read only. host: the address at which it will be served."""
    style = (files("rankline.src.reports.report") / "templates" / "report.css").read_text(encoding="utf-8")
    app = ExplorerDash(
        "rankline.src.reports.explorer",
        title="Rankline",
        update_title="",
        assets_folder=str(Path(__file__).with_name("assets")),
        index_string=FRAME.replace("STYLE", style + method_style()),
        meta_tags=[{"name": "viewport", "content": "width=device-width, initial-scale=1"}],
        suppress_callback_exceptions=True,  # pages come and go
        enable_mcp=False,
        use_async=False,  # even if other packages would allow it
    )
    _register_frame(app, database)
    for page in PAGES.values():
        page.register(app, database)
    app.layout = html.Main(
        [
            dcc.Location(id="url", refresh=False),
            dcc.Store(id="followed"),
            dcc.Store(id="basket", storage_type="session"),
            html.Nav([html.B("Rankline"), *(dcc.Link(page.TITLE, href=path) for path, page in PAGES.items())]),
            html.Div(app.messages(), id="messages", role="alert"),
            html.Div(id="page"),
        ]
    )
    secure(app.server, app.csp_hashes(), is_loopback(host))
    return app


def _register_frame(app: ExplorerDash, database: Database) -> None:
    @app.callback(
        Output("page", "children"),
        Output("messages", "children"),
        Output("followed", "data"),
        Input("url", "pathname"),
        Input("url", "search"),
        State("followed", "data"),
    )
    def show(path: Any, search: Any, followed: str | None) -> tuple[Any, Any, Any]:
        """The page of an address; ``followed`` is an address that only names what the page already shows."""
        path, search = text("path", path), text("query", search or "")
        if f"{path}{search}" == followed:
            return no_update, no_update, no_update
        return _page(database, path, dict(parse_qsl(search.lstrip("?")))), app.messages(), None

    app.in_browser("name", Input("url", "pathname"), Input("url", "search"))


def _page(database: Database, path: str, query: Mapping[str, str]) -> Any:
    if path not in PAGES:
        known = [html.Li(dcc.Link(page.TITLE, href=one)) for one, page in PAGES.items()]
        return html.Div([html.H1("There is no such page"), html.P("The pages are:"), html.Ul(known)])
    try:
        return PAGES[path].layout(database, query)
    except UserError as error:
        return html.Div([html.H1(PAGES[path].TITLE), hint(str(error))])
