"""How the inputs of the data are scaled, and what its labels are for: the options of the commands that take data."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import TYPE_CHECKING, Annotated

import typer

from rankline.cli.output import number, numbers
from rankline.src.dse.errors import UserError

if TYPE_CHECKING:
    from rankline.src.compress.data.scaling import Scaling

RescaleOption = Annotated[
    str,
    typer.Option(
        help="Factor on the inputs, such as 1/255 or 1/127.5, with a shift 1/127.5-1, or the range that 0 to 255 "
        "becomes, such as 0:1 or -1:1."
    ),
]
MeanOption = Annotated[str, typer.Option(help="Means to subtract after that, one per channel.")]
StdOption = Annotated[str, typer.Option(help="Deviations to divide by then.")]
LossOption = Annotated[
    str | None,
    typer.Option(
        help="What the model is trained with, if not what it was compiled with: a loss of Keras, such as "
        "mean_squared_error, or package.module:function; of several outputs OUTPUT=NAME, separated by commas.",
        metavar="NAME",
    ),
]
ScoreOption = Annotated[
    str | None,
    typer.Option(
        help="What it is judged by, if not its accuracy or what it was compiled with: a metric of Keras, such as "
        "mean_absolute_error, or package.module:function of labels and outputs (higher is better); of one of several "
        "outputs OUTPUT=NAME.",
        metavar="NAME",
    ),
]

_AFTER_NUMBER = re.compile(r"(?<=[\d.])(?=[+-])")

_BYTE = 255
"""The largest value of a byte, which a range is for."""


def scaling_of(rescale: str, mean: str, std: str) -> Scaling:
    """The scaling that ``--rescale``, ``--mean`` and ``--std`` ask for. Raises UserError."""
    from rankline.src.compress.data.scaling import Scaling

    factor, shift = _factor_and_shift(rescale)
    means = tuple(float(Fraction(one) - shift) if shift else one for one in numbers(mean, "--mean"))
    return Scaling(float(factor), means, numbers(std, "--std"))


def _factor_and_shift(text: str) -> tuple[Fraction, Fraction]:
    """Of ``1/255``, ``1/127.5-1``, and of a range ``-1:1``."""
    try:
        low, *high = (number(part) for part in text.split(":"))
        if len(high) == 1 and high[0] > low:
            return (high[0] - low) / _BYTE, low
        if not high:
            return low, Fraction(0)
    except (ValueError, ZeroDivisionError):
        pass
    try:
        factor, shift = map(number, _AFTER_NUMBER.split(text))
    except (ValueError, ZeroDivisionError):
        raise UserError(
            f"--rescale takes one number, such as 1/255, perhaps with a shift (1/127.5-1), or a range, such as -1:1; "
            f"got '{text}'"
        ) from None
    return factor, shift
