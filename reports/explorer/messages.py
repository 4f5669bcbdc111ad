"""What went wrong, above the page: a line for each callback, until the same one succeeds."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable
from functools import partial, wraps
from typing import Any

from dash import ClientsideFunction, Dash, Input, Output, html, set_props

from rankline.src.dse.errors import UserError
from rankline.src.reports.explorer.safety import FAILED


class TellingDash(Dash):
    """Dash whose callbacks' errors are told in ``messages``."""

    def __init__(self, *values: Any, **options: Any) -> None:
        self.message_ids: list[str] = []
        super().__init__(*values, **options)

    def callback(self, *places: Any, **options: Any) -> Callable[..., Any]:
        """As Dash's own, which it hands the function on to."""

        def register(function: Callable[..., Any]) -> Callable[..., Any]:
            name = _name(function.__name__)

            @wraps(function)
            def answered(*values: Any) -> Any:
                set_props(name, {"children": ""})
                return function(*values)

            own = super(TellingDash, self).callback(*places, on_error=partial(_tell, name), **options)
            own(answered)
            self.message_ids.append(name)
            return function

        return register

    def in_browser(self, function: str, *places: Input | Output) -> None:
        """Has a function of assets/explorer.js called with the inputs when one of them changes.

        Without an output, it isn't called when they first appear.
        """
        register: Any = self.clientside_callback
        register(ClientsideFunction("explorer", function), *places)

    def messages(self) -> list[html.P]:
        """An empty line for each callback that there is."""
        return [html.P(id=name) for name in self.message_ids]


def _name(function: str) -> str:
    return f"message-{function}"


def _tell(name: str, error: Exception) -> None:
    """Shows an error; one that isn't the user's is told whole where the server runs."""
    if not isinstance(error, UserError):
        traceback.print_exception(error, file=sys.stderr)
    set_props(name, {"children": str(error) if isinstance(error, UserError) else FAILED})
