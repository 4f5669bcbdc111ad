"""A page about a compressed model, to lie next to its file."""

from __future__ import annotations

import keras

from rankline.src.compress.data.sets import Data
from rankline.src.compress.layers.depthwise import DepthwiseAlongAxis
from rankline.src.compress.layers.tt_matrix import TTMatrix
from rankline.src.compress.search.search import Run
from rankline.src.compress.training.fine_tuning import Score


def model_card(run: Run, network: str, data: Data, test: Score, before: Score) -> str:
    """Markdown: what the model is made of, what it gained and cost, and on which data that was found."""
    then, now = run.original, run.chosen
    lines = [
        f"# {network}, compressed",
        "",
        f"Made by Rankline in run {run.id}, which ended with: {run.status}. {len(run.trials) - 1} models were tried.",
        "",
        "| | original | compressed | change |",
        "|---|---|---|---|",
        *(
            f"| {name} | {was:,} | {is_now:,} | {is_now / was - 1:+.1%} |"
            for name, was, is_now in (
                ("params", then.cost.params, now.cost.params),
                ("FLOPs of one sample", then.cost.flops, now.cost.flops),
                ("feature-map elements of one sample", then.cost.fm, now.cost.fm),
            )
        ),
        *(
            f"| {name} | {was:.2%} | {is_now:.2%} | {100 * (is_now - was):+.2f} points |"
            for name, was, is_now in (
                ("validation accuracy", then.accuracy, now.accuracy),
                ("test accuracy of the saved file", before.accuracy, test.accuracy),
            )
            if was is not None and is_now is not None
        ),
        "",
        f"Data: {data.name}, {len(data.x_train):,} samples to train, {len(data.x_validation):,} to choose, "
        f"{len(data.x_test):,} to report on; the last were used for nothing else.",
        "",
        *how_to_load(run.model),
        *_layers(run),
    ]
    return "\n".join(lines).rstrip() + "\n"


def how_to_load(model: keras.Model) -> list[str]:
    """What plain Keras needs to load a model that has layers of Rankline's own; nothing where it has none."""
    if not _has_own_layers(model):
        return []
    return ["It has layers that Keras hasn't: `import rankline.layers` before `keras.saving.load_model`.", ""]


def _has_own_layers(layer: keras.Layer) -> bool:
    return isinstance(layer, TTMatrix | DepthwiseAlongAxis) or any(map(_has_own_layers, getattr(layer, "layers", ())))


def _layers(run: Run) -> list[str]:
    if not run.plan:
        return ["No layer is factorized."]
    shaped = any(one.shape for one in run.plan.values())
    head = ["layer", "method", "ranks", *(["tensor shape"] if shaped else [])]
    rows = [
        [path, one.method, " ".join(map(str, one.ranks)), *([one.shape or ""] if shaped else [])]
        for path, one in run.plan.items()
    ]
    return [f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows)]
