"""A page about a compressed model, written next to its file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import keras

from rankline.src.compress.layers.depthwise import DepthwiseAlongAxis
from rankline.src.compress.layers.tt_matrix import TTMatrix
from rankline.src.compress.training.fine_tuning import Score
from rankline.src.db.records.runs import TrialRecord
from rankline.src.dse.metric import METRICS
from rankline.src.dse.numbers import change, percent, points
from rankline.src.dse.outgoing import for_markdown
from rankline.src.dse.plan import Plan


@dataclass(frozen=True)
class Card:
    """What a page says beyond the model itself.

    made: how the model was made, in a sentence; before, after: the trials of the original and the compressed model;
    notes: paragraphs on the data and on unchanged layers. The texts are plain: ``text`` escapes them.
    """

    title: str
    made: str
    before: TrialRecord
    after: TrialRecord
    notes: Sequence[str]

    def text(self, model: keras.Model, plan: Plan, test: Score | None, original_test: Score | None) -> str:
        """Markdown: the change in costs and scores, the data, and the factorized layers."""
        lines = [
            f"# {for_markdown(self.title)}, compressed",
            "",
            for_markdown(self.made),
            "",
            "| | original | compressed | change |",
            "|---|---|---|---|",
            *self._costs(),
            *self._scores(test, original_test),
            "",
            *(line for note in self.notes for line in (for_markdown(note), "")),
            *(how_to_load(model) if plan else []),
            *_layers(plan),
        ]
        return "\n".join(lines).rstrip() + "\n"

    def _costs(self) -> list[str]:
        rows = [(one.heading, one.of(self.before.cost), one.of(self.after.cost)) for one in METRICS.values()]
        return [f"| {name} | {was:,} | {now:,} | {change(1 - now / was) if was else ''} |" for name, was, now in rows]

    def _scores(self, test: Score | None, original_test: Score | None) -> list[str]:
        rows = [
            ("validation accuracy", self.before.accuracy, self.after.accuracy),
            (
                "test accuracy of the saved file",
                None if original_test is None else original_test.accuracy,
                None if test is None else test.accuracy,
            ),
        ]
        return [
            f"| {name} | {percent(was)} | {percent(now)} | {points(now - was)} |"
            for name, was, now in rows
            if was is not None and now is not None
        ]


def how_to_load(model: keras.Model) -> list[str]:
    """How to load a model with Rankline's own layers in plain Keras; empty if it has none."""
    if not _has_own_layers(model):
        return []
    return ["It has layers that Keras lacks: `import rankline.layers` before `keras.saving.load_model`.", ""]


def _has_own_layers(layer: keras.Layer) -> bool:
    return isinstance(layer, TTMatrix | DepthwiseAlongAxis) or any(map(_has_own_layers, getattr(layer, "layers", ())))


def _layers(plan: Plan) -> list[str]:
    if not plan:
        return ["No layer is factorized."]
    shaped = any(one.shape for one in plan.values())
    head = ["layer", "method", "ranks", *(["tensor shape"] if shaped else [])]
    rows = [
        [for_markdown(path), one.method, " ".join(map(str, one.ranks)), *([one.shape or ""] if shaped else [])]
        for path, one in plan.items()
    ]
    return [f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows)]
