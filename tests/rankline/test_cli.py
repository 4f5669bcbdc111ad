"""The command line as a user meets it: tables, JSON, and mistakes answered in one line."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from rankline.cli.commands import app
from tests.rankline.conftest import Run

LAYERS = [
    {"name": "conv", "kind": "conv", "kernel": [3, 3], "in_channels": 8, "out_channels": 12, "in_size": [8, 8],
     "padding": "same"},
    {"name": "dense", "kind": "dense", "in_channels": 48, "out_channels": 10},
]  # fmt: skip


@pytest.fixture
def explored(run: Run) -> Run:
    Path("net.json").write_text(json.dumps(LAYERS))
    assert run("explore", "net.json")[0] == 0
    return run


def test_explore_stores_what_layers_spaces_and_query_show(explored: Run) -> None:
    code, out, _ = explored("layers", "--json")
    assert code == 0
    assert [layer["name"] for layer in json.loads(out)] == ["conv", "dense"]
    code, out, _ = explored("spaces", "--json")
    assert {(row["layer"], row["method"]) for row in json.loads(out)} >= {("conv", "tucker"), ("dense", "t3f")}
    code, out, _ = explored("query", "conv", "tucker", "--where", "params_reduction=0.5:0.6", "--json")
    found = json.loads(out)
    assert code == 0
    assert found["total"] == 96
    assert set(found["picks"]) == {"min_flops", "max_flops", "equal_rank"}
    assert 0.5 <= found["picks"]["min_flops"]["params_reduction"] < 0.6


def test_tables_are_for_people(explored: Run) -> None:
    assert "conv by tucker:" in explored("query", "conv", "tucker", "--within", "all", "--at", "0.5")[1]
    assert "FLOPs" in explored("layers")[1]
    assert "better" in explored("spaces")[1]


def test_a_layers_file_goes_out_as_it_came_in(explored: Run) -> None:
    _, out, _ = explored("layers", "--json")
    Path("again.json").write_text(out)
    assert explored("layers", "again.json", "--json")[1] == out


def test_exploring_again_computes_nothing(explored: Run) -> None:
    _, out, _ = explored("explore", "net.json", "--json")
    assert json.loads(out)["n_new_spaces"] == 0


def test_upgrade_check_and_backup(explored: Run) -> None:
    assert "nothing to do" in explored("db", "upgrade")[2]
    assert "sound" in explored("db", "check")[2]
    assert explored("db", "backup", "copy.db")[0] == 0
    assert explored("spaces", "--db", "copy.db", "--json")[1] == explored("spaces", "--json")[1]


def test_check_finds_a_line_that_went_missing(explored: Run) -> None:
    with sqlite3.connect("rankline.db") as connection:
        connection.execute("DELETE FROM line WHERE id IN (SELECT id FROM line LIMIT 1)")
    code, _, err = explored("db", "check")
    assert code == 1
    assert "n_lines" in err


def state() -> dict[str, object]:
    """What is in the folder: the rows of databases, the bytes of other files."""
    found: dict[str, object] = {}
    for path in Path().iterdir():
        if path.name == "rankline.db":
            with sqlite3.connect(path) as connection:
                found[path.name] = list(connection.iterdump())
        elif not path.name.endswith(("-wal", "-shm")):
            found[path.name] = path.read_bytes()
    return found


def test_query_without_a_method_or_layer_compares_them(explored: Run) -> None:
    found = json.loads(explored("query", "conv", "--where", "params_reduction=0.5:", "--json")[1])["best"]
    assert set(found) == {"tucker", "cp", "tt", "svd", "spatial_svd"}
    found = json.loads(explored("query", "--lowest", "params", "--json")[1])
    assert set(found["best"]) == {"conv", "dense"}
    before, after = found["totals"]["params"]
    assert after == sum(one["params"] for one in found["best"].values()) < before
    assert "network's params" in explored("query")[1]


def test_query_counts_by_levels(explored: Run) -> None:
    rows = json.loads(explored("query", "conv", "tucker", "--steps", "0.25", "--json")[1])
    useful = json.loads(explored("spaces", "--json")[1])[0]["n_useful"]
    assert sum(row["n"] for row in rows) == useful
    assert "reduction from" in explored("query", "conv", "tucker", "--steps", "0.25")[1]


def test_export_tells_the_size_first(explored: Run) -> None:
    code, out, err = explored("export", "conv", "tucker", "conv.csv", "--where", "params_reduction=0.5:0.6")
    assert (code, out) == (0, "")
    count, wrote = err.splitlines()
    assert count.split()[0] == wrote.split()[1] == str(len(Path("conv.csv").read_text().splitlines()) - 1)


def test_the_zoo_is_listed(run: Run) -> None:
    found = json.loads(run("zoo", "--json")[1])
    assert sum(row["of the fourteen"] for row in found) == 14


def test_check_exhaustive_tells_what_it_visited(explored: Run) -> None:
    total = sum(row["n_total"] for row in json.loads(explored("spaces", "--json")[1]))
    assert f"{total:,} configurations visited" in explored("db", "check", "--exhaustive")[2]


COMPRESS = ("compress", "zoo:lenet5", "--data", "digits", "--out")

FACTORIZE = ("factorize", "zoo:lenet5", "--out", "small.keras")

MISTAKES = [
    ((*COMPRESS, "small.h5"), "written as a .keras file"),
    ((*COMPRESS, "absent/small.keras"), "the folder absent does not exist"),
    ((*COMPRESS, "small.keras", "--epochs", "-1"), "epochs must be at least 0"),
    ((*COMPRESS, "small.keras", "--batch-size", "0"), "batch_size must be at least 1"),
    ((*COMPRESS, "small.keras", "--learning-rate", "nan"), "learning_rate must be above 0"),
    ((*COMPRESS, "small.keras", "--step", "0"), "step must be a fraction"),
    ((*COMPRESS, "small.keras", "--max-sol", "0"), "max_solutions must be at least 1"),
    (
        (*COMPRESS, "small.keras", "--step", "150"),
        "step must be a fraction from 0.001 to 1, 0.1 to 100 points; got 1.5",
    ),
    ((*COMPRESS, "small.keras", "--rescale", "1,2"), "--rescale takes one number"),
    ((*COMPRESS, "small.keras", "--rescale", "0"), "--rescale takes finite numbers other than 0"),
    ((*COMPRESS, "small.keras", "--dense-method", "tucker"), "dense_method cannot be 'tucker'"),
    ((*COMPRESS, "small.keras", "--name", ""), "--name takes the name of a network"),
    (("explore", "net.json", "--name", " "), "--name takes the name of a network"),
    (("explore", "net.json", "--methods", ","), "--methods takes names"),
    (("query", "cnv"), "did you mean 'conv'"),
    (("query", "conv", "tucker", "--at", "nan"), "a level or a step is a fraction"),
    (("query", "conv", "tucker", "--steps", "inf"), "a level or a step is a fraction"),
    (("query", "conv", "tucker", "--where", "params=:9223372036854775808"), "beyond what any count can be"),
    (("query", "conv", "tucker", "--where", "params_reduction=-1e17:"), "beyond what any count can be"),
    ((*FACTORIZE, "--layer", "cnv2", "--method", "tucker", "--ranks", "1,1"), "did you mean 'conv2'"),
    ((*FACTORIZE, "--layer", "conv2", "--method", "tucker", "--ranks", "7,1"), "whole numbers from 1 to (6, 16)"),
    ((*FACTORIZE, "--layer", "fc1", "--method", "tucker", "--ranks", "1,1"), "layer 'fc1'"),
    ((*FACTORIZE, "--layer", "fc1", "--method", "svd"), "give --layer, --method and --ranks, or a --plan alone"),
    ((*FACTORIZE, "--plan", "net.json"), "plan net.json: expected an object"),
    ((*FACTORIZE, "--plan", "absent.json"), "plan absent.json cannot be read"),
    (("export", "conv", "tucker", "out.xls"), "possible endings"),
    (("export", "conv", "tucker", "out.csv", "--limit", "2"), "raise the limit"),
    (("query", "--lowest", "flop"), "did you mean 'flops'"),
    (("query", "conv", "tucker", "--steps", "0"), "a step must be"),
    (("query", "cnv", "tucker"), "did you mean 'conv'"),
    (("query", "conv", "tuker"), "did you mean 'tucker'"),
    (("query", "dense", "tucker"), "Possible: qr, svd, t3f"),
    (("query", "conv", "tucker", "--where", "params_reduction=0.7:0.6"), "is empty"),
    (("query", "conv", "tucker", "--where", "parms=1:2"), "did you mean 'params'"),
    (("query", "conv", "tucker", "--where", "params=1:2"), "widen the windows"),
    (("query", "conv", "tucker", "--where", "params=many:"), "not a number"),
    (("query", "conv", "tucker", "--within", "best"), "Possible: all, better, useful"),
    (("query", "conv", "tucker", "--db", "absent.db"), "rankline explore MODEL --db absent.db"),
    (("spaces", "--network", "nett"), "did you mean 'net'"),
    (("spaces", "--db", "words.db"), "not an SQLite database"),
    (("explore", "absent.keras"), "absent.keras"),
    (("explore", "broken.json"), "kernel"),
    (("explore", "net.json", "--methods", "tuker"), "did you mean 'tucker'"),
    (("explore", "net.json", "--max-rank", "7", "--max-lines", "2"), "max_lines"),
    (("explore", "net.json", "--rank-multiple", "0"), "rank_multiple must be at least 1"),
    (("explore", "net.json", "--db", "/proc/new.db"), "cannot open the database"),
    (("runs", "show", "7"), "there is no run 7"),
    (("compress", "net.json", "--data", "digits", "--out", "small.keras"), "layers file, which has no weights"),
    (("compress", "zoo:lenet5", "--data", "digit", "--out", "small.keras"), "did you mean 'digits'"),
    (("compress", "zoo:lenet5", "--data", "digits", "--out", "small.keras"), "takes (28, 28, 1)"),
    (("compress", "zoo:lenet5", "--data", "own.npz", "--out", "small.keras"), "samples of shape (9, 9); model"),
    (("db", "upgrade", "--db", "absent.db"), "no database at"),
]


@pytest.mark.parametrize(("arguments", "message"), MISTAKES, ids=lambda value: " ".join(value)[:60])
def test_a_mistake_is_answered_in_one_line_with_exit_code_2_and_changes_nothing(
    explored: Run, arguments: tuple[str, ...], message: str
) -> None:
    import numpy as np

    Path("words.db").write_text("these are only words, not a database at all")
    Path("broken.json").write_text(json.dumps([{**LAYERS[0], "kernel": [3, -3]}]))
    np.savez("own.npz", x_train=np.zeros((20, 9, 9)), y_train=np.arange(20) % 2, x_test=np.zeros((4, 9, 9)),
             y_test=np.arange(4) % 2)  # fmt: skip
    before = state()
    code, out, err = explored(*arguments)
    assert (code, out) == (2, "")
    assert message in err
    assert err.startswith("rankline: ")
    assert err.count("\n") == 1
    assert state() == before


def test_an_explore_that_fails_makes_no_database(run: Run) -> None:
    Path("net.json").write_text(json.dumps(LAYERS))
    for arguments in (("absent.keras",), ("net.json", "--max-lines", "2"), ("net.json", "--methods", "tuker")):
        assert run("explore", *arguments, "--db", "new.db")[0] == 2
    assert [path.name for path in Path().iterdir()] == ["net.json"]


def test_an_unknown_option_or_window_is_a_mistake_too(explored: Run) -> None:
    for arguments in (
        ("explore",),
        ("explore", "net.json", "--zoo"),
        ("query", "--at", "0.5"),
        ("layers", "--jsn"),
        ("query", "conv", "tucker", "--where", "params"),
        ("explore", "net.json", "--t3f-cores", "2.7"),
        (*COMPRESS, "small.keras", "--seed", "-1"),
    ):
        assert explored(*arguments)[0] == 2


def test_factorize_decomposes_a_layer_or_those_of_a_plan(run: Run) -> None:
    import keras

    by_hand = ("--layer", "conv2", "--method", "tucker", "--ranks", "3,8")
    code, out, _ = run(*FACTORIZE, *by_hand, "--json")
    found = json.loads(out)
    (layer,) = found["layers"]
    assert code == 0
    assert layer["params"] == {"before": 2400, "after": 6 * 3 + 25 * 3 * 8 + 8 * 16}
    assert 0 < layer["error"] < 1
    assert found["own_layers"] == []
    written = keras.saving.load_model("small.keras")
    assert written.count_params() == found["model"]["params"]["after"] == found["model"]["params"]["before"] - 1654
    Path("plan.json").write_text(
        '{"conv2": {"method": "tucker", "ranks": [3, 8]}, "fc1": {"method": "svd", "ranks": [9]}}'
    )
    code, out, err = run(*FACTORIZE, "--plan", "plan.json")
    assert code == 0
    assert "2 layers factorized" in out
    assert "746" in out
    assert "wrote small.keras" in err
    assert "rankline.layers" not in err
    by_t3f = ("--layer", "fc1", "--method", "t3f", "--ranks", "2", "--shape", "12x10:20x20")
    assert "plain Keras lacks layers that it has (fc1_t3f_tt): `import rankline.layers`" in run(*FACTORIZE, *by_t3f)[2]
    assert json.loads(run(*FACTORIZE, *by_t3f, "--json")[1])["own_layers"] == ["fc1_t3f_tt"]


def test_maintenance_and_files_are_told_to_machines_too(explored: Run) -> None:
    assert json.loads(explored("db", "upgrade", "--json")[1])["backup"] is None
    assert json.loads(explored("db", "check", "--json")[1])["spaces"] == 8
    assert json.loads(explored("db", "backup", "copy.db", "--json")[1]) == {"file": "copy.db"}
    assert json.loads(explored("report", "net.html", "--json")[1]) == {"file": "net.html"}
    found = json.loads(explored("export", "conv", "tucker", "conv.csv", "--json")[1])
    assert found["configurations"] == len(Path("conv.csv").read_text().splitlines()) - 1


def test_the_version_is_told(run: Run) -> None:
    assert run("--version")[:2] == (0, f"rankline {version('rankline')}\n")


def test_blanks_between_methods_are_no_mistake(run: Run) -> None:
    Path("net.json").write_text(json.dumps(LAYERS))
    assert run("explore", "net.json", "--methods", "tucker, svd")[0] == 0
    assert {row["method"] for row in json.loads(run("spaces", "--json")[1])} == {"tucker", "svd"}


@pytest.mark.parametrize(
    ("options", "left"), [(("--methods", "qr"), "conv"), (("--rank-multiple", "100"), "conv, dense")]
)
def test_layers_that_the_options_leave_nothing_of_are_named(run: Run, options: tuple[str, ...], left: str) -> None:
    Path("net.json").write_text(json.dumps(LAYERS))
    code, _, err = run("explore", "net.json", *options)
    assert code == 0
    assert f"leave no configuration of {left}\n" in err


def test_totals_are_at_least_where_the_flops_of_a_layer_are_unknown(run: Run) -> None:
    lstm = {"name": "lstm", "kind": "lstm", "kept_because": "a recurrent layer is kept as it is", "kept_params": 900}
    Path("net.json").write_text(json.dumps([*LAYERS, lstm]))
    run("explore", "net.json")
    _, out, err = run("query")
    assert "network's flops: at least " in out
    assert "network's params: at least" not in out
    assert "the FLOPs of lstm are not known" in err
    assert json.loads(run("query", "--json")[1])["uncounted"] == ["lstm"]
    assert "layer 'lstm' has no solution space: a recurrent layer" in run("query", "lstm")[2]


def test_a_narrow_terminal_folds_no_number(explored: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    _, out, err = explored("query", "conv", "tucker", "--within", "all", "--at", "0.5")
    saved = json.loads(explored("query", "conv", "tucker", "--within", "all", "--at", "0.5", "--json")[1])["picks"]
    lines = re.sub(r"\x1b\[[0-9;]*m", "", out).splitlines()
    rows = [line for line in lines if line.lstrip().startswith(tuple(saved))]
    assert len(rows) == len(saved)
    assert all(f"{one['flops']:,}" in row for row, one in zip(rows, saved.values(), strict=True))
    assert max(map(len, lines)) <= 60
    assert "left out for want of space: memory (bytes)" in err


def test_being_told_to_end_is_as_ctrl_c(explored: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rankline.src.db.database.Database.spaces", lambda *_: os.kill(os.getpid(), signal.SIGTERM))
    code, _, err = explored("spaces")
    assert code == 143
    assert "interrupted" in err


def test_a_database_that_cannot_be_written_is_queried_all_the_same(explored: Run) -> None:
    """In a process without the right to write into the folder, where SQLite makes files even to read."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shutil.copy("rankline.db", folder / "rankline.db")
        (folder / "rankline.db").chmod(0o444)
        folder.chmod(0o555)
        script = (
            "import os, rankline\n"
            "from rankline.src.dse.layer import dense\n"
            "warm = rankline.open('sqlite://')\n"  # all that is imported on the way
            "warm.explore([dense('d', 8, 8)], name='net')\n"
            "warm.solutions('d', 'svd').count()\n"
            "if os.geteuid() == 0: os.seteuid(65534)\n"  # root may write anywhere
            f"db = rankline.open({str(folder / 'rankline.db')!r})\n"
            "print(db.solutions('conv', 'tucker').count() > 0)\n"
            "try: db.explore([dense('d', 9, 9)], name='more')\n"
            "except rankline.UserError as error: print(error)\n"
        )
        try:
            done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
        finally:
            folder.chmod(0o755)
    found, refused = done.stdout.splitlines()
    assert found == "True"
    assert "readonly database; it can only be read here; copy it" in refused


def test_a_failure_has_exit_code_1_and_its_traceback_only_with_debug(
    explored: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("rankline.src.db.database.Database.spaces", broken)
    code, _, err = explored("spaces")
    assert code == 1
    assert "Input/output error" in err
    assert "Traceback" not in err
    assert "Traceback" in explored("--debug", "spaces")[2]


def commands_in(command: Any, path: str = "rankline") -> Iterator[tuple[str, Any]]:
    """Every command and group below one, with what is typed to reach it."""
    for name, one in getattr(command, "commands", {}).items():
        yield f"{path} {name}", one
        yield from commands_in(one, f"{path} {name}")


COMMANDS = dict(commands_in(get_command(app)))

NO_TABLE = {
    "rankline bench", "rankline db", "rankline db backup", "rankline db check", "rankline db upgrade",
    "rankline device", "rankline device add", "rankline device bundle", "rankline device export",
    "rankline device import", "rankline device remove", "rankline export", "rankline report",
    "rankline runs export", "rankline serve", "rankline study", "rankline study precision", "rankline study zoo",
}  # fmt: skip
"""Commands that write files, or a line, or whose tables are of other columns each."""


def test_all_commands_are_found() -> None:
    assert {"rankline query", "rankline runs show", "rankline db backup"} <= set(COMMANDS)
    assert len(COMMANDS) >= 24


@pytest.mark.parametrize("path", COMMANDS)
def test_every_command_and_group_has_a_help_with_an_example_of_its_own(path: str) -> None:
    command = COMMANDS[path]
    assert f"Example: [bold]{path} " in f"{command.help} ".replace("[/bold]", " "), path
    for parameter in command.params:
        assert getattr(parameter, "help", None), f"{path} {parameter.name}"


@pytest.mark.parametrize("path", sorted(set(COMMANDS) - NO_TABLE))
def test_every_table_is_to_be_had_as_json_and_csv(path: str) -> None:
    options = {option for parameter in COMMANDS[path].params for option in parameter.opts}
    assert {"--json", "--csv"} <= options, path


def test_the_import_and_the_help_load_nothing_heavy() -> None:
    script = (
        "import sys, rankline\n"
        "from rankline.cli import main\n"
        "try: main(['--help'])\nexcept SystemExit: pass\n"
        "heavy = {'tensorflow', 'keras', 'numba', 'sympy', 'pandas', 'plotly', 'sqlalchemy'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, stdout=subprocess.DEVNULL)


def test_a_closed_pipe_is_no_error(explored: Run) -> None:
    command = f"{sys.executable} -m rankline spaces --json | head -n 1"
    done = subprocess.run(["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True)
    assert done.stdout == "[\n"
    assert "Traceback" not in done.stderr


def test_a_network_of_kept_layers_alone_has_nothing_to_save(run: Run) -> None:
    Path("kept.json").write_text(json.dumps([{"name": "d", "kept_because": "x"}]))
    assert run("explore", "kept.json", "--db", "kept.db")[0] == 0
    code, _, err = run("query", "--where", "params_reduction=0.5:", "--db", "kept.db")
    assert (code, "division" in err) == (0, False), err
