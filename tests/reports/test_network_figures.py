"""The front of error against cost, where a network's costs are, what its layers save, scores, times and predictions."""

from __future__ import annotations

from typing import Any

import pandas as pd
import plotly.graph_objects as go
import pytest

from rankline.src.reports.figures.axis import AXES
from rankline.src.reports.figures.front import front
from rankline.src.reports.figures.layer_reductions import layer_reductions
from rankline.src.reports.figures.method_scores import method_scores
from rankline.src.reports.figures.network_costs import network_costs
from rankline.src.reports.figures.palette import look
from rankline.src.reports.figures.predicted_times import BAND, ORIGINAL, predicted_times
from rankline.src.reports.figures.sweep_curve import sweep_curve
from rankline.src.reports.figures.times import OURS, PEERS, times
from tests.helpers.report_page import texts
from tests.reports.conftest import HOSTILE

POINTS = pd.DataFrame(
    [
        ("t3f", [2, 3], "4x4:2x8", 0.5, "exact", 90, 900),
        ("tt", [3], None, 0.25, "bound", 40, 800),
        ("tt", [2], None, 0.5, "bound", 20, 400),
        ("tucker", [2, 4], None, 0.125, "exact", 60, 700),
    ],
    columns=["method", "ranks", "shape", "error", "certainty", "params", "flops"],
)

LAYERS = pd.DataFrame(
    [("conv1", "conv", 10, 300, 6000), ("depth", "depthwiseconv2d", 10, None, None), ("fc", "dense", 80, 100, 2000)],
    columns=["name", "kind", "params", "fm", "flops"],
    dtype=object,
)

CHOICES = pd.DataFrame(
    [("conv1", "tucker", 0.75, -0.5), ("fc", "svd", 0.5, 0.25)],
    columns=["layer", "method", "params_reduction", "flops_reduction"],
)

SCORES = pd.DataFrame(
    [("best params", "tucker", 1.0), ("best params", "cp", 0.5), ("flexibility", "tucker", None)],
    columns=["criterion", "method", "score"],
)

TIMES = pd.DataFrame(
    [("lines", "a loop", 100.0), ("lines", OURS, 0.25), ("scan", OURS, 0.5), ("scan", "NumPy", 2.0)],
    columns=["work", "who", "seconds"],
)

PREDICTED = pd.DataFrame(
    [("svd", "dense: svd 3", 40.0, 44.0), (None, "dense", 100.0, 80.0), ("tucker", "3×3: tucker 2x3", 1000.0, 1000.0)],
    columns=["method", "what", "measured", "predicted"],
)


def by_name(figure: go.Figure) -> dict[str, Any]:
    return {trace.name: trace for trace in figure.data}


def test_a_front_is_sorted_by_cost_and_in_percent() -> None:
    found = by_name(front(POINTS, "a layer"))
    assert list(found) == ["Tucker", "TT, bound", "T3F"]
    assert (found["TT, bound"].x, found["TT, bound"].y) == ((20, 40), (50, 25))
    assert list(found["T3F"].customdata[0]) == ["ranks 2, 3, shape 4x4:2x8", "90", "50.0 %"]
    assert by_name(front(POINTS, "", "flops"))["Tucker"].x == (700,)


def test_a_front_tells_bounds_from_exact_errors_by_open_symbols() -> None:
    found = by_name(front(POINTS, ""))
    assert found["Tucker"].marker.symbol == look("tucker").symbol
    assert found["TT, bound"].marker.symbol == f"{look('tt').symbol}-open"
    assert found["TT, bound"].marker.color == look("tt").colour


def test_costs_add_up_to_the_whole_and_lie_end_to_end() -> None:
    found = by_name(network_costs(LAYERS, ""))
    assert set(found) == {"convolutions", "dense layers", "other layers"}
    assert [*zip(found["dense layers"].y, found["dense layers"].base, found["dense layers"].x, strict=True)] == [
        ("params", 20, 80), ("feature maps", 75, 25), ("FLOPs", 75, 25),
    ]  # fmt: skip
    assert found["other layers"].y == ("params",), "what is not known has no part"
    for part in ("params", "feature maps", "FLOPs"):
        shares = [x for one in found.values() for x, y in zip(one.x, one.y, strict=True) if y == part]
        assert sum(shares) == pytest.approx(100)


def test_reductions_are_coloured_by_method_and_may_be_growth() -> None:
    found = by_name(layer_reductions(CHOICES, ""))
    assert list(found) == ["Tucker, params", "Tucker, FLOPs", "SVD, params", "SVD, FLOPs"]
    assert (found["Tucker, params"].y, found["Tucker, params"].x) == (("conv1",), (75,))
    assert found["Tucker, FLOPs"].x == (-50,)
    assert found["SVD, params"].marker.line.color == look("svd").colour


def test_scores_have_a_bar_a_method_and_none_where_there_is_no_score() -> None:
    found = by_name(method_scores(SCORES, ""))
    assert (found["Tucker"].x, found["CP"].x) == ((1.0, None), (0.5,))
    assert found["Tucker"].text == ("1.00", "")


def test_times_show_ours_full_and_first_and_the_others_open() -> None:
    found = by_name(times(TIMES, ""))
    assert list(found) == [OURS, "a loop", "NumPy"]
    assert (found[OURS].y, found[OURS].x) == (("lines", "scan"), (0.25, 0.5))
    assert [found[name].marker.symbol for name in ("a loop", "NumPy")] == list(PEERS[:2])
    assert all(symbol.endswith("-open") for symbol in PEERS)


def test_a_work_without_any_measurable_time_has_no_row() -> None:
    unmeasured = pd.DataFrame([("instant", OURS, 0.0)], columns=TIMES.columns)
    found = by_name(times(pd.concat([TIMES, unmeasured]), ""))
    assert found[OURS].y == ("lines", "scan")
    assert not times(unmeasured, "").data


def test_predictions_are_beside_the_diagonal_in_the_colours_of_the_methods() -> None:
    figure = predicted_times(PREDICTED, "a device")
    found = by_name(figure)
    assert list(found) == ["within 15 %", "as measured", ORIGINAL, "Tucker", "SVD"]
    assert (found["SVD"].x, found["SVD"].y, found["SVD"].marker.color) == ((40.0,), (44.0,), look("svd").colour)
    assert list(found["SVD"].customdata[0]) == ["dense: svd 3", "+10.0 %"]
    assert found[ORIGINAL].customdata[0][1] == "−20.0 %"
    assert found["as measured"].x == found["as measured"].y
    corners = list(zip(found["within 15 %"].x, found["within 15 %"].y, strict=True))
    assert {round(abs(y / x - 1), 9) for x, y in corners} == {BAND}
    assert figure.layout.xaxis.range == figure.layout.yaxis.range
    assert figure.layout.xaxis.type == figure.layout.yaxis.type == "log"


def test_what_takes_no_time_is_not_among_the_predictions() -> None:
    idle = pd.DataFrame([("svd", "x", 3.0, 0.0)], columns=PREDICTED.columns)
    assert not predicted_times(idle, "").data
    assert len(by_name(predicted_times(pd.concat([PREDICTED, idle]), ""))["SVD"].x) == 1


@pytest.mark.parametrize("known", ["test", "validation"])
def test_a_curve_shows_the_accuracy_that_is_known(known: str) -> None:
    frame = pd.DataFrame(
        {"kept": [0.5, 1.0], "test": None, "validation": None, "damage": [2.0, None], known: [0.8, 0.9]}, dtype=float
    )
    assert list(by_name(sweep_curve(frame, "FLOPs"))) == [known, f"original, {known}"]


EMPTY = {
    front: POINTS,
    network_costs: LAYERS,
    layer_reductions: CHOICES,
    method_scores: SCORES,
    times: TIMES,
    predicted_times: PREDICTED,
}


@pytest.mark.parametrize("figure", EMPTY, ids=lambda one: one.__name__)
def test_axes_have_units_and_empty_frames_make_an_empty_figure(figure: Any) -> None:
    for frame in (EMPTY[figure][:0], EMPTY[figure]):
        drawn = figure(frame, "")
        title = drawn.layout.xaxis.title.text
        assert "(" in title
        drawn.to_json()
    assert not figure(EMPTY[figure][:0], "").data


def test_every_cost_of_a_front_has_its_unit() -> None:
    for cost, axis in AXES.items():
        frame = POINTS.assign(fm=1, memory_bytes=4, latency_ps=200_000_000)
        assert front(frame, "", cost).layout.xaxis.title.text == axis.title


def test_a_front_against_latency_is_in_seconds_for_the_axis_and_in_a_unit_that_fits_for_people() -> None:
    figure = front(POINTS.assign(latency_ps=200_000_000), "", "latency_ps")
    assert by_name(figure)["Tucker"].x == (0.0002,)
    assert by_name(figure)["Tucker"].customdata[0][1] == "200 us"
    assert figure.layout.xaxis.ticksuffix == "s"


@pytest.mark.parametrize(
    ("figure", "columns"),
    [
        (front, ["method", "certainty", "shape"]),
        (network_costs, ["name", "kind"]),
        (layer_reductions, ["layer", "method"]),
        (method_scores, ["criterion", "method"]),
        (times, ["work", "who"]),
        (predicted_times, ["method", "what"]),
    ],
    ids=lambda one: getattr(one, "__name__", ""),
)
def test_hostile_texts_are_escaped_everywhere(figure: Any, columns: list[str]) -> None:
    frame = EMPTY[figure][:1].assign(**dict.fromkeys(columns, HOSTILE))
    found = [text for text in texts(figure(frame, HOSTILE).to_plotly_json()) if "onerror" in text]
    tags = ("<br>", "<b>", "</b>", "<extra></extra>")
    assert found
    for text in found:
        for tag in tags:
            text = text.replace(tag, "")
        assert "<" not in text
