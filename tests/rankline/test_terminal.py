"""The terminal: bars, colours, encodings, closed streams, CSV and completion."""

from __future__ import annotations

import csv
import io
import json
import os
import pty
import re
import subprocess
import sys
import warnings
from pathlib import Path
from time import process_time

import pytest

from rankline.cli.output import warnings_as_notes
from rankline.cli.present.long_table import Column, lines
from rankline.cli.present.table import drawn, for_machines, part, rounded, share
from rankline.cli.present.terminal import BAR_WIDTH, bar_of
from tests.rankline.conftest import Run

LAYERS = [
    {"name": "conv", "kind": "conv", "kernel": [3, 3], "in_channels": 8, "out_channels": 12, "in_size": [8, 8],
     "padding": "same"},
    {"name": "dense", "kind": "dense", "in_channels": 48, "out_channels": 10},
]  # fmt: skip

BLOCKS = set("▏▎▍▌▋▊▉█")


@pytest.fixture
def explored(run: Run) -> Run:
    Path("net.json").write_text(json.dumps(LAYERS))
    assert run("explore", "net.json")[0] == 0
    return run


def in_a_terminal(*arguments: str, **environment: str) -> str:
    """What a command writes to a terminal of 120 columns."""
    leader, follower = pty.openpty()
    done = subprocess.Popen(
        [sys.executable, "-m", "rankline", *arguments],
        stdin=follower,
        stdout=follower,
        stderr=follower,
        env={**without_colour_settings(), "COLUMNS": "120", "TERM": "xterm-256color", **environment},
    )
    os.close(follower)
    text = b""
    while True:
        try:
            more = os.read(leader, 4096)
        except OSError:  # Linux says so when the other side has gone
            break
        if not more:
            break
        text += more
    os.close(leader)
    assert done.wait() == 0
    return text.decode(environment.get("PYTHONIOENCODING", "utf-8"))


def without_colour_settings() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "FORCE_COLOR")}


def piped(*arguments: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "rankline", *arguments]
    return subprocess.run(command, capture_output=True, env={**without_colour_settings(), **environment})


@pytest.mark.parametrize(
    ("fraction", "bar"),
    [(0, ""), (1e-6, "▏"), (1 / 64, "▏"), (1 / 16, "▌"), (0.5, "████"), (0.999, "████████"), (1, "████████")],
)
def test_a_bar_is_as_long_as_its_share(fraction: float, bar: str) -> None:
    assert bar_of(fraction) == bar


def test_a_bar_stays_within_its_width_and_in_ascii_where_that_is_all() -> None:
    assert bar_of(7.0) == bar_of(1.0) == BAR_WIDTH * "█"
    assert bar_of(-1.0) == ""
    assert [bar_of(one, "ascii") for one in (0, 0.01, 0.5, 1)] == ["", "#", "####", "########"]
    assert bar_of(0.5, "iso-8859-1") == "####"


def test_bars_are_for_terminals_alone(explored: Run) -> None:
    seen = in_a_terminal("layers", "--no-color")
    assert BLOCKS & set(seen)
    (line,) = [line for line in seen.splitlines() if line.startswith(" conv ")]
    assert re.search(r" 864 +█+", line)
    told = piped("layers").stdout.decode()
    assert not BLOCKS & set(told)
    assert not BLOCKS & set(piped("layers", "--csv").stdout.decode())


def test_bars_are_the_first_to_go_where_there_is_no_room(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    rows = [["a", share(0.5, bar=True), 7], ["b", share(None, bar=True), 8]]
    for width, bars in ((40, True), (28, False)):
        monkeypatch.setenv("COLUMNS", str(width))
        assert drawn("t", ["name", "share", "count"], rows, least_important=["count"]) == []
        out = capsys.readouterr().out
        assert ("████" in out) == bars
        assert re.search(r" a +50\.0 % .* 7 ", out)
        assert re.search(r" b +– .* 8 ", out)


ROWS = [
    [f"block{j}/conv" + "x" * (j % 9), share(j / 50, bar=True), j * 1000, None if j % 3 else "why [not] so", j % 2 == 0]
    for j in range(40)
]
COLUMNS = ["layer", "params saved", "FLOPs", "note", "useful"]


def test_a_long_table_looks_as_a_short_one(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Piped, where nothing is folded and no bar is drawn."""
    seen = []
    for most in (1_000, 10):
        monkeypatch.setattr("rankline.cli.present.table.MOST", most)
        assert drawn("title", COLUMNS, ROWS) == []
        seen.append(capsys.readouterr().out)
    assert seen[0] == seen[1]


def test_a_long_table_stays_within_a_narrow_terminal_and_folds_no_number(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setattr("rankline.cli.present.table.MOST", 10)
    for width, dropped in ((70, []), (46, ["useful"])):
        monkeypatch.setenv("COLUMNS", str(width))
        assert drawn("title", COLUMNS, ROWS, least_important=["useful"]) == dropped
        out = capsys.readouterr().out
        assert max(map(len, out.splitlines())) <= width
        assert all(f" {row[2]:,} " in out and str(row[1]) in out for row in ROWS)
    wide = Column("名", ["層" * 7, "a"], numeric=False, least=4)
    assert [line.strip() for line in lines([wide], 8)] == ["", "名", "──────", "層層層", "層層層", "層", "a", ""]


def test_a_hundred_thousand_rows_are_drawn_in_seconds(capsys: pytest.CaptureFixture[str]) -> None:
    began = process_time()
    drawn("title", COLUMNS, ROWS * 2_500)
    assert process_time() - began < 10
    assert len(capsys.readouterr().out.splitlines()) == 100_000 + 5


def test_what_a_note_says_of_many_layers_is_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    with warnings_as_notes(UserWarning):
        for name, count in (("a", 7), ("b", 8_000), ("c", 9), ("a", 7)):
            warnings.warn(f"layer '{name}': {count:,} patches", UserWarning, stacklevel=1)
        for count in (1, 2, 3):
            warnings.warn(f"a fit of rank {count} was still improving", UserWarning, stacklevel=1)
        warnings.warn("the data has no labels", UserWarning, stacklevel=1)
    assert capsys.readouterr().err.splitlines() == [
        "note: layer 'a': 7 patches",
        "note: a fit of rank 1 was still improving",
        "note: the data has no labels",
        "note: as for layer 'a', so for 2 more: b, c",
        "note: and 2 more like: a fit of rank 1 was still improving",
    ]


@pytest.mark.parametrize(
    ("arguments", "environment", "colours"),
    [
        (("layers",), "", True),
        (("layers",), "1", False),
        (("--no-color", "layers"), "", False),
        (("layers", "--no-color"), "", False),
    ],
)
def test_escape_codes_are_for_terminals_that_want_colours(
    explored: Run, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], environment: str, colours: bool
) -> None:
    monkeypatch.setenv("NO_COLOR", environment)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setattr("typer.rich_utils.COLOR_SYSTEM", "auto")
    for seen in (True, False):
        monkeypatch.setattr("sys.stdout.isatty", lambda seen=seen: seen, raising=False)
        assert ("\x1b[" in explored(*arguments)[1]) == (seen and colours)


def test_a_help_without_colours_has_no_escape_codes(tmp_path: Path) -> None:
    assert "\x1b[" not in in_a_terminal("--no-color", "layers", "--help")


def test_a_pipe_gets_no_escape_codes_whatever_the_environment_says(explored: Run) -> None:
    done = piped("query", "conv", "tucker", FORCE_COLOR="1")
    assert b"conv by tucker" in done.stdout
    assert b"\x1b" not in done.stdout + done.stderr


def test_an_encoding_without_the_characters_is_no_mistake(explored: Run) -> None:
    assert "#" in in_a_terminal("layers", PYTHONIOENCODING="ascii")
    script = "from rankline.cli.present.terminal import settle_streams\nsettle_streams()\nprint('96 → −1 – Ω')"
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    told = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment)
    assert told.stdout == "96 -> -1 - \\u03a9\n"


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams_are_no_mistake(explored: Run, closed: str) -> None:
    """Also where libraries are silenced: the solver's standard output, and Keras's standard error."""
    script = (
        "from rankline.cli import main\n"
        "from rankline.src.dse.silence import silent_stderr\n"
        "from rankline.cli.present.terminal import settle_streams\n"
        "settle_streams()\n"
        "from rankline.src.compress.budget.allocate import _quiet\n"
        "with _quiet(), silent_stderr(): pass\n"
        "main(['layers'])\n"
    )
    done = subprocess.run(["bash", "-c", f'exec "$0" -c "$1" {closed}', sys.executable, script], capture_output=True)
    assert done.returncode == 0, done.stderr


def test_silencing_standard_error_is_no_mistake_where_it_is_closed() -> None:
    script = "from rankline.src.dse.silence import silent_stderr\nwith silent_stderr(): pass"
    done = subprocess.run(["bash", "-c", 'exec "$0" -c "$1" 2>&-', sys.executable, script])
    assert done.returncode == 0


def test_csv_has_every_column_and_numbers_as_they_are(explored: Run) -> None:
    rows = list(csv.DictReader(io.StringIO(explored("layers", "--csv")[1])))
    assert [(row["layer"], row["params"], row["FLOPs"]) for row in rows] == [
        ("conv", "864", "110592"),
        ("dense", "480", "960"),
    ]
    found = json.loads(explored("query", "conv", "tucker", "--json")[1])["picks"]
    rows = list(csv.DictReader(io.StringIO(explored("query", "conv", "tucker", "--csv")[1])))
    assert {row["pick"]: float(row["params saved"]) for row in rows} == {
        name: one["params_reduction"] for name, one in found.items()
    }
    _, out, _ = explored("query", "--csv")
    assert {row["layer"] for row in csv.DictReader(io.StringIO(out))} == {"conv", "dense"}
    rows = list(csv.DictReader(io.StringIO(explored("zoo", "--csv")[1])))
    assert {row["of the fourteen"] for row in rows} == {"true", "false"}
    levels = json.loads(explored("query", "conv", "svd", "--steps", "0.25", "--json")[1])
    rows = list(csv.DictReader(io.StringIO(explored("query", "conv", "svd", "--steps", "0.25", "--csv")[1])))
    assert [int(row["configurations"]) for row in rows] == [one["n"] for one in levels]
    assert explored("spaces", "--csv")[1].splitlines()[0] == "layer,method,configurations,better,useful,lines"
    assert explored("explore", "net.json", "--csv")[1].splitlines()[1].startswith("net,2,0,")


@pytest.mark.parametrize("command", [("layers",), ("spaces",), ("query", "conv"), ("runs",), ("sql", "SELECT 1")])
def test_json_and_csv_exclude_each_other(explored: Run, command: tuple[str, ...]) -> None:
    for options in (("--json", "--csv"), ("--csv", "--json")):
        code, out, err = explored(*command, *options)
        assert (code, out, err) == (2, "", "rankline: --json and --csv are both given; choose one\n")


def test_cells_for_machines_are_values() -> None:
    shown = [share(0.25), share(None), rounded(1.23456, 1), part(1_500, 3_000), part(None, 3), True, [1, 2], None]
    assert list(map(for_machines, shown)) == [0.25, None, 1.23456, 1_500, None, "true", "1 2", None]
    assert list(map(str, shown[:5])) == ["25.0 %", "–", "1.2", "1,500", "–"]


def completed(line: str) -> list[str]:
    """What bash would offer at the end of a line."""
    words = line.split(" ")
    environment = {
        "COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1), "_RANKLINE_COMPLETE": "complete_bash",
    }  # fmt: skip
    return piped(**environment).stdout.decode().split()


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("rankline sp", ["spaces"]),
        ("rankline query co", ["conv"]),
        ("rankline query conv tu", ["tucker"]),
        ("rankline pareto conv --methods tucker,s", ["tucker,svd", "tucker,spatial_svd"]),
        ("rankline compress m --conv-method tucker,tu", []),
        ("rankline spaces --network n", ["net"]),
        ("rankline query --network absent co", []),
        ("rankline query --db absent.db co", []),
        ("rankline query --db net.json co", []),
        ("rankline budget m --fit w", ["whitened", "weights"]),
        ("rankline compress m --strategy hy", ["hybrid"]),
    ],
)
def test_the_shell_completes_names_that_are_quickly_found(explored: Run, line: str, offered: list[str]) -> None:
    before = set(Path().iterdir())
    assert completed(line) == offered
    assert set(Path().iterdir()) == before


@pytest.mark.parametrize(("shell", "text"), [("bash", "complete -o default"), ("zsh", "#compdef rankline")])
def test_completion_scripts_are_to_be_had(shell: str, text: str) -> None:
    assert text in piped(_RANKLINE_COMPLETE=f"source_{shell}").stdout.decode()
