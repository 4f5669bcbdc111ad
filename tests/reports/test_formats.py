"""A report in each format has the database's numbers; pictures; and what goes wrong is told."""

from __future__ import annotations

import csv
import shutil
import sys
from io import StringIO
from pathlib import Path

import pytest

from rankline.src.db.database import Database
from rankline.src.dse.errors import UserError
from rankline.src.dse.outgoing import for_csv, for_markdown
from rankline.src.reports.figures.drawn import Drawn
from rankline.src.reports.figures.images import BROWSERS, check_images, file_stem, write_images
from rankline.src.reports.figures.theme import blank
from rankline.src.reports.report.content import content
from rankline.src.reports.report.formats import WRITERS, write_as
from rankline.src.reports.report.latex import included
from tests.reports.conftest import HOSTILE, LAYERS

HAS_BROWSER = any(shutil.which(name) for name in BROWSERS)


def written(database: Database, path: Path, run: int | None = 1) -> str:
    return write_as(path, content(database, None if run else HOSTILE, run, 0)).read_text(encoding="utf-8")


def test_the_csv_has_a_row_a_layer_with_the_databases_exact_numbers(compressed: Database, tmp_path: Path) -> None:
    rows = list(csv.DictReader(StringIO(written(compressed, tmp_path / "r.csv"))))
    stored = compressed.layers(HOSTILE)
    assert [row["name"] for row in rows] == [for_csv(layer["name"]) for layer in LAYERS]
    for row, layer in zip(rows, stored, strict=True):
        for key in ("params", "fm", "flops", "in_channels"):
            assert row[key] == ("" if layer[key] is None else str(layer[key]))
        spaces = [one for one in compressed.spaces(HOSTILE) if one["layer"] == layer["name"]]
        assert int(row["n_useful"]) == sum(one["n_useful"] for one in spaces)
    first = rows[0]
    assert (first["method"], first["ranks"], first["params_after"], first["flops_after"]) == (
        "tucker", "2x3", "80", "9984",
    )  # fmt: skip
    assert (float(first["similarity"]), float(first["error"])) == (0.91, 0.25)
    assert rows[2]["kept"] == "no rank lowers both"


@pytest.mark.parametrize(("ending", "percent", "minus"), [(".md", "%", "−"), (".tex", r"\%", "$-$")])
def test_tables_and_answer_are_those_of_the_page(
    compressed: Database, tmp_path: Path, ending: str, percent: str, minus: str
) -> None:
    text = written(compressed, tmp_path / f"r{ending}")
    assert f"params {minus}30.0 {percent}, FLOPs {minus}33.3 {percent}" in text
    separator = " | " if ending == ".md" else " & "
    for cells in (
        ["whole model", "params", "1,000", "700", f"{minus}30.0 {percent}"],
        ["2, 3", "80", f"{minus}63.0 {percent}", "9,984"],
        ["2", "chosen", f"94.0 {percent}", "0.300", "700"],
    ):
        assert separator.join(cells) in text
    for row in compressed.spaces(HOSTILE):
        assert separator.join(f"{row[key]:,}" for key in ("n_total", "n_better", "n_useful")) in text


def test_without_a_run_markdown_tells_what_is_known(explored: Database, tmp_path: Path) -> None:
    text = written(explored, tmp_path / "r.md", run=None)
    assert "Nothing is compressed yet" in text
    assert "Chosen plan" not in text


def test_hostile_names_are_text_in_markdown_and_latex(compressed: Database, tmp_path: Path) -> None:
    text = written(compressed, tmp_path / "r.md")
    assert r"a\</script\>\<img src=x onerror=alert(1)\>" in text
    assert not any("<" in line.replace(r"\<", "") for line in text.splitlines())
    assert for_markdown("a|b\n`c`") == r"a\|b \`c\`"
    tables = [line for line in text.splitlines() if line.startswith("|")]
    assert all(line.endswith(" |") for line in tables), "no name ends a line"
    latex = written(compressed, tmp_path / "r.tex")
    assert r"\{\{7*7\}\}\%\{y\}\$b\$\&amp;" in latex
    assert "\u2028" not in latex


def test_another_ending_is_a_user_error_that_names_the_possible_ones(compressed: Database, tmp_path: Path) -> None:
    found = content(compressed, None, 1, 0)
    for name in ("r.docx", "report"):
        with pytest.raises(UserError, match=r"possible endings: \.html, \.md, \.tex, \.csv"):
            write_as(tmp_path / name, found)
    assert list(tmp_path.iterdir()) == []


def no_space(*_: object) -> None:
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize("ending", WRITERS)
def test_every_format_is_written_whole_or_not_at_all(
    compressed: Database, tmp_path: Path, ending: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / f"r{ending}"
    path.write_text("old")
    found = content(compressed, None, 1, 0)
    with monkeypatch.context() as patch:
        patch.setattr("os.replace", no_space)
        with pytest.raises(UserError, match="cannot write .*No space left"):
            write_as(path, found)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


FIGURES = [
    Drawn("costs", "Where", blank("", "x (%)", "")),
    Drawn("cloud-0", "FLOPs", blank("", "x", "", height=300), of="a/b c"),
]


def test_files_are_named_by_figure_and_layer_without_what_a_name_cannot_have() -> None:
    assert [file_stem(one) for one in FIGURES] == ["costs", "cloud-0-a-b-c"]
    assert "/" not in file_stem(Drawn("cloud-1", "", blank("", "", ""), of="../../etc/passwd" + HOSTILE))


@pytest.mark.skipif(not HAS_BROWSER, reason="no Chrome or Chromium is installed")
@pytest.mark.parametrize(("form", "start"), [("svg", b"<svg"), ("png", b"\x89PNG")])
def test_pictures_of_all_figures_are_written(tmp_path: Path, form: str, start: bytes) -> None:
    found = write_images(FIGURES, tmp_path / "figures", form)
    assert [one.path.name for one in found] == [f"costs.{form}", f"cloud-0-a-b-c.{form}"]
    assert all(one.path.read_bytes().startswith(start) for one in found)
    assert len(list((tmp_path / "figures").iterdir())) == 2


def test_a_browser_that_does_not_start_is_a_user_error_and_leaves_no_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BROWSER_PATH", shutil.which("false") or "")
    with pytest.raises(UserError, match="could not draw the pictures"):
        write_images(FIGURES, tmp_path / "figures", "png")
    assert list((tmp_path / "figures").iterdir()) == []


def test_latex_includes_what_it_can() -> None:
    assert r"{\detokenize{a_b/c.pdf}}" in included(Path("a_b/c.pdf"), "x")
    assert included(Path("a.svg"), "x").startswith("% a.svg")


def test_without_kaleido_or_a_browser_or_the_format_the_error_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match="unknown image format 'gif'"):
        check_images("gif")
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "kaleido", None)
        with pytest.raises(UserError, match=r"pip install 'rankline\[images\]'"):
            check_images("png")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("BROWSER_PATH", raising=False)
    with pytest.raises(UserError, match="pictures need Chrome or Chromium.*BROWSER_PATH"):
        write_images(FIGURES, tmp_path / "figures", "png")
    assert list(tmp_path.iterdir()) == []
