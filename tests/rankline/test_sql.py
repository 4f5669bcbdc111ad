"""``rankline sql`` as a user meets it."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from rankline.cli import main
from rankline.src.db.database import open_database
from rankline.src.dse.layer import conv, dense

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs ``rankline sql`` on a small database; returns exit code, standard output and standard error."""
    database = open_database(str(tmp_path / "space.db"))
    database.explore([conv("c", (3, 3), 4, 6, (8, 8)), dense("d", 12, 10)], name="net")
    database.close()
    monkeypatch.setenv("RANKLINE_DB", str(tmp_path / "space.db"))

    def command(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main(["sql", *arguments])
        return int(ended.value.code or 0), *capsys.readouterr()

    return command


def test_a_table_shows_every_column_even_one_without_values(run: Run) -> None:
    code, out, err = run("SELECT name, params AS 'p[bold]', kept_because FROM layer ORDER BY name")
    assert (code, err) == (0, "")
    assert out.splitlines()[0] == "2 rows"
    assert [line.split() for line in out.splitlines() if line.split()[:1] in (["name"], ["c"])] == [
        ["name", "p[bold]", "kept_because"],
        ["c", "216", "–"],
    ]


def test_json_and_csv_are_for_machines(run: Run) -> None:
    sql = "SELECT name, params, 0.1 + 0.2 AS sum, NULL AS missing, x'00ff' AS blob, 9e999 AS most FROM layer"
    _, out, _ = run(sql, "--json")
    assert json.loads(out)[0] == {
        "name": "c", "params": 216, "sum": 0.1 + 0.2, "missing": None, "blob": "00ff", "most": "inf"
    }  # fmt: skip
    _, out, _ = run(sql, "--csv")
    rows = list(csv.reader(io.StringIO(out)))
    assert rows[:2] == [
        ["name", "params", "sum", "missing", "blob", "most"],
        ["c", "216", repr(0.1 + 0.2), "", "00ff", "inf"],
    ]
    assert len(rows) == 3


def test_columns_of_one_name_are_refused_as_json_rather_than_lost(run: Run) -> None:
    code, out, err = run("SELECT network.name, layer.name FROM network, layer", "--json")
    assert (code, out) == (2, "")
    assert "'name'" in err
    assert "AS" in err


def test_the_query_may_come_from_standard_input(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("SELECT count(*) AS n\nFROM layer;\n"))
    assert json.loads(run("-", "--json")[1]) == [{"n": 2}]


def test_a_table_of_long_texts_and_many_columns_is_bounded_and_says_so(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rankline.cli.sql.MOST_CHARACTERS", 20_000)
    text = f"substr(replace('{'z' * 400}', 'z', '{'a' * 250}'), 1, 90000)"
    code, out, err = run(f"SELECT {', '.join(f'v || {j}' for j in range(20))} FROM (SELECT {text} AS v)")
    assert code == 0
    assert 20_000 < len(out) < 30_000
    assert err == "long texts are cut; --csv and --json write them whole\n"


def test_a_table_has_as_many_rows_as_are_drawn_in_seconds(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rankline.cli.sql.MOST_CELLS", 12)
    code, out, err = run("SELECT r, r, r FROM rank ORDER BY r")
    assert (code, out.splitlines()[0]) == (0, "36 rows")
    assert [line.split()[0] for line in out.splitlines()[-4:] if line.strip()] == ["2", "3", "4"]
    assert err == "the first 4 rows are drawn; --csv and --json write all\n"


def test_what_is_cut_is_told_on_standard_error(run: Run) -> None:
    code, out, err = run("SELECT * FROM configuration", "--limit-rows", "5", "--csv")
    assert code == 0
    assert len(out.splitlines()) == 6
    assert "more rows than the 5 shown" in err
    assert "--limit-rows" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("SELECT parms FROM configuration",), "did you mean 'params'"),
        (("DELETE FROM layer",), "would write"),
        (("SELECT 1", "--json", "--csv"), "choose one"),
        (("SELECT 1", "--limit-rows", "0"), "at least 1"),
        (("SELECT 1", "--db", "absent.db"), "rankline explore MODEL --db absent.db"),
        (("SELECT 1", "--db", "postgresql://host/space"), "psql"),
        (
            (
                "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x FROM c) SELECT max(x) FROM c",
                "--limit-seconds",
                "0.2",
            ),
            "--limit-seconds",
        ),
    ],
)
def test_a_mistake_is_answered_in_one_line_with_exit_code_2(run: Run, arguments: tuple[str, ...], message: str) -> None:
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert message in err
    assert err.startswith("rankline: ")
    assert err.count("\n") == 1


def test_standard_input_that_is_no_text_is_a_mistake(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"SELECT '\xff'"), encoding="utf-8"))
    code, _, err = run("-")
    assert code == 2
    assert "UTF-8" in err
