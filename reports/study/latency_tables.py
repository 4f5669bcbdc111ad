"""Which method is fastest on a device at a params reduction, and how many better configurations are faster at all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import mean, median
from typing import Any

from rankline.src.dse.methods import METHODS
from rankline.src.dse.numbers import decimals, percent
from rankline.src.reports.report.table import Column, Table, counted
from rankline.src.reports.study.latencies import LEVELS, NEAR, Latencies, OnDevice
from rankline.src.reports.study.networks import Studied, StudiedLayer

ANSWERED = "0.5"
"""The level of which a sentence tells the fastest methods."""

NOTES = (
    "At each level, the lowest latency of a method's useful configurations with level <= params reduction < level + "
    "0.5 %; if there are none, of those at the nearest reduction above, if that is less than "
    f"{percent(float(NEAR))} above. Latencies are of the layer alone, as a share of the original layer's: above 100 % "
    "is slower. They don't tell of the error, which differs among configurations of equal params.",
    "‘with a solution’ counts the layers on which a method has one at the level. Of these: the least, median and "
    "largest of the lowest latencies, and how many are below the original's.",
    "‘fastest on’: of the layers on which some method has a solution at the level, the share on which this one has the "
    "lowest latency of all; methods that share it all count. Score: lowest latency of all / own, 0 without a solution; "
    "the mean over the same layers. Equal layers are counted each time.",
)

FASTER_NOTES = (
    "Better: params and FLOPs both below the original's; faster: the latency as well. Equal layers are counted each "
    "time; ‘mean of layers’ is the mean of the layers' own shares, in which large spaces count no more than small "
    "ones.",
)


@dataclass(frozen=True)
class TimedGroup:
    """Layers of a kind, each with its latencies by method."""

    title: str
    layers: tuple[dict[str, Latencies], ...]

    def methods(self) -> Iterator[str]:
        """The methods with latencies on any of the layers, in the registry's order."""
        return (name for name in METHODS if any(name in layer for layer in self.layers))


def timed_groups(studied: Studied, timed: OnDevice) -> list[TimedGroup]:
    """All layers of the networks that the device has numbers for: convolutions, 1x1 ones, and dense layers."""
    found: dict[str, list[dict[str, Latencies]]] = {"conv": [], "1×1 conv": [], "dense": []}
    for one in studied.layers:
        title = "1×1 conv" if one.layer.kind == "conv" and one.layer.is_pointwise else one.layer.kind
        if known := timed.of(one):
            found[title].append(known)
    return [TimedGroup(title, tuple(layers)) for title, layers in found.items() if layers]


def latency_table(studied: Studied, timed: OnDevice) -> Table:
    """The lowest latencies at each level, and how often each method has the lowest of all."""
    groups = timed_groups(studied, timed)
    rows = [
        {"at": float(level), "layers": group.title, "method": METHODS[method].title, **_row(group, place, method)}
        for group in groups
        for place, level in enumerate(LEVELS)
        for method in group.methods()
    ]
    columns = (
        Column("at", "params reduction", percent, number=True),
        Column("layers", "layers"),
        Column("method", "method"),
        counted("n_layers", "all"),
        counted("n_with", "with a solution"),
        *(Column(key, title, percent, number=True) for key, title in ENDS.items()),
        counted("n_faster", "faster than the original"),
        Column("fastest", "fastest on", percent, number=True),
        Column("score", "score", decimals, number=True),
    )
    title = f"Lowest latency at fixed reductions of params on {timed.device.name}"
    return Table("latency", title, columns, rows, (*_facts(studied, timed), answer(groups), *NOTES))


ENDS = {"least": "least", "median": "median", "largest": "largest"}


def _row(group: TimedGroup, place: int, method: str) -> dict[str, Any]:
    shares, wins, scores = [], [], []
    for layer in group.layers:
        times = {name: time for name, one in layer.items() if (time := one.lowest[place]) is not None}
        if not times:
            continue
        best, own = min(times.values()), times.get(method)
        wins.append(own == best)
        scores.append(0.0 if own is None else best / own if own else 1.0)
        if own is not None:
            shares.append(own / layer[method].original)
    return {
        "n_layers": sum(method in layer for layer in group.layers),
        "n_with": len(shares),
        **(dict(zip(ENDS, (min(shares), median(shares), max(shares)), strict=True)) if shares else dict.fromkeys(ENDS)),
        "n_faster": sum(one < 1 for one in shares),
        "fastest": mean(wins) if wins else None,
        "score": mean(scores) if scores else None,
        "n_compared": len(scores),
    }


def faster_table(studied: Studied, timed: OnDevice) -> Table:
    """How many of the better configurations are faster than the original, by method."""
    rows = []
    for group in timed_groups(studied, timed):
        for method in group.methods():
            spaces = [layer[method] for layer in group.layers if method in layer]
            better, faster = sum(one.n_better for one in spaces), sum(one.n_faster for one in spaces)
            shares = [one.n_faster / one.n_better for one in spaces if one.n_better]
            rows.append(
                {
                    "layers": group.title,
                    "method": METHODS[method].title,
                    "n_layers": len(spaces),
                    "n_better": better,
                    "n_faster": faster,
                    "share": faster / better if better else None,
                    "mean_share": mean(shares) if shares else None,
                    "n_never": sum(one.n_faster == 0 for one in spaces),
                }
            )
    columns = (
        Column("layers", "layers"),
        Column("method", "method"),
        counted("n_layers", "all"),
        counted("n_better", "better solutions"),
        counted("n_faster", "faster ones"),
        Column("share", "share", percent, number=True),
        Column("mean_share", "mean of layers", percent, number=True),
        counted("n_never", "layers without a faster one"),
    )
    title = f"Better solutions that are faster than the original on {timed.device.name}"
    return Table("latency_faster", title, columns, rows, (*_facts(studied, timed), *FASTER_NOTES))


def answer(groups: Sequence[TimedGroup]) -> str:
    """A sentence that tells which methods are fastest at the level ANSWERED, and how often."""
    place, parts = LEVELS.index(ANSWERED), []
    for group in groups:
        rows = {METHODS[method].title: _row(group, place, method) for method in group.methods()}
        most = max(row["fastest"] or 0 for row in rows.values())
        names = " and ".join(title for title, row in rows.items() if row["fastest"] == most)
        if most:
            compared = next(iter(rows.values()))["n_compared"]
            parts.append(f"{names} on {percent(most)} of {compared:,} {group.title} layers")
    found = "; ".join(parts) or "no method has a solution"
    return f"Most often fastest at a params reduction of {percent(float(ANSWERED))}: {found}."


def _facts(studied: Studied, timed: OnDevice) -> list[str]:
    """What the tables are about, and what is not in them."""
    device, fit = timed.device, timed.device.fit
    within = f"half of what was measured within {percent(fit.median)}, 90 % within {percent(fit.p90)}"
    facts = [studied.coverage(), f"Predicted for {device.title}: {within}."]
    for method, layers in timed.left_out(studied.layers).items():
        all_of_it = sum(method in layer.spaces for layer in studied.layers)
        where = "all layers" if len(layers) == all_of_it else _named(layers)
        facts.append(f"Left out, since the device has no numbers for them: {METHODS[method].title} on {where}.")
    return facts


def _named(layers: Sequence[StudiedLayer]) -> str:
    by_network: dict[str, list[str]] = {}
    for one in layers:
        by_network.setdefault(one.network, []).append(one.layer.name)
    return "; ".join(f"{', '.join(names)} of {network}" for network, names in by_network.items())
