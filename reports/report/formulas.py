"""The methods' formulas as MathML, which browsers draw without scripts."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

import sympy as sp
from markupsafe import Markup
from sympy.printing.mathml import mathml

from rankline.src.dse.formula import Formula, original_formula
from rankline.src.dse.methods import METHODS
from rankline.src.dse.options import Options

PRIMED = re.compile(r"<msub><mi>(\w+)'</mi><mi>(\d+)</mi></msub>")
"""A symbol such as X'_1, whose prime sympy treats as part of the name."""


@dataclass(frozen=True)
class Written:
    """A method's costs of one sample, each as MathML: params (weights), fm (elements) and FLOPs."""

    title: str
    params: Markup
    fm: Markup
    flops: Markup


def written_formulas(spaces: Iterable[tuple[str, int]]) -> list[Written]:
    """The formulas for each distinct (method, number of spatial axes with a factor), those of the originals first.

    T3F has no axes of its own; it is written for each default number of cores.
    """
    wanted = set(spaces)
    found = [
        _written(f"original {_kind(axes)}", original_formula(axes)) for axes in sorted({axes for _, axes in wanted})
    ]
    for name, method in METHODS.items():
        axes_of = sorted(axes for known, axes in wanted if known == name)
        if name == "t3f":
            cores = Options().t3f_cores if axes_of else ()
            found += [_written(f"{method.title}, {count} cores", method.formula(count)) for count in cores]
        else:
            found += [_written(f"{method.title}, {_kind(axes)}", method.formula(axes)) for axes in axes_of]
    return found


def _kind(axes: int) -> str:
    return f"{axes}-D convolution" if axes else "matrix"


def _written(title: str, formula: Formula) -> Written:
    flops = sp.Mul(2, formula.macs, evaluate=False)
    return Written(title, *(_mathml(one) for one in (formula.params, formula.fm, flops)))


def _mathml(expression: sp.Expr) -> Markup:
    """Presentation MathML with thin spaces between factors and proper primes."""
    text = mathml(expression, printer="presentation")
    text = text.replace("<mo>&InvisibleTimes;</mo>", '<mspace width="0.2em"></mspace>')
    text = PRIMED.sub(r"<msub><mrow><mi>\1</mi><mo>′</mo></mrow><mn>\2</mn></msub>", text)
    return Markup(f"<math>{text}</math>")
