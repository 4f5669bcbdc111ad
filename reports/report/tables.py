"""The tables of a report: exact values for machines, texts for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rankline.src.db.records.measure import ACCURACY
from rankline.src.db.records.networks import SpaceRow
from rankline.src.db.records.runs import LayerRecord
from rankline.src.dse.methods import METHODS
from rankline.src.dse.metric import FLOPS
from rankline.src.dse.numbers import change, decimals, percent
from rankline.src.reports.report.content import Content
from rankline.src.reports.report.latencies import latency_columns, latency_tables, latency_values
from rankline.src.reports.report.layers import ReportedLayer
from rankline.src.reports.report.table import Column, Table, counted

AS_IT_IS = (
    "name", "kind", "in_channels", "out_channels", "padding", "groups", "params", "fm", "flops", "damage", "kept",
)  # fmt: skip

LAYER_KEYS = (
    "name", "kind", "kernel", "in_channels", "out_channels", "in_size", "out_size", "strides", "padding", "groups",
    "params", "fm", "flops", "n_total", "n_better", "n_useful",
    "method", "ranks", "shape", "params_after", "fm_after", "flops_after", "similarity", "error", "damage", "kept",
)  # fmt: skip
"""The columns of a layer: the original, its configurations, and its choice in the run; latencies follow."""

UNITS = (
    "FLOPs are 2 × multiply-accumulates; FLOPs, feature maps (elements) and memory (bytes, 4 an element) are those of "
    "one sample."
)

MEANINGS = {
    "similarity": "Similarity: mean cosine of the layer's feature maps before and after.",
    "error": "Error: relative Frobenius error of the kernel, before fine-tuning.",
    "damage": "Damage: the layer's share of what all layers were predicted to do.",
}


def report_tables(content: Content) -> list[Table]:
    """With a run: before and after, the chosen plan, the trials and their files; then latencies, the layers and the
    spaces."""
    tables = [*latency_tables(content.times, content.recorded), _layers(content), _spaces(content)]
    if content.outcome is None or content.outcome.best is None:
        return tables
    files = [] if content.files is None else [content.files]
    return [_changes(content), _plan(content), _trials(content), *files, *tables]


def layer_table(content: Content) -> Table:
    """A row for each layer: its shape and costs, its choice in the run, and its latency on each device."""
    spaces: dict[str, list[SpaceRow]] = {}
    for space in content.spaces:
        spaces.setdefault(space.layer, []).append(space)
    rows = [_layer(layer, spaces.get(layer.name, [])) for layer in content.layers]
    columns = [Column(key, key) for key in LAYER_KEYS]
    for of in content.times:
        columns += latency_columns(of)
        for place, layer in enumerate(content.layers):
            rows[place] |= latency_values(of, place, layer.choice is not None)
    return Table("layers", f"Layers of {content.network.name}", columns, rows)


def _layer(layer: ReportedLayer, spaces: Sequence[SpaceRow]) -> dict[str, Any]:
    choice = layer.choice
    found: dict[str, Any] = {key: getattr(layer, key) for key in AS_IT_IS}
    found |= {key: _sizes(getattr(layer, key)) for key in ("kernel", "in_size", "out_size", "strides")}
    found |= {key: sum(getattr(one, key) for one in spaces) for key in ("n_total", "n_better", "n_useful")}
    found |= {key: choice and getattr(choice, key) for key in ("method", "shape", "similarity", "error")}
    found |= {f"{key}_after": choice and getattr(choice.cost, key) for key in ("params", "fm", "flops")}
    found |= {"ranks": choice and _sizes(choice.ranks or ())}
    if not layer.kernel:
        found["padding"] = None  # dense layers have none
    return found


def _changes(content: Content) -> Table:
    rows = [
        {
            "part": part.part,
            "metric": part.titled(title, metric),
            "before": part.value("before", metric),
            "after": part.value("after", metric),
            "reduction": part.reduction(metric),
        }
        for part in (content.outcome.changes if content.outcome else ())
        for title, metric in (("params", "params"), ("FLOPs", "flops"), ("memory (bytes)", "memory"))
    ]
    columns = (
        Column("part", "part"),
        Column("metric", "metric"),
        counted("before", "before"),
        counted("after", "after"),
        Column("reduction", "change", change, number=True),
    )
    return Table("changes", "Before and after", columns, rows, (UNITS,))


def _plan(content: Content) -> Table:
    rows = []
    for layer in content.layers:
        if choice := layer.choice:
            rows.append(
                {
                    "layer": layer.name,
                    "method": choice.method,
                    "ranks": _ranks(choice),
                    "params": choice.cost.params,
                    "params_reduction": layer.params_saved,
                    "flops": choice.cost.flops,
                    "flops_reduction": layer.flops_saved,
                    "similarity": choice.similarity,
                    "error": choice.error,
                    "damage": layer.damage,
                }
            )
    columns = [
        Column("layer", "layer"),
        Column("method", "method", _title),
        Column("ranks", "ranks"),
        counted("params", "params"),
        Column("params_reduction", "change", change, number=True),
        counted("flops", "FLOPs"),
        Column("flops_reduction", "change", change, number=True),
        Column("similarity", "similarity", decimals, number=True),
        Column("error", "error", decimals, number=True),
        Column("damage", "damage", percent, number=True),
    ]
    shown = _filled(columns, rows)
    notes = [MEANINGS[column.key] for column in shown if column.key in MEANINGS]
    return Table("plan", "Chosen plan", shown, rows, notes)


def _trials(content: Content) -> Table:
    keys = ("number", "status", "loss", "params", "flops", "seconds")
    trials = content.outcome.trials if content.outcome else ()
    flops = FLOPS.titled("FLOPs", content.network.cost)
    measure = content.outcome.measure if content.outcome else ACCURACY
    rows = [{**{key: trial[key] for key in keys}, "accuracy": measure.of(trial)} for trial in trials]
    columns = (
        counted("number", "trial"),
        Column("status", "status"),
        Column("accuracy", f"{measure.name}, validation", measure.text, number=True),
        Column("loss", "loss", decimals, number=True),
        counted("params", "params"),
        counted("flops", flops),
        Column("seconds", "seconds", lambda value: f"{value:.1f}", number=True),
    )
    return Table("trials", "Trials", columns, rows)


def _layers(content: Content) -> Table:
    rows = layer_table(content).rows
    columns = [
        Column("name", "layer"),
        Column("kind", "kind"),
        Column("kernel", "kernel"),
        counted("in_channels", "in"),
        counted("out_channels", "out"),
        Column("in_size", "size"),
        Column("strides", "stride"),
        counted("params", "params"),
        counted("fm", "feature maps"),
        counted("flops", "FLOPs"),
        Column("kept", "kept because"),
    ]
    notes = ("Params of a layer are those of its kernel; feature maps are elements, for one sample.",)
    return Table("layers", "Layers", _filled(columns, rows), rows, notes)


def _spaces(content: Content) -> Table:
    columns = (
        Column("layer", "layer"),
        Column("method", "method", _title),
        counted("n_total", "all"),
        counted("n_better", "better"),
        counted("n_useful", "useful"),
    )
    notes = (
        "Numbers of configurations. Better: params and FLOPs both below the original's. Useful: better, and no rank "
        "larger than its neighbours can feed.",
    )
    return Table("spaces", "Configurations", columns, [one.as_dict() for one in content.spaces], notes)


def _filled(columns: Sequence[Column], rows: Sequence[Mapping[str, Any]]) -> list[Column]:
    """The columns that have a value in any row."""
    return [column for column in columns if any(row[column.key] is not None for row in rows)] or list(columns)


def _sizes(sizes: Sequence[int]) -> str | None:
    return "x".join(map(str, sizes)) or None


def _ranks(choice: LayerRecord) -> str:
    ranks = ", ".join(map(str, choice.ranks or ()))
    return f"{ranks} at {choice.shape}" if choice.shape else ranks


def _title(method: str) -> str:
    return METHODS[method].title if method in METHODS else method
