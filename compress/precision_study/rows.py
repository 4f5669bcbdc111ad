"""What a study of precisions finds: its rows, and how near losses come to adding up."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from statistics import mean
from typing import Any

from rankline.src.db.records.measure import Measure
from rankline.src.db.records.row import Row
from rankline.src.dse.precision import F32

ORIGINAL = "original"
"""The method of rows of the model that was given."""


@dataclass(frozen=True)
class Filed(Row):
    """A Keras model, and the file that was made of it.

    - ``params``, ``flops``: shares of the original's that the model keeps
    - ``precision``: of the file; ``is_fitted``: whether weights were fitted to what it rounds
    - ``bytes``: of the file
    - ``float_score``: of the Keras model; ``score``: of the file through its runtime
    """

    params: float
    flops: float
    precision: str
    is_fitted: bool
    bytes: int
    float_score: float
    score: float


@dataclass(frozen=True)
class Pair(Row):
    """A model at a precision, and what the two take from the original's score, alone and together.

    - ``method``: of the factorization, or ORIGINAL; ``ranks``: how ranks were chosen
    - ``metric``, ``share``: what the plan had to keep of the original, None where nothing was asked
    - ``factorization``: lost by the Keras model; ``rounding``: by the original's file at this precision; ``both``: by
      this model's file. Above zero is worse, whatever the score
    """

    method: str
    ranks: str
    metric: str | None
    share: float | None
    filed: Filed
    factorization: float
    rounding: float
    both: float

    @property
    def predicted(self) -> float:
        """What both take if neither adds to the other: the sum."""
        return self.factorization + self.rounding

    @property
    def deviation(self) -> float:
        """How much more both take than the sum; negative: less."""
        return self.both - self.predicted

    @property
    def is_of_both(self) -> bool:
        """Whether there is a factorization and a rounding at all."""
        return self.method != ORIGINAL and self.filed.precision != F32.name

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON, in one level."""
        own = super().as_dict()
        filed = own.pop("filed")
        return {**own, **filed.as_dict(), "predicted": self.predicted, "deviation": self.deviation}


@dataclass(frozen=True)
class Baseline(Row):
    """A way to a small file, in words, and what it takes from the original's score. share: of the FLOPs to keep."""

    way: str
    share: float | None
    filed: Filed
    lost: float

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON, in one level."""
        return {"way": self.way, "share": self.share, **self.filed.as_dict(), "lost": self.lost}


@dataclass(frozen=True)
class Remedied(Row):
    """CP in integers with some of the remedies, and what it takes from the original's score.

    - ``remedies``: in words; ``share``: of the FLOPs to keep
    - ``growth``: the largest of any layer (see ``numerics.stable.growth``): 1 where terms don't cancel
    """

    remedies: str
    share: float
    growth: float
    filed: Filed
    lost: float

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON, in one level."""
        own = super().as_dict()
        filed = own.pop("filed")
        return {**own, **filed.as_dict()}


@dataclass(frozen=True)
class Independence(Row):
    """How far both are from the sum, over ``count`` pairs: the mean and the largest deviation without their signs."""

    count: int
    mean: float
    largest: float


def independence(pairs: Iterable[Pair]) -> Independence | None:
    """Over the pairs that are of both; None if none is."""
    apart = [abs(one.deviation) for one in pairs if one.is_of_both]
    return Independence(len(apart), mean(apart), max(apart)) if apart else None


@dataclass(frozen=True)
class PrecisionStudy:
    """What was found for one model.

    - ``network``: its name; ``measure``: what it is judged by; ``data``, ``samples``: on what, and on how many samples
    - ``runtime``: that ran the files, with its version
    - ``left_out``: what could not be studied, with the reasons
    """

    network: str
    measure: Measure
    data: str
    samples: int
    runtime: str
    pairs: tuple[Pair, ...]
    baselines: tuple[Baseline, ...]
    remedies: tuple[Remedied, ...]
    left_out: tuple[str, ...]

    @property
    def independence(self) -> Independence | None:
        """Of all pairs."""
        return independence(self.pairs)

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        found = self.independence
        return {
            "network": self.network,
            "measure": self.measure.as_dict(),
            "data": self.data,
            "samples": self.samples,
            "runtime": self.runtime,
            "independence": None if found is None else found.as_dict(),
            "pairs": [one.as_dict() for one in self.pairs],
            "baselines": [one.as_dict() for one in self.baselines],
            "remedies": [one.as_dict() for one in self.remedies],
            "left_out": list(self.left_out),
        }
