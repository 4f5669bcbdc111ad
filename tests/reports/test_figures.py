from __future__ import annotations

from dataclasses import replace

import pandas as pd
import plotly.graph_objects as go
import pytest

from rankline.src.dse.cost import Cost
from rankline.src.dse.pruning import PrunedOriginal
from rankline.src.reports.figures.axis import AXES
from rankline.src.reports.figures.run_path import run_path
from rankline.src.reports.figures.similarity import similarity
from rankline.src.reports.figures.smaller_originals import smaller_originals
from rankline.src.reports.figures.solution_cloud import VIEW, solution_cloud

ORIGINAL = Cost(100, 50, 1000)
NOTHING = pd.DataFrame()


def solutions(*rows: tuple[str, list[int], str | None, int, int]) -> pd.DataFrame:
    """Rows of method, ranks, shape, params and FLOPs, with the reductions."""
    frame = pd.DataFrame(rows, columns=["method", "ranks", "shape", "params", "flops"])
    return frame.assign(params_reduction=1 - frame["params"] / 100, flops_reduction=1 - frame["flops"] / 1000)


ENVELOPE = pd.DataFrame(
    [("svd", 0, 9, 10, 20), ("svd", 10, 19, 30, 40), ("svd", 40, 49, 90, 95), ("t3f", 0, 49, 5, 60)],
    columns=["method", "low", "high", "min_flops", "max_flops"],
)

SAMPLE = solutions(("t3f", [2, 3], "4x4:2x8", 20, 300), ("svd", [4], None, 40, 400))


def trace(figure: go.Figure, name: str) -> go.Scatter:
    return next(one for one in figure.data if one.name == name)


def test_cloud_shows_every_method_the_original_the_region_and_the_chosen_one() -> None:
    figure = solution_cloud(ENVELOPE, SAMPLE, ORIGINAL, solutions(("svd", [4], None, 40, 400)), "a layer")
    assert [one.name for one in figure.data if one.name] == ["original", "SVD", "T3F", "chosen: SVD"]
    assert (trace(figure, "original").x, trace(figure, "original").y) == ((100,), (1000,))
    region = figure.layout.shapes[0]
    assert (region.x0, region.x1, region.y0, region.y1) == (0, 100, 0, 1000)
    assert trace(figure, "chosen: SVD").marker.color == trace(figure, "SVD").marker.color
    assert figure.layout.title.text == "a layer"
    assert figure.layout.xaxis.title.text == "params (weights)"
    assert figure.layout.yaxis.title.text == "FLOPs per sample"
    assert tuple(figure.layout.xaxis.range) == (0, 100 * VIEW)


def test_band_has_the_exact_corners_of_each_level_and_gaps_where_there_is_none() -> None:
    band = next(one for one in solution_cloud(ENVELOPE, SAMPLE, ORIGINAL, NOTHING, "").data if one.fill)
    assert band.x == (0, 10, 10, 20, 20, 10, 10, 0, 0, None, 40, 50, 50, 40, 40, None)
    assert band.y == (20, 20, 40, 40, 30, 30, 10, 10, 20, None, 95, 95, 90, 90, 95, None)


def test_hover_tells_ranks_shape_and_reductions() -> None:
    hover = trace(solution_cloud(ENVELOPE, SAMPLE, ORIGINAL, NOTHING, ""), "T3F").customdata
    assert list(hover[0]) == ["t3f 2x3 4x4:2x8", "20", "80.0 %", "300", "70.0 %"]


def test_a_method_without_useful_configurations_is_still_in_the_legend() -> None:
    assert trace(solution_cloud(ENVELOPE, solutions(), ORIGINAL, NOTHING, ""), "T3F").x == (None,)
    assert [one.name for one in solution_cloud(NOTHING, NOTHING, ORIGINAL, NOTHING, "").data] == ["original"]


def test_methods_that_have_no_title_are_shown_by_their_escaped_name() -> None:
    sample = solutions(("<b>new</b>", [1], "<i>", 5, 50))
    points = trace(solution_cloud(NOTHING, sample, ORIGINAL, NOTHING, ""), "&lt;b&gt;new&lt;/b&gt;")
    assert points.customdata[0][0] == "&lt;b&gt;new&lt;/b&gt; 1 &lt;i&gt;"


def test_titles_are_escaped() -> None:
    figure = solution_cloud(ENVELOPE, SAMPLE, ORIGINAL, NOTHING, "<a href='x'>&lt;")
    assert figure.layout.title.text == "&lt;a href='x'&gt;&amp;lt;"


PRUNED = (PrunedOriginal(6, 8, Cost(75, 38, 750)), PrunedOriginal(4, 8, Cost(50, 25, 500)))


def test_pruned_and_quantized_originals_stand_beside_the_factorizations_in_the_memory_plane() -> None:
    figure = solution_cloud(NOTHING, NOTHING, ORIGINAL, NOTHING, "", against="memory_bytes", pruned=PRUNED)
    assert (trace(figure, "original").x, trace(figure, "original").y) == ((4 * 150,), (1000,))
    quantized, pruned = trace(figure, "quantized original"), trace(figure, "pruned original")
    assert (quantized.text, quantized.x, quantized.y) == (("f16", "int8"), (2 * 150, 150), (1000, 1000))
    assert (pruned.text, pruned.x, pruned.y) == (("75%", "50%"), (4 * 113, 4 * 75), (750, 500))
    assert quantized.hovertext[1] == "<b>original, quantized to int8</b><br>memory 150 bytes<br>FLOPs 1,000"
    assert pruned.hovertext[0].startswith("<b>original, pruned to 6 of 8 filters</b><br>params 75 (reduction 25.0 %)")
    assert pruned.hovertext[0].endswith("memory 452 bytes")


def test_params_have_pruned_originals_but_no_quantized_ones() -> None:
    figure = solution_cloud(NOTHING, NOTHING, ORIGINAL, NOTHING, "", pruned=PRUNED)
    assert trace(figure, "pruned original").x == (75, 50)
    assert "quantized original" not in {one.name for one in figure.data}


def test_latencies_have_the_pruned_originals_that_the_device_can_tell() -> None:
    original = replace(ORIGINAL, latency=8 * 10**9)
    told = replace(PRUNED[1], cost=replace(PRUNED[1].cost, latency=5 * 10**9))
    figure = solution_cloud(NOTHING, NOTHING, original, NOTHING, "", against="latency_ps", pruned=(PRUNED[0], told))
    assert (trace(figure, "pruned original").x, trace(figure, "pruned original").y) == ((0.005,), (500,))
    assert "quantized original" not in {one.name for one in figure.data}
    figure = solution_cloud(NOTHING, NOTHING, original, NOTHING, "", against="latency_ps", pruned=PRUNED)
    assert "pruned original" not in {one.name for one in figure.data}


@pytest.mark.parametrize(("precision", "places"), [("f32", [300, 150]), ("f16", [150]), ("int8", None)])
def test_an_axis_at_a_precision_has_the_originals_of_fewer_bytes(precision: str, places: list[int] | None) -> None:
    found = smaller_originals(ORIGINAL, (), AXES["memory_bytes"].at(precision))
    assert [one["x"] for one in found] == ([] if places is None else [places])


TRIALS = pd.DataFrame(
    [(0, "original", 0.95, 100), (1, "tried", 0.8, 20), (2, "chosen", 0.94, 40)],
    columns=["number", "status", "accuracy", "params"],
)


def test_path_is_in_percent_and_in_the_order_of_the_trials() -> None:
    figure = run_path(TRIALS, 0.95, 0.02)
    assert trace(figure, "trial").x == (20, 40)
    assert trace(figure, "trial").y == pytest.approx((80, 94))
    assert trace(figure, "trial").text == ("1", "")
    assert (trace(figure, "chosen").x, trace(figure, "chosen").text) == ((40,), ("<b>2</b>",))
    assert trace(figure, "original").y == pytest.approx((95,))
    line = figure.layout.shapes[0]
    assert (line.y0, line.line.dash, line.name) == (pytest.approx(93), "dash", "allowed: 93.0 %")


def test_path_without_an_allowed_drop_has_no_line() -> None:
    assert not run_path(TRIALS, 0.95, None).layout.shapes
    assert not run_path(TRIALS[:0], None, 0.02).layout.shapes


def test_long_paths_number_some_trials_only() -> None:
    rows = [(n, "tried", 0.5, n) for n in range(1, 61)]
    figure = run_path(pd.DataFrame(rows, columns=TRIALS.columns), 0.9, 0.01)
    assert [text for text in trace(figure, "trial").text if text] == [str(n) for n in range(1, 61, 3)]


def test_similarity_has_a_row_a_layer_in_order_and_gaps_for_what_is_not_known() -> None:
    rows = [(1, "z<", 0.5), (1, "a", 0.7), (2, "z<", 0.9)]
    heat = similarity(pd.DataFrame(rows, columns=["trial", "layer", "similarity"])).data[0]
    assert heat.y == ("z&lt;", "a")
    assert heat.x == ("1", "2")
    assert [list(row) for row in heat.z] == [[0.5, 0.9], [0.7, None]]


def test_similarity_shortens_long_names_beside_the_rows_alone() -> None:
    name = "block_12/with_a_long_path/<conv>"
    figure = similarity(pd.DataFrame([(1, name, 0.5)], columns=["trial", "layer", "similarity"]))
    assert figure.data[0].y == ("block_12/with_a_long_path/&lt;conv&gt;",)
    assert figure.layout.yaxis.ticktext == ("…with_a_long_path/&lt;conv&gt;",)
