"""How the inputs of the data are scaled: the options of every command that takes data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from rankline.cli.output import numbers
from rankline.src.dse.errors import UserError

if TYPE_CHECKING:
    from rankline.src.compress.data.sets import Scaling

RescaleOption = Annotated[str, typer.Option(help="Factor on the inputs, such as 1/255.")]
MeanOption = Annotated[str, typer.Option(help="Means to subtract after that, one per channel.")]
StdOption = Annotated[str, typer.Option(help="Deviations to divide by then.")]


def scaling_of(rescale: str, mean: str, std: str) -> Scaling:
    """The scaling that ``--rescale``, ``--mean`` and ``--std`` ask for. Raises UserError."""
    from rankline.src.compress.data.sets import Scaling

    factor, *more = numbers(rescale, "--rescale")
    if more:
        raise UserError(f"--rescale takes one number, such as 1/255; got '{rescale}'")
    return Scaling(factor, numbers(mean, "--mean"), numbers(std, "--std"))
