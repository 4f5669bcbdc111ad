from __future__ import annotations

import gzip
import subprocess
import sys
from base64 import b64decode
from pathlib import Path
from typing import Any

import keras
import pytest
from plotly.offline import get_plotlyjs

from rankline.src.compress.fit.measured_errors import measure_errors
from rankline.src.db.database import Database, open_database
from rankline.src.db.records.runs import FAILED, start_run
from rankline.src.dse.errors import UserError
from rankline.src.dse.methods import METHODS
from rankline.src.reports.report.html import write_report
from tests.helpers.report_page import Page, texts
from tests.reports.conftest import HOSTILE, LAYERS, SETTINGS, add_run


@pytest.fixture(scope="module")
def with_run(compressed: Database, tmp_path_factory: pytest.TempPathFactory) -> Page:
    path = tmp_path_factory.mktemp("page") / "report.html"
    return Page(write_report(compressed, path, run=1).read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def without_run(explored: Database, tmp_path_factory: pytest.TempPathFactory) -> Page:
    path = tmp_path_factory.mktemp("page") / "report.html"
    return Page(write_report(explored, path).read_text(encoding="utf-8"))


def test_nothing_is_loaded_from_anywhere(with_run: Page) -> None:
    assert with_run.loads
    assert all(address.startswith("#") for address in with_run.loads)
    assert {"default-src 'none'", "script-src 'unsafe-inline'"} <= set(with_run.policy.split("; "))
    assert "connect-src" not in with_run.policy
    assert not {"link", "img", "iframe", "object", "embed", "base"} & set(with_run.tags)
    own = [script for script in with_run.scripts if len(script) < 10_000]
    assert len(with_run.scripts) == len(own) + 1, "plotly.js is there once"
    assert not any("http" in script for script in own)


def test_links_within_the_page_lead_somewhere(with_run: Page, without_run: Page) -> None:
    for page in (with_run, without_run):
        assert {address[1:] for address in page.loads} <= set(page.ids)
        assert len(page.ids) == len(set(page.ids))


def test_hostile_names_are_text_and_nothing_else(with_run: Page) -> None:
    shown = " ".join(HOSTILE.split())
    assert with_run.text.count(shown) >= 4, "as title, heading, in tables and in the settings"
    found = [text for figure in with_run.figures.values() for text in texts(figure) if "onerror" in text]
    assert found, "the similarity figure has the layer's name"
    assert all("<" not in text.replace("<br>", "") for text in found)


def test_the_cloud_is_in_the_plane_of_flops_and_memory_with_smaller_originals(without_run: Page) -> None:
    cloud = without_run.figures["cloud-2"]  # dense, 24 to 16: 384 weights, 16 outputs
    assert cloud["layout"]["xaxis"]["title"]["text"] == "memory (bytes)"
    traces = {trace["name"]: trace for trace in cloud["data"] if "name" in trace}
    found = {name: list(zip(traces[name]["x"], traces[name]["y"], strict=True)) for name in traces if "orig" in name}
    assert found == {
        "original": [(1600, 768)],
        "quantized original": [(800, 768), (400, 768)],
        "pruned original": [(1200, 576), (800, 384), (400, 192)],
    }


def test_the_bytes_of_the_weights_are_told_at_each_precision(with_run: Page) -> None:
    told = " ".join(with_run.text.split())
    sizes = "4 kB before and 2.8 kB after at f32, 2 kB before and 1.4 kB after at f16, 1 kB before and 700 B after"
    assert f"The weights of the whole model take {sizes} at int8." in told


def test_a_name_cannot_end_the_script_that_holds_a_figure(explored: Database, report: Path) -> None:
    html = write_report(explored, report).read_text(encoding="utf-8")
    page = Page(html)
    assert html.count("</script>") == len(page.figures) + 2
    assert "\u2028" not in html.partition("application/json")[2].partition("</script>")[0]


def test_every_layer_and_method_appears(with_run: Page, without_run: Page) -> None:
    for page in (with_run, without_run):
        for layer in LAYERS:
            assert " ".join(str(layer["name"]).split()) in page.text
        for method in METHODS.values():
            assert method.title in page.text
        assert "depthwise <is> kept" in page.text
        clouds = [one for name, one in page.figures.items() if name.startswith("cloud")]
        assert {"cloud-0", "cloud-1", "cloud-2"} <= set(page.ids)
        assert {trace.get("name") for one in clouds for trace in one["data"]} >= {
            method.title for method in METHODS.values()
        }


def test_the_summary_tells_gain_cost_and_choice(with_run: Page) -> None:
    answer = with_run.text.partition("Before and after")[0]
    assert "Run 1 met the goal after 2 trials: params −30.0 %, FLOPs −33.3 % and memory −13.2 %" in answer
    assert "at −1.0 points of validation accuracy" in answer
    assert "94.0 % 95.0 % before, −1.0 points" in answer
    assert "92.5 %" in answer, "accuracy on the test part"
    assert "Tucker 2, 3 −63.0 %" in with_run.text
    # 216 weights each: one of them 80 now, the other as it was.
    assert "convolutions (kernels) params 432 296 −31.5 %" in with_run.text
    assert "kept: no rank lowers both" in with_run.text
    assert "kept: no configuration was close enough" in with_run.text
    assert "fine_tuning.epochs 3" in with_run.text
    clouds = {"cloud-0", "cloud-1", "cloud-2"}
    assert set(with_run.figures) == {*clouds, "run-path", "similarity", "reductions", "costs"}
    assert "Chosen: Tucker for " in answer
    assert "; 3 layers are as they were." in answer


def test_without_a_run_the_report_has_no_part_of_one(without_run: Page) -> None:
    assert "Nothing is compressed yet" in without_run.text
    assert set(without_run.figures) == {"cloud-0", "cloud-2", "costs"}
    assert not {"plan", "path"} & set(without_run.ids)
    assert not any(
        "chosen" in (trace.get("name") or "") for one in without_run.figures.values() for trace in one["data"]
    )


def test_equal_layers_share_one_figures_data_unless_their_choice_differs(with_run: Page, without_run: Page) -> None:
    assert "cloud-1" in without_run.ids
    assert "cloud-1-data" not in without_run.ids
    assert without_run.shown["cloud-1"] == without_run.shown["cloud-0"] == "cloud-0-data"
    assert with_run.shown["cloud-1"] == "cloud-1-data"


def test_a_report_is_far_below_5_mb(compressed: Database, report: Path) -> None:
    assert write_report(compressed, report, run=1).stat().st_size < 3_000_000


def test_plotly_is_packed_and_whole(with_run: Page) -> None:
    packed = next(script for script in with_run.scripts if len(script) > 10_000)
    assert gzip.decompress(b64decode(packed)).decode() == get_plotlyjs()


def test_layers_whose_errors_are_known_have_a_front(tmp_path: Path) -> None:
    database = open_database(str(tmp_path / "errors.db"))
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((6, 6, 3)), keras.layers.Conv2D(4, 3, name="conv")])
    database.explore(model, name="net", methods=["tucker", "tt"])
    measure_errors(model, database, network="net")
    found = Page(write_report(database, tmp_path / "report.html").read_text(encoding="utf-8"))
    database.close()
    names = [trace["name"] for trace in found.figures["front-0"]["data"]]
    assert names == ["Tucker", "TT, bound"]


def test_the_latest_finished_run_is_taken_and_the_most_accurate_trial_where_none_is_chosen(
    compressed: Database, report: Path
) -> None:
    page = Page(write_report(compressed, report, network="other").read_text(encoding="utf-8"))
    assert "Run 2 fell short of the goal after 2 trials: params −60.0 %" in page.text
    assert "those of the most accurate one, trial 1" in page.text


def test_the_same_seed_draws_the_same_points(explored: Database, report: Path) -> None:
    first, again, other = (
        Page(write_report(explored, report, seed=seed).read_text(encoding="utf-8")).figures["cloud-0"]["data"]
        for seed in (1, 1, 2)
    )
    assert first == again
    assert first != other


def test_a_run_that_failed_before_its_first_trial_is_told(explored: Database, tmp_path: Path) -> None:
    database = open_database(str(tmp_path / "failed.db"))
    database.explore([LAYERS[2]], name="n", methods=["svd"])
    add_run(database, "n", [], FAILED)
    page = Page(write_report(database, tmp_path / "report.html").read_text(encoding="utf-8"))
    database.close()
    assert "Run 1 ended without a trial to show: failed." in page.text


def test_what_is_not_there_is_a_user_error_in_one_line(
    empty: Database, explored: Database, compressed: Database, report: Path
) -> None:
    cases: list[tuple[Database, dict[str, Any], str]] = [
        (empty, {}, "rankline explore"),
        (explored, {"network": "nosuch"}, "unknown network 'nosuch'"),
        (explored, {"run": 9}, "unknown run '9'"),
        (compressed, {}, "--network"),
        (compressed, {"network": "other", "run": 1}, "run 1 is of network"),
    ]
    for database, given, message in cases:
        with pytest.raises(UserError, match=message) as caught:
            write_report(database, report, **given)
        assert "\n" not in str(caught.value)
    assert not report.exists()


def test_a_failing_render_leaves_the_old_report(
    explored: Database, report: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    report.write_text("old")
    with monkeypatch.context() as patch:
        patch.setattr("rankline.src.reports.report.html.render", lambda *_: "\ud800 cannot be encoded")
        with pytest.raises(UnicodeEncodeError):
            write_report(explored, report)
        patch.setattr("rankline.src.reports.report.html.render", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            write_report(explored, report)
    assert report.read_text() == "old"
    assert list(report.parent.iterdir()) == [report]


def test_a_folder_that_is_not_there_is_a_user_error(explored: Database, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot write .*No such file or directory"):
        write_report(explored, tmp_path / "nosuch" / "report.html")


def test_importing_the_room_imports_neither_plotly_nor_pandas() -> None:
    code = "import sys, rankline.src.reports.report.html\n"
    code += "sys.exit(bool({'plotly', 'pandas', 'keras'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_run_under_way_is_shown_when_asked_for(compressed: Database, report: Path) -> None:
    run = start_run(compressed.engine, compressed.network_id("other"), SETTINGS, 7)
    page = Page(write_report(compressed, report, run=run).read_text(encoding="utf-8"))
    assert f"Run {run} ended without a trial to show: running." in page.text
