"""A device as a figure, on a page or as a picture: what it predicts of what was measured."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rankline.src.dse.errors import UserError
from rankline.src.dse.whole_file import write_text
from rankline.src.reports.figures.drawn import Drawn
from rankline.src.reports.figures.images import FORMATS, check_images, write_image
from rankline.src.reports.report.html import environment
from rankline.src.reports.report.latencies import trust

if TYPE_CHECKING:
    import pandas as pd

    from rankline.src.dse.devices.device import Device, Measured


def write_device_figure(device: Device, path: Path) -> Path:
    """Writes predictions against measurements as a page (.html) or a picture atomically; returns ``path``.

    Raises UserError as ``check_device_figure`` does, for a device without measurements, and if the file can't be
    written.
    """
    check_device_figure(path)
    if not device.measured:
        raise UserError(f"device '{device.name}' has no measurements on record to be drawn; measure it again")
    points = predictions(device)
    figure = drawn_predictions(device, points)
    if path.suffix == ".html":
        rows = points.to_dict("records")
        page = environment().get_template("device.html")
        write_text(path, page.render(device=device, trust=trust(device), figure=figure, rows=rows))
    else:
        write_image(figure, path)
    return path


def check_device_figure(path: Path) -> None:
    """Raises UserError for an ending that is none of a figure's, and as ``check_images`` does."""
    form = path.suffix.removeprefix(".")
    if form not in ("html", *FORMATS):
        raise UserError(
            f"cannot draw into '{path.name}'; possible endings: .html, {', '.join(f'.{f}' for f in FORMATS)}"
        )
    if form != "html":
        check_images(form)


def drawn_predictions(device: Device, points: pd.DataFrame) -> Drawn:
    """The figure of what ``predictions`` gives."""
    from rankline.src.reports.figures.predicted_times import predicted_times

    label = "Predicted against measured times of a call, in microseconds"
    return Drawn("predicted-times", label, predicted_times(points, ""))


def predictions(device: Device) -> pd.DataFrame:
    """Method (None for a layer as it is), what was measured, and microseconds measured and predicted of a call."""
    import pandas as pd

    rows = [
        (
            None if one.configuration is None else one.configuration.method,
            _told(one),
            one.picoseconds / 1e6,
            device.predicted(one) / 1e6,
        )
        for one in device.measured
    ]
    return pd.DataFrame(rows, columns=["method", "what", "measured", "predicted"])


def _told(one: Measured) -> str:
    """For example ``3×3 convolution, 16 → 32 channels, 8×8 outputs: tucker 3x8``."""
    layer = one.layer
    channels = f"{layer.in_channels} → {layer.out_channels} channels"
    if layer.kind == "dense":
        what = f"dense, {channels}" + (f", {layer.positions} positions" if layer.positions > 1 else "")
    else:
        kind = "depthwise" if layer.kept_because else "convolution"
        what = f"{_sizes(layer.kernel)} {kind}, {channels}, {_sizes(layer.out_size)} outputs"
    return what if one.configuration is None else f"{what}: {one.configuration}"


def _sizes(sizes: tuple[int, ...]) -> str:
    return "×".join(map(str, sizes))
