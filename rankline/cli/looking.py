"""What ``explore --errors`` does beyond exploring: looks at the trained weights, and at calibration data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rankline.cli.output import note, warnings_as_notes, write_table
from rankline.cli.present.table import rounded, share

if TYPE_CHECKING:
    import keras

    from rankline.src.compress.data.scaling import Scaling
    from rankline.src.compress.fit.error_tables import MeasuredErrors
    from rankline.src.db.database import Database

UNTRAINED = ("app:", "zoo:")
"""What these name is built with random weights."""


def calibration_inputs(model: keras.Model, data: str, samples: int, scaling: Scaling) -> Any:
    """The first training inputs of the data: an array, or a batch of one for each input of a model with several.

    Raises UserError where the model doesn't take them.
    """
    from rankline.src.compress.data.calibration import training_inputs
    from rankline.src.compress.data.sets import DataWarning, Named
    from rankline.src.compress.fit.covariance import check_samples

    with warnings_as_notes(DataWarning):
        inputs = [one[:samples] for one in training_inputs(model, Named(data, scaling), samples)]
    check_samples(model, inputs)
    note(f"calibrating on {len(inputs[0]):,} inputs of {data}")
    return inputs[0] if len(inputs) == 1 else [inputs]


def look(
    model: keras.Model, database: Database, network: str, methods: Sequence[str] | None, inputs: Any, samples: int
) -> list[MeasuredErrors]:
    """Stores the errors of an explored network, with a bar; what calibration data lacks is told in a line each."""
    from rankline.cli.present.progress import bar
    from rankline.src.compress.fit.covariance import CalibrationWarning
    from rankline.src.compress.fit.measured_errors import measure_errors
    from rankline.src.compress.model.stored_layers import LayersMissing

    start = "weights" if inputs is None else "calibration data"
    with warnings_as_notes(CalibrationWarning, LayersMissing), bar("error tables", start) as progress:
        return measure_errors(
            model, database, network=network, methods=methods, calibrate=inputs, samples=samples, progress=progress
        )


def write_looked(looked: Sequence[MeasuredErrors], network: str, as_csv: bool = False) -> None:
    """A table of what was stored now, or as CSV."""
    if not looked and not as_csv:
        note(f"{network}: the errors of these weights are there already")
        return
    columns = ["layer", "method", "error of", "certainty", "spread", "tensor shapes", "seconds"]
    rows = [
        [
            one.layer,
            one.method,
            one.of,
            one.certainty,
            share(one.spread) if one.spread else None,
            one.shapes if one.shapes > 1 else None,
            rounded(one.seconds, 3),
        ]
        for one in looked
    ]
    spaces = "1 space" if len(rows) == 1 else f"{len(rows)} spaces"
    least = ["tensor shapes", "seconds", "spread"]
    write_table(f"{network}: errors of {spaces} stored", columns, rows, least_important=least, as_csv=as_csv)
    if any(one.spread for one in looked):
        note("spread: how far at most a true error lies from an estimate; query tells it for each configuration")
