"""A page about a model made under a budget, to lie next to its file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rankline.src.compress.budget.calibrated_model import by_reason
from rankline.src.compress.runs.card import how_to_load
from rankline.src.dse.metric import FLOPS, MEMORY, PARAMS, metric
from rankline.src.dse.numbers import change, percent, points

if TYPE_CHECKING:
    from rankline.src.compress.budget.budgets import Budgeted
    from rankline.src.compress.budget.run import Point

COMPARED = (FLOPS, PARAMS, MEMORY)


def budget_card(done: Budgeted, point: Point) -> str:
    """Markdown: what the model is made of, what it gained and cost, and on which data that was found."""
    settings, data = done.settings, done.calibration.data
    asked = " and ".join(
        f"{100 * value:g} % of the {metric(name).title}"
        if isinstance(value, float)
        else f"{value:,} {metric(name).title}"
        for name, value in point.keep.items()
    )
    tuned = settings["fine_tuning"]
    lines = [
        f"# {done.original.name}, compressed",
        "",
        f"Made by Rankline in run {done.run}: at most {asked}, "
        + (f"then fine-tuned for at most {tuned['epochs']} epochs." if tuned else "without training."),
        "",
        "| | original | compressed | change |",
        "|---|---|---|---|",
        *(
            f"| {title} | {was:,} | {now:,} | {change(1 - now / was) if was else ''} |"
            for title, was, now in (
                (one.heading, one.of(done.total), one.of(point.allocation.cost)) for one in COMPARED
            )
        ),
        *(
            f"| {title} | {percent(was)} | {percent(now)} | {points(now - was)} |"
            for title, was, now in (
                ("validation accuracy", done.before.accuracy, point.trial.accuracy),
                (
                    "test accuracy of the saved file",
                    None if done.test is None else done.test.accuracy,
                    None if point.test is None else point.test.accuracy,
                ),
            )
            if was is not None and now is not None
        ),
        "",
        f"Calibrated on {settings['samples']:,} samples of {done.calibration.name}, without their labels; factors "
        f"fitted to {settings['fit']}, chosen by {settings['value']}. "
        + (
            "No accuracy is known: there were no labels."
            if data is None
            else f"Judged on {len(data.x_validation):,} other samples, and on {len(data.x_test):,} to test, which were "
            "used for nothing else."
        ),
        "",
    ]
    if done.skipped:
        lines += [f"Left as they are: {by_reason(done.skipped)}.", ""]
    if not point.plan:
        return "\n".join([*lines, "No layer is factorized."]) + "\n"
    lines += how_to_load(point.model)
    rows = [
        f"| {path} | {one.method} | {' '.join(map(str, one.ranks))} | {one.shape or ''} |"
        for path, one in point.plan.items()
    ]
    if settings["fit"] == "data":
        lines += ["Layers that are not in the table have the shape they had; their weights may be fitted too.", ""]
    return "\n".join([*lines, "| layer | method | ranks | tensor shape |", "|---|---|---|---|", *rows]) + "\n"
