"""How a model is made smaller: the strategies by name, and the methods that they take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from typing import TYPE_CHECKING, Any

from rankline.src.compress.runs.settings import Settings
from rankline.src.dse.errors import UserError, one_of

if TYPE_CHECKING:
    from rankline.src.compress.runs.job import Job
    from rankline.src.compress.runs.run import Run
    from rankline.src.compress.runs.watch import OnPart
    from rankline.src.compress.training.losses import ScoreFunction

STRATEGIES = {
    "similarity": ("search.search", "search"),
    "hybrid": ("search.hybrid", "hybrid"),
    "vbmf": ("baselines.strategies", "vbmf"),
    "pruning": ("baselines.strategies", "pruning"),
}
"""Module and function of each: the search with one pair of methods, with all of them, and the two baselines. They are
loaded at first use, because Keras takes seconds."""

CONV_METHODS = ("tucker", "cp", "tt")
DENSE_METHODS = ("svd", "qr", "t3f")
"""The hybrid's, after the published framework; spatial SVD, and SVD on convolutions, can be added."""


@dataclass(frozen=True, eq=False)
class Approach:
    """How a model is compressed.

    - ``strategy``: one of STRATEGIES
    - ``methods``: ``{"conv": "tucker", "dense": "svd"}``; the hybrid takes several of each
    - ``metric``: your own score, of labels and outputs, used instead of accuracy; higher is better, and ``max_drop`` is
      in its own units
    - ``jobs``: how many of a hybrid's searches run in parallel
    """

    strategy: str = "similarity"
    methods: Mapping[str, str | Sequence[str]] | None = None
    metric: ScoreFunction | None = None
    jobs: int = 1

    def __post_init__(self) -> None:
        if self.strategy not in STRATEGIES:
            raise one_of("strategy", self.strategy, list(STRATEGIES))
        for kind, given in self.by_kind.items():
            if kind not in ("conv", "dense"):
                raise one_of("kind of layer in methods", kind, ["conv", "dense"])
            if not given or (self.strategy != "hybrid" and len(given) > 1):
                raise UserError(
                    f"strategy {self.strategy} takes one method for {kind} layers, hybrid one or more; "
                    f"got {', '.join(given) or 'none'}"
                )
            for method in given:
                Settings(**{f"{kind}_method": method})  # type: ignore[arg-type]
        if self.jobs != 1 and self.strategy != "hybrid":
            raise UserError(
                f"jobs is the number of a hybrid's searches in parallel; leave it out with strategy {self.strategy}"
            )

    @property
    def by_kind(self) -> dict[str, tuple[str, ...]]:
        """The methods that were named, by kind of layer."""
        return {kind: (one,) if isinstance(one, str) else tuple(one) for kind, one in (self.methods or {}).items()}

    def settings(self, settings: Settings) -> Settings:
        """The settings, with the one method for each kind that was named."""
        if self.strategy == "hybrid":
            return settings
        return replace(settings, **{f"{kind}_method": given[0] for kind, given in self.by_kind.items()})  # type: ignore[arg-type]

    def needed(self, settings: Settings) -> tuple[str, ...]:
        """The methods that the network must be explored by. SVD is for the convolutions that the method for
        convolutions doesn't apply to."""
        if self.strategy != "hybrid":
            return settings.conv_method, settings.dense_method, "svd"
        known = {"conv": CONV_METHODS, "dense": DENSE_METHODS, **self.by_kind}
        return *known["conv"], *known["dense"], "svd"

    def run(self, job: Job, settings: Settings, on_part: OnPart) -> Run:
        """Makes the job's model smaller."""
        more: dict[str, Any] = {}
        if self.strategy == "hybrid":
            more = {f"{kind}_methods": given for kind, given in self.by_kind.items()}
            more |= {"on_part": on_part, "jobs": self.jobs}
        module, name = STRATEGIES[self.strategy]
        made: Run = getattr(import_module(f"rankline.src.compress.{module}"), name)(job, settings, **more)
        return made
