"""Texts from files where they leave: they are shown, and do nothing."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from rankline.cli.output import note, write_csv
from rankline.cli.present.table import drawn
from rankline.src.dse.outgoing import EXACT_CSV, for_csv, for_html, for_markdown, for_terminal
from rankline.src.reports.report.html import environment
from rankline.src.reports.report.latex import escaped
from rankline.src.reports.report.table import Column, Table
from tests.rankline.conftest import Run


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("conv1/Δ w–x", "conv1/Δ w–x"),
        ("\x1b[2J\x1b]0;owned\x07", "\\x1b[2J\\x1b]0;owned\\x07"),
        ("\x9b31m", "\\x9b31m"),
        ("a\u202eb\u2066", "a\\u202eb\\u2066"),
        ("a\r\nb\tc", "a\\r\\nb\\tc"),
        ("\ud800", "\\ud800"),
        ("a\u2028b", "a\\u2028b"),
        ("a\u00a0b", "a\u00a0b"),
    ],
)
def test_a_terminal_gets_escapes_in_place_of_control_characters(text: str, shown: str) -> None:
    assert for_terminal(text) == shown
    assert all(one.isprintable() or one == "\u00a0" for one in shown)


def test_tables_and_notes_show_them_so(capsys: pytest.CaptureFixture[str]) -> None:
    evil = "\x1b[2J\x9b\u202e[red]x"
    drawn(evil, [evil, "n"], [[evil, 3]])
    note(f"{evil}\nnext")
    out, told = capsys.readouterr()
    for text in (out, told):
        assert "\\x1b[2J" in text
        assert "[red]x" in text
        assert not {"\x1b", "\x9b", "\u202e"} & set(text)
    assert told.count("\n") == 1


@pytest.mark.parametrize("text", ["=1+1", "+1+1", "-1+1", "@SUM(A1)", "\t=1", "\r=1", "  =1", '"=1', "＝1", "-", "\nx"])
def test_a_spreadsheet_gets_no_formula(text: str) -> None:
    assert for_csv(text) == f"'{text}"


@pytest.mark.parametrize("value", ["-5", "+1.5e-3", "conv", "a=b", "", 3, -3, -0.5, None, True, "3x3"])
def test_numbers_and_other_texts_stay_as_they_are(value: object) -> None:
    assert for_csv(value) is value


def test_pages_and_csv_hold_no_control_characters_but_line_breaks_and_tabs() -> None:
    evil = "\x1b[2J\x07a\nb\tc\u202e"
    assert for_html(evil) == for_csv(evil) == "\\x1b[2J\\x07a\nb\tc\\u202e"
    shown = environment().from_string("<b title='{{ x }}'>{{ x }}</b>{{ 3 }}").render(x="\x1b<")
    assert shown == "<b title='\\x1b&lt;'>\\x1b&lt;</b>3"


def test_formulas_are_kept_on_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(EXACT_CSV, "1")
    assert for_csv("=1+1") == "=1+1"


def test_both_writers_of_csv_ask_for_it(capsys: pytest.CaptureFixture[str]) -> None:
    table = Table("t", "t", [Column("name", "name"), Column("n", "n")], [{"name": "=1", "n": -3}])
    write_csv(["=name", "n"], [["@x", -3]])
    for text in (table.csv(), capsys.readouterr().out):
        assert not any(cell.startswith(("=", "@")) for row in csv.reader(io.StringIO(text)) for cell in row)
        assert "-3" in text


def test_a_file_whose_name_is_no_utf_8_is_explored(run: Run) -> None:
    layers = [{"name": "d", "kind": "dense", "in_channels": 8, "out_channels": 8}]
    path = Path("net\udcff\n.json")
    path.write_text(json.dumps(layers))
    assert run("explore", str(path), "--methods", "svd", "--db", "net.db")[0] == 0
    code, out, _ = run("spaces", "--network", "net\\udcff\n", "--db", "net.db")
    assert code == 0
    assert " d " in out


def test_a_rank_of_too_many_values_is_refused_before_anything_is_computed(run: Run) -> None:
    layers = [{"name": "d", "kind": "dense", "in_channels": 2**26, "out_channels": 2**26}]
    Path("net.json").write_text(json.dumps(layers))
    code, _, told = run("explore", "net.json", "--methods", "svd", "--db", "net.db")
    assert code == 2
    assert "67,108,864 values of one rank, above max_lines 1,000,000; restrict it with --max-rank" in told
    assert not Path("net.db").exists()


def test_the_option_for_exact_csv_may_stand_anywhere(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(EXACT_CSV, "0")  # restored at the end
    monkeypatch.delenv(EXACT_CSV)
    layers = [{"name": "=1+1", "kind": "dense", "in_channels": 8, "out_channels": 8}]
    Path("net.json").write_text(json.dumps(layers))
    assert "\n'=1+1,dense" in run("layers", "net.json", "--csv")[1]
    assert "\n=1+1,dense" in run("layers", "net.json", "--csv", "--exact-csv")[1]


def test_markdown_and_latex_show_it_unchanged() -> None:
    assert for_markdown("a|<b>\n[c](d) `e` \x1b") == r"a\|\<b\>" + r" \[c\](d) \`e\` \\x1b"
    assert escaped("a_b\n%\x1b") == r"a\_b \%\textbackslash{}x1b"


def test_no_other_file_of_the_project_writes_csv() -> None:
    root = Path(__file__).parents[2]
    rooms = ("dse", "db", "compress", "reports", "rankline/cli")
    texts = {path: path.read_text() for room in rooms for path in (root / room).rglob("*.py")}
    writers = {path for path, text in texts.items() if "csv.writer(" in text or "csv.DictWriter(" in text}
    assert len(writers) == 3
    assert all("for_csv(" in texts[path] for path in writers)
