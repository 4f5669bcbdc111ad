"""A page about a compressed model, written next to its file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import keras

from rankline.src.compress.layers.own import own_layers, way_to_load
from rankline.src.compress.training.fine_tuning import Score
from rankline.src.db.records.measure import ACCURACY, Measure
from rankline.src.db.records.runs import TrialRecord
from rankline.src.dse.keras_model.reader import describe
from rankline.src.dse.metric import counted
from rankline.src.dse.network_cost import uncounted, uncounted_sentence
from rankline.src.dse.numbers import change
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

    def text(
        self,
        model: keras.Model,
        plan: Plan,
        test: Score | None,
        original_test: Score | None,
        measure: Measure = ACCURACY,
    ) -> str:
        """Markdown: the change in costs and scores, the data, and the factorized layers.

        measure: what the models are judged by.
        """
        lines = [
            f"# {for_markdown(self.title)}, compressed",
            "",
            for_markdown(self.made),
            "",
            "| | original | compressed | change |",
            "|---|---|---|---|",
            *self._costs(),
            *self._scores(test, original_test, measure),
            "",
            *_uncounted(model),
            *(line for note in self.notes for line in (for_markdown(note), "")),
            *(how_to_load(model) if plan else []),
            *_layers(plan),
        ]
        return "\n".join(lines).rstrip() + "\n"

    def _costs(self) -> list[str]:
        before, after = self.before.cost, self.after.cost
        rows = [(one.titled(one.heading, before), one.of(before), one.of(after)) for one in counted().values()]
        return [f"| {name} | {was:,} | {now:,} | {change(1 - now / was) if was else ''} |" for name, was, now in rows]

    def _scores(self, test: Score | None, original_test: Score | None, measure: Measure) -> list[str]:
        rows = [
            (f"validation {measure.name}", measure.of(self.before), measure.of(self.after)),
            (f"test {measure.name} of the saved file", _value(original_test, measure), _value(test, measure)),
        ]
        return [
            f"| {name} | {measure.text(was)} | {measure.text(now)} | {measure.change(was, now)} |"
            for name, was, now in rows
            if was is not None and now is not None
        ]


def _uncounted(model: keras.Model) -> list[str]:
    """Which layers' FLOPs are missing in the costs; empty if none are."""
    names = uncounted(describe(model).layers)
    return [f"At least: {uncounted_sentence(names)}.", ""] if names else []


def _value(score: Score | None, measure: Measure) -> float | None:
    if score is None:
        return None
    return score.accuracy if measure.is_accuracy else score.metric


def how_to_load(model: keras.Model) -> list[str]:
    """How to load a model with Rankline's own layers in plain Keras; empty if it has none."""
    own = own_layers(model)
    return [f"To load it: {way_to_load(own)}.", ""] if own else []


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
