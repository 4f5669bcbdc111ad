"""The tables of a study of precisions: what factorization and rounding lose, baselines, and CP's remedies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rankline.src.compress.precision_study.rows import PrecisionStudy
from rankline.src.db.records.measure import Measure
from rankline.src.db.records.row import Row
from rankline.src.dse.methods import METHODS
from rankline.src.dse.metric import METRICS
from rankline.src.dse.numbers import decimals, percent
from rankline.src.reports.report.table import Column, Table, counted

PAIRS_NOTES = (
    "Lost: how much worse than the original in Keras; above zero is worse. By factorization: the Keras model. By "
    "rounding: the original's file at this precision. By both: this model's file. Deviation: both, less the sum of the "
    "two.",
    "Ranks ‘allocated’: chosen over all layers for the least predicted damage. ‘later layers first’, as published: "
    "layers are decomposed from the last to the first, each to half of the share asked, until the network keeps it. "
    "‘VBMF’: by empirical variational Bayes matrix factorization, which asks for no share. Factors are fitted to data "
    "without labels or training in all of them.",
)

BASELINES_NOTES = (
    "All are scored through the runtime. Plans choose among all methods that are studied. Pruning removes the same "
    "share of the filters of every convolution, those of the least L1 norm.",
)

REMEDIES_NOTES = (
    "CP alone at a share of the FLOPs; the last factor of each layer is fitted to data in floats in all rows. Growth: "
    "the squared norms of the rank-one terms over that of their sum, in the layer where it is largest, before the fit "
    "to what is rounded; 1 where terms don't cancel.",
)


def independence_told(found: PrecisionStudy) -> str:
    """How near both are to the sum of each, in a sentence without the full stop."""
    known = found.independence
    if known is None:
        return "no pair of a factorization and a precision other than f32"
    apart = [_lost(found.measure)(one).removeprefix("+") for one in (known.mean, known.largest)]
    pairs = "1 pair" if known.count == 1 else f"{known.count:,} pairs"
    return f"{pairs}: both deviate from the sum by {apart[0]} in the mean, and by {apart[1]} at most"


def pairs_table(found: PrecisionStudy) -> Table:
    """Every plan at every precision."""
    told = independence_told(found)
    columns = (
        Column("method", "method", _method),
        Column("ranks", "ranks"),
        Column("share", "asked to keep", percent, number=True),
        Column("metric", "of the", lambda name: METRICS[name].title),
        *_filed(found.measure),
        *_losses(found.measure, ("factorization", "rounding", "both", "predicted", "deviation")),
    )
    notes = (f"{told[0].upper()}{told[1:]}.", _judged(found), *PAIRS_NOTES, *_left_out(found))
    return Table("pairs", "Factorization and rounding, alone and together", columns, _rows(found.pairs), notes)


def baselines_table(found: PrecisionStudy) -> Table:
    """Rounding alone, a plan that knows no rounding, one that does, and filter pruning."""
    columns = (
        Column("way", "way"),
        Column("share", "FLOPs asked to keep", percent, number=True),
        *_filed(found.measure),
        *_losses(found.measure, ("lost",)),
    )
    notes = (_judged(found), *BASELINES_NOTES)
    return Table("baselines", "Ways to a small file in integers", columns, _rows(found.baselines), notes)


def remedies_table(found: PrecisionStudy) -> Table:
    """CP in integers before and after each remedy."""
    columns = (
        Column("share", "FLOPs asked to keep", percent, number=True),
        Column("remedies", "remedies"),
        Column("growth", "growth", decimals, number=True),
        *_filed(found.measure),
        *_losses(found.measure, ("lost",)),
    )
    notes = (_judged(found), *REMEDIES_NOTES)
    return Table("remedies", "CP in integers, before and after each remedy", columns, _rows(found.remedies), notes)


def _rows(found: Sequence[Row]) -> list[dict[str, Any]]:
    return [one.as_dict() for one in found]


def _filed(measure: Measure) -> tuple[Column, ...]:
    return (
        Column("params", "params kept", percent, number=True),
        Column("flops", "FLOPs kept", percent, number=True),
        Column("precision", "precision"),
        counted("bytes", "bytes of the file"),
        Column("float_score", f"{measure.name} in Keras", measure.text, number=True),
        Column("score", f"{measure.name} of the file", measure.text, number=True),
    )


TITLES = {
    "factorization": "lost by factorization",
    "rounding": "lost by rounding",
    "both": "lost by both",
    "predicted": "sum of the two",
    "deviation": "deviation",
    "lost": "lost",
}


def _losses(measure: Measure, keys: Sequence[str]) -> list[Column]:
    return [Column(key, TITLES[key], _lost(measure), number=True) for key in keys]


def _lost(measure: Measure) -> Any:
    """Shows what is lost: above zero is worse."""
    return lambda lost: measure.change(0.0, lost)


def _method(name: str) -> str:
    return METHODS[name].title if name in METHODS else name


def _judged(found: PrecisionStudy) -> str:
    return (
        f"{found.network}: {found.measure.name} on {found.samples:,} test samples of {found.data}, of files through "
        f"{found.runtime}."
    )


def _left_out(found: PrecisionStudy) -> list[str]:
    return [f"Left out: {one}." for one in found.left_out]
