"""A call of one of the explorer's callbacks, as a page sends it."""

from __future__ import annotations

import json
from typing import Any

from dash import Dash
from werkzeug.test import TestResponse


def callbacks(app: Dash) -> list[str]:
    """What each of the server's callbacks changes, by which it is called."""
    return [name for name, one in app.callback_map.items() if "callback" in one]


def find(app: Dash, changed: str) -> str:
    """The callback that changes ``changed``: an id and a property, as in ``counts.children``."""
    return next(name for name in callbacks(app) if changed in name.strip(".").split("..."))


def call(
    app: Dash, name: str, values: dict[str, Any], pressed: str | None = None, changed: str | None = None
) -> TestResponse:
    """The answer to a callback's call with values by id and property; None for those that aren't named.

    pressed: the id, as JSON, of a button among the inputs; changed: another input that is answered.
    """
    known = app.callback_map[name]
    outputs = [dict(zip(("id", "property"), one.rsplit(".", 1), strict=True)) for one in name.strip(".").split("...")]
    body = {
        "output": name,
        "outputs": [{**one, "property": one["property"].split("@")[0]} for one in outputs],
        "inputs": [_given(one, values, pressed) for one in known["inputs"]],
        "state": [_given(one, values, pressed) for one in known["state"]],
        "changedPropIds": [f"{pressed}.n_clicks"] if pressed else [changed] if changed else [],
    }
    body["outputs"] = body["outputs"] if name.startswith("..") else body["outputs"][0]
    return app.server.test_client().post(
        "/_dash-update-component", data=json.dumps(body), content_type="application/json"
    )


def message(answer: TestResponse) -> str:
    """What an answer has told above the page."""
    told = [one["children"] for name, one in answer.get_json()["sideUpdate"].items() if name.startswith("message-")]
    return "".join(told)


def _given(one: dict[str, str], values: dict[str, Any], pressed: str | None) -> Any:
    if "ALL" not in one["id"]:
        return {**one, "value": values.get(f"{one['id']}.{one['property']}")}
    fits = pressed is not None and json.loads(pressed)["type"] == json.loads(one["id"])["type"]
    return [{"id": json.loads(pressed), "property": one["property"], "value": 1}] if pressed and fits else []
