"""The table of answers: how many configurations of each method meet the windows, and some of them to look at."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dash import html

from rankline.src.dse.metric import LATENCY
from rankline.src.dse.numbers import MISSING, change, count, percent, si
from rankline.src.reports.explorer.answers import WHOLE, MethodAnswer, Question
from rankline.src.reports.explorer.configurations import as_text
from rankline.src.reports.explorer.parts import UNKNOWN_ERRORS, hint, method_name, table

NO_BREAK = "\u00a0"
"""A space at which no line ends."""


def answer_table(found: Sequence[MethodAnswer], question: Question) -> list[Any]:
    """The whole count, a row for each method, and what isn't counted."""
    if not found:
        return [hint("No method is chosen.")]
    limited = question.error < WHOLE
    unknown = [one.method for one in found if limited and not one.errors_known]
    untimed = [one.method for one in found if one.untimed]
    roles = ["fewest FLOPs", "most FLOPs"]
    roles += ["least error"] if any(one.errors_known for one in found) else []
    roles += ["fastest"] if question.device else []
    rows = [
        [
            method_name(one.method),
            None if one.method in (*unknown, *untimed) else one.count,
            one.whole,
            *(_pick(one, role) for role in roles),
        ]
        for one in found
    ]
    total = sum(one.count for one in found if one.method not in unknown)
    head = html.P([html.B(count(total)), " configurations meet the windows"], id="total")
    columns = ["method", "in the windows", f"{question.within} in all", *roles]
    notes = [hint(f"Not counted: {', '.join(unknown)}. {UNKNOWN_ERRORS}")] if unknown else []
    for why in dict.fromkeys(one.untimed for one in found if one.untimed):
        names = ", ".join(one.method for one in found if one.untimed == why)
        notes.append(hint(f"Left out: {names}; {why}."))
    return [head, table(columns, rows, "configurations by method"), *notes]


def _pick(one: MethodAnswer, role: str) -> Any:
    solution = one.picks.get(role)
    if solution is None:
        return MISSING
    text = as_text(solution)
    told = [] if role == "fastest" else [percent(solution.error) if role == "least error" else si(solution.flops)]
    look = "pick"
    if solution.latency is not None:
        values = LATENCY.text(solution.latency), change(solution.reduction(LATENCY.name))
        told.append(", ".join(value.replace(" ", NO_BREAK) for value in values))
        look = "pick timed"
    name = {"type": "pick", "as": role, "configuration": text}
    return html.Button([text.split(" ", 1)[1], *map(html.Small, told)], id=name, className=look)
