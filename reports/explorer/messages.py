"""Error messages above the page: one line for each callback, until it succeeds again."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable
from functools import partial, wraps
from typing import Any

from dash import ClientsideFunction, Dash, Input, Output, html, set_props

from rankline.src.dse.errors import UserError
from rankline.src.reports.explorer.safety import FAILED


class ExplorerDash(Dash):
    """Dash that shows its callbacks' errors in ``messages``."""

    def __init__(self, *values: Any, **options: Any) -> None:
        self.message_ids: list[str] = []
        super().__init__(*values, **options)

    def callback(self, *places: Any, **options: Any) -> Callable[..., Any]:
        """As in Dash; errors are also shown in ``messages``."""

        def register(function: Callable[..., Any]) -> Callable[..., Any]:
            name = _name(function.__name__)

            @wraps(function)
            def answered(*values: Any) -> Any:
                set_props(name, {"children": ""})
                return function(*values)

            own = super(ExplorerDash, self).callback(*places, on_error=partial(_show, name), **options)
            own(answered)
            self.message_ids.append(name)
            return function

        return register

    def in_browser(self, function: str, *places: Input | Output) -> None:
        """Calls a function of assets/explorer.js with the inputs when one of them changes.

        Without an output, it isn't called when they first appear.
        """
        register: Any = self.clientside_callback
        register(ClientsideFunction("explorer", function), *places)

    def messages(self) -> list[html.P]:
        """An empty line for each callback."""
        return [html.P(id=name) for name in self.message_ids]


def _name(function: str) -> str:
    return f"message-{function}"


def _show(name: str, error: Exception) -> None:
    """Shows an error on the page; one that isn't the user's is printed with its traceback by the server."""
    if not isinstance(error, UserError):
        traceback.print_exception(error, file=sys.stderr)
    set_props(name, {"children": str(error) if isinstance(error, UserError) else FAILED})
