"""The results that come row by row as the Markdown tables of the README.

Run: python -m benchmarks.tables compression|budget
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.record import RESULTS

Row = Mapping[str, Any]


def rows_of(name: str) -> list[Row]:
    """The rows on file."""
    found: list[Row] = json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))["rows"]
    return found


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table, numbers to the right."""
    lines = [head, ["---"] + ["---:"] * (len(head) - 1), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def compression() -> str:
    """Each network's runs: reductions, drops on the validation and the test part."""
    parts = []
    for network in dict.fromkeys(row["network"] for row in rows_of("compression")):
        some = [row for row in rows_of("compression") if row["network"] == network]
        lines = [
            [
                f"{row['strategy']}{', fit to data' if row['fit'] == 'data' else ''}"
                f"{', iterative' if row['schedule'] == 'iterative' else ''}",
                row["objective"],
                f"{100 * row['step']:g} / {row['max_solutions']}",
                *(_percent(row["reductions"].get(part)) for part in ("params", "conv params", "dense params", "flops")),
                f"{100 * row['validation drop']:.1f}",
                f"{100 * (row['test accuracy before'] - row['test accuracy after']):.1f}",
                str(row["trials"]) + ("" if row["status"] == "success" else f" ({row['status']})"),
            ]
            for row in some
        ]
        head = ("strategy", "objective", "step / max-sol", "params", "conv", "dense", "FLOPs", "val drop", "test drop")
        first = some[0]
        parts.append(f"{network}: test accuracy {100 * first['test accuracy before']:.2f} %\n\n")
        parts.append(table((*head, "trials"), lines) + "\n")
    return "".join(parts)


def budget() -> str:
    """Accuracies by case and share kept, a table for each study, network and metric; several seeds as a range."""
    parts = []
    some = [row for row in rows_of("budget") if "test accuracy" in row]
    groups = dict.fromkeys((row["study"], row["network"], row["metric"]) for row in some)
    for group in groups:
        here = [row for row in some if (row["study"], row["network"], row["metric"]) == group]
        shares = sorted({row["keep"] for row in here}, reverse=True)
        lines = []
        for case in dict.fromkeys(row["case"] for row in here):
            cells = []
            for share in shares:
                found = [100 * row["test accuracy"] for row in here if (row["case"], row["keep"]) == (case, share)]
                cells.append(_range(found))
            seconds = [row["seconds"] for row in here if row["case"] == case]
            took = " / ".join(f"{max(one[name] for one in seconds):g}" for name in ("options", "allocation", "fit"))
            lines.append([case, *cells, took])
        head = (f"{group[1]}, {group[2]} kept", *(f"{100 * share:g} %" for share in shares), "seconds at most")
        parts.append(f"{group[0]}:\n\n{table(head, lines)}\n")
    return "".join(parts)


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.1f} %"


def _range(found: Sequence[float]) -> str:
    if not found:
        return ""
    low, high = min(found), max(found)
    return f"{low:.2f}" if len(found) == 1 else f"{sum(found) / len(found):.2f} ({low:.2f} to {high:.2f})"


if __name__ == "__main__":
    print({"compression": compression, "budget": budget}[sys.argv[1]]())
