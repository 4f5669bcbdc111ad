"""A device's figure as a page and as a picture."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from rankline.src.dse.errors import UserError
from rankline.src.dse.outgoing import for_html
from rankline.src.reports.figures.images import BROWSERS
from rankline.src.reports.report.device import predictions, write_device_figure
from tests.helpers.devices import made_up_device
from tests.helpers.report_page import Page
from tests.reports.conftest import HOSTILE

HAS_BROWSER = any(shutil.which(name) for name in BROWSERS)


def test_predictions_are_microseconds_of_what_was_measured() -> None:
    device = made_up_device()
    found = predictions(device)
    assert len(found) == len(device.measured)
    first, second = device.measured[:2]
    assert found["method"].isna()[0]
    assert list(found.loc[0])[1:] == [
        "3×3 convolution, 4 → 6 channels, 8×8 outputs", first.picoseconds / 1e6, device.predicted(first) / 1e6,
    ]  # fmt: skip
    assert found.loc[1, "what"] == f"3×3 convolution, 4 → 6 channels, 8×8 outputs: {second.configuration}"
    assert found["what"].iloc[-1] == "dense, 48 → 10 channels"


def test_the_page_has_every_measurement_and_loads_nothing(tmp_path: Path) -> None:
    device = made_up_device()
    page = Page(write_device_figure(device, tmp_path / "device.html").read_text(encoding="utf-8"))
    assert page.loads == []
    assert list(page.figures) == ["predicted-times"]
    assert "half are predicted within 6.2 %, and 90 % within 18.8 %" in page.text
    for row in predictions(device).itertuples():
        assert f"{row.what} {row.measured:.1f} {row.predicted:.1f}" in page.text


def test_hostile_names_are_text_on_the_page(tmp_path: Path) -> None:
    device = made_up_device()
    hostile = replace(device, name=HOSTILE, machine=HOSTILE, model=replace(device.model, device=HOSTILE))
    page = Page(write_device_figure(hostile, tmp_path / "device.html").read_text(encoding="utf-8"))
    assert "img" not in page.tags
    assert for_html(HOSTILE) in page.text


def test_what_cannot_be_drawn_is_told_and_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"cannot draw into 'device.gif'; possible endings: .html, .svg, .png, .pdf"):
        write_device_figure(made_up_device(), tmp_path / "device.gif")
    with pytest.raises(UserError, match="device 'laptop' has no measurements on record"):
        write_device_figure(replace(made_up_device(), measured=()), tmp_path / "device.html")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not HAS_BROWSER, reason="no Chrome or Chromium is installed")
def test_a_picture_is_written_by_its_ending(tmp_path: Path) -> None:
    path = write_device_figure(made_up_device(), tmp_path / "device.svg")
    assert path.read_bytes().startswith(b"<svg")
    assert list(tmp_path.iterdir()) == [path]
