"""The costs of the methods as tables of MathML, from the sympy formulas that the program computes with."""

from __future__ import annotations

import sympy as sp
from sympy.printing.mathml import mathml

from rankline.src.dse import methods
from rankline.src.dse.formula import Formula
from rankline.src.dse.layer import conv, dense
from rankline.src.dse.lines import lines_of
from rankline.src.dse.space import spaces_of
from rankline.src.reports.report.formulas import Written, written_formulas

LAYERS = (
    ("3x3 convolution, 256 to 512 channels, 8x8", conv("layer", (3, 3), 256, 512, (8, 8))),
    ("dense, 400 to 120", dense("layer", 400, 120)),
)


def costs(name: str, *axes: str) -> str:
    """The costs of a method, or of the ``original`` layer, with each number of spatial axes; T3F has none."""
    wanted = sorted({int(one) for one in axes} or {0})
    if name == "original":
        found = written_formulas(("", axis) for axis in wanted)
        return "\n".join(_table(one) for one in found)
    found = [one for one in written_formulas((name, axis) for axis in wanted) if not one.title.startswith("original")]
    method = methods.get(name)
    counts = (2, 3) if name == "t3f" else wanted
    ranks = [_ranks(method.formula(count)) for count in counts]
    return "\n".join(_table(one, cap) for one, cap in zip(found, ranks, strict=True))


def counts() -> str:
    """How many configurations each method has on two layers, counted now."""
    rows = ["| layer | method | all | better | useful | rank lines |", "|---|---|---:|---:|---:|---:|"]
    for title, layer in LAYERS:
        for space in spaces_of(layer):
            lines = list(lines_of(space))
            known = [sum(getattr(one, name) for one in lines) for name in ("n_total", "n_better", "n_useful")]
            numbers = " | ".join(f"{number:,}" for number in (*known, sum(map(len, lines))))
            rows.append(f"| {title} | {methods.get(space.method).title} | {numbers} |")
            title = ""
    return "\n".join(rows)


def _table(one: Written, caps: str = "") -> str:
    """One method's costs; a wide formula scrolls within its cell's box."""
    rows = [("params", str(one.params)), ("FM elements", str(one.fm)), ("FLOPs", str(one.flops))]
    if caps:
        rows.append(("ranks", caps))
    body = "".join(f'<tr><th>{what}</th><td><div class="formula">{text}</div></td></tr>' for what, text in rows)
    title = one.title[0].upper() + one.title[1:]
    return f'<table class="costs"><caption>{title}</caption><tbody>{body}</tbody></table>'


def _ranks(formula: Formula) -> str:
    """How large each rank may be."""
    return ", ".join(
        f"<math><mrow>{_mathml(rank)}<mo>≤</mo>{_mathml(sp.sympify(cap))}</mrow></math>"
        for rank, cap in zip(formula.ranks, formula.caps, strict=True)
    )


def _mathml(expression: sp.Expr) -> str:
    return str(mathml(expression, printer="presentation")).replace(
        "<mo>&InvisibleTimes;</mo>", '<mspace width="0.2em"></mspace>'
    )
