"""``rankline device`` as a user meets it: tables, files, and what is refused at the door."""

from __future__ import annotations

import copy
import csv
import io
import json
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rankline.cli import completion
from rankline.src.db.database import Database, open_database
from rankline.src.dse.devices import version
from rankline.src.dse.devices.device import read_device, write_device
from rankline.src.dse.layer import conv, dense
from tests.helpers.devices import made_up_device
from tests.helpers.report_page import Page
from tests.rankline.conftest import Run

LAYERS = [conv("conv", (3, 3), 8, 12, (8, 8)), dense("dense", 48, 10)]
HOSTILE = "=1+1<b>\u202e"


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The versions of packages that are installed, whatever they are here."""
    found = {"ai-edge-litert": "2.3.0"}

    def of(name: str) -> str:
        if name not in found:
            raise version.PackageNotFoundError(name)
        return found[name]

    monkeypatch.setattr(version, "version", of)
    return found


@pytest.fixture
def stored(run: Run) -> Iterator[Database]:
    """A network and two devices in rankline.db, and the file laptop.json."""
    database = open_database("rankline.db")
    database.explore(LAYERS, name="net")
    database.save_device(made_up_device())
    database.save_device(replace(made_up_device("phone", tile=8, pads=True), threads=4, runtime="onnx"))
    write_device(made_up_device(), Path("laptop.json"))
    yield database
    database.close()


def rows_of(out: str) -> list[list[str]]:
    """The cells of a table's rows, two blanks or more apart."""
    return [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in out.splitlines() if line.strip()]


def test_the_list_has_how_each_runs_and_predicts(stored: Database, run: Run) -> None:
    code, out, err = run("device", "list")
    title, columns, _, *rows = rows_of(out)
    assert (code, title, err) == (0, ["2 devices"], "")
    assert columns == [
        "name", "runtime", "version", "precision", "threads", "batch", "half within", "90 % within", "machine",
        "measured at",
    ]  # fmt: skip
    assert rows[0][:8] == ["laptop", "litert", "2.3.0", "f32", "1", "1", "6.2 %", "18.8 %"]
    assert rows[1][:5] == ["phone", "onnx", "2.3.0", "f32", "4"]
    found = json.loads(run("device", "list", "--json")[1])
    assert [(one["name"], one["tile"], one["fit"]["p90"]) for one in found] == [
        ("laptop", 4, 0.1875), ("phone", 8, 0.1875),
    ]  # fmt: skip
    (laptop, _) = csv.DictReader(io.StringIO(run("device", "list", "--csv")[1]))
    assert (laptop["name"], laptop["half within"]) == ("laptop", "0.0625")


def test_a_database_without_devices_tells_how_to_get_one(run: Run) -> None:
    open_database("rankline.db").explore(LAYERS, name="net")
    code, out, err = run("device", "list")
    assert (code, rows_of(out)[0]) == (0, ["0 devices"])
    assert "rankline device add NAME --runtime litert" in err
    assert run("device", "list", "--db", "absent.db")[0] == 2


def test_a_device_is_shown_with_its_numbers_in_readable_units(stored: Database, run: Run) -> None:
    code, out, err = run("device", "show", "laptop")
    rows = rows_of(out)
    assert (code, err) == (0, "")
    assert rows[0] == ["laptop (litert 2.3.0, f32, 1 thread, batch 1)"]
    assert ["half predicted within", "6.2 %, of 12 that its numbers were not fitted to"] in rows
    assert ["a call", "5.000 µs, whatever it runs"] in rows
    assert ["tile", "4 channels"] in rows
    assert ["convolution", "1.250", "31.000", "95.000", "620.000", "25.500"] in rows
    assert ["tile", "8 channels; ranks are padded to whole tiles"] in rows_of(run("device", "show", "phone")[1])
    assert json.loads(run("device", "show", "laptop", "--json")[1]) == made_up_device().as_dict()
    table = csv.DictReader(io.StringIO(run("device", "show", "laptop", "--csv")[1]))
    assert [row["MAC (ps)"] for row in table if row["operation"] == "dense"] == ["55.0"]


def test_a_figure_is_drawn_on_request(stored: Database, run: Run) -> None:
    code, _, err = run("device", "show", "laptop", "--figure", "laptop.html")
    assert (code, err) == (0, "wrote laptop.html\n")
    assert list(Page(Path("laptop.html").read_text(encoding="utf-8")).figures) == ["predicted-times"]


def test_a_device_goes_from_one_database_to_another(stored: Database, run: Run) -> None:
    code, _, err = run("device", "export", "laptop", "out.json")
    assert (code, "wrote device laptop with 12 measurements to out.json" in err) == (0, True)
    assert Path("out.json").read_text() == Path("laptop.json").read_text()
    assert run("device", "import", "out.json", "--db", "other.db")[0] == 0
    assert run("device", "import", "out.json", "--name", "office", "--db", "other.db")[0] == 0
    other = open_database("other.db")
    assert other.device("laptop") == stored.device("laptop")
    assert other.device("office") == stored.device("laptop").renamed("office")
    other.close()
    assert run("device", "remove", "laptop", "--db", "other.db")[2] == "removed device laptop from other.db\n"
    assert [one["name"] for one in json.loads(run("device", "list", "--db", "other.db", "--json")[1])] == ["office"]


def test_what_is_done_is_told_to_machines_too(stored: Database, run: Run) -> None:
    assert json.loads(run("device", "export", "phone", "p.json", "--json")[1]) == {"device": "phone", "file": "p.json"}
    told = {"device": "office", "database": "rankline.db"}
    assert json.loads(run("device", "import", "p.json", "--name", "office", "--json")[1]) == told
    assert json.loads(run("device", "remove", "office", "--json")[1]) == told


def test_a_device_is_replaced_on_request_alone(stored: Database, run: Run) -> None:
    write_device(made_up_device(tile=32), Path("again.json"))
    code, _, err = run("device", "import", "again.json")
    assert (code, err.count("\n")) == (2, 1)
    assert "has a device 'laptop' already; give another name, or replace it (--replace)" in err
    assert stored.device("laptop").model.tile == 4
    assert run("device", "import", "again.json", "--replace")[0] == 0
    assert stored.device("laptop").model.tile == 32


def test_another_version_of_the_runtime_is_told_in_a_note(
    stored: Database, run: Run, installed: dict[str, str]
) -> None:
    installed["ai-edge-litert"] = "2.4.0"
    for command in (("list",), ("show", "laptop"), ("import", "laptop.json", "--replace")):
        told = run("device", *command)[2].splitlines()[-1]
        assert told.startswith("device 'laptop' was measured with litert 2.3.0, and 2.4.0 is installed here"), command
    assert run("device", "show", "phone")[2] == "", "its runtime isn't installed"


def test_names_of_files_are_harmless_where_they_are_shown(stored: Database, run: Run) -> None:
    hostile = replace(made_up_device("=1+1<b>"), machine="=cmd|' /C calc'!A0")
    write_device(hostile, Path("odd.json"))
    assert run("device", "import", "odd.json")[0] == 0
    rows = list(csv.DictReader(io.StringIO(run("device", "list", "--csv")[1])))
    assert (rows[0]["name"], rows[0]["machine"][:2]) == ("'=1+1<b>", "'=")
    code, _, err = run("device", "show", HOSTILE)
    assert (code, err.count("\n"), "\u202e" in err) == (2, 1, False)


def rows_on_record() -> list[str]:
    with sqlite3.connect("rankline.db") as connection:
        return list(connection.iterdump())


def entry(**changes: Any) -> str:
    found = copy.deepcopy(made_up_device().as_dict())
    return json.dumps({**found, **changes})


MISTAKES = {
    "not JSON": ("{", "odd.json: not JSON"),
    "NaN": ('{"format": NaN}', "not JSON (NaN is no number there)"),
    "nested": ("[" * 100_000, "nested more than"),
    "a long number": ('{"format": ' + "9" * 5000 + "}", "a number of 5,000 digits"),
    "a layers file": ("[]", 'expected an object with "format": 1; got []'),
    "another format": (entry(format=7), 'expected an object with "format": 1'),
    "negative": (entry(call=-1), "'call' must be a whole number from 0"),
    "huge": (entry(tile=10**40), "'tile' must be a whole number from 1"),
    "no numbers": (entry(numbers=None), "'numbers' must be an object; got None"),
    "unknown operations": (entry(numbers={}), "has no numbers for the operation 'convolution'"),
    "a hostile name": (entry(name="\x1b[2J"), "'name' must be text of 1 to 1,000 printable characters"),
    "a name of lines": (entry(name="a\nb"), "'name' must be text of 1 to 1,000 printable characters"),
    "half a character": (entry(machine="\ud800"), "'machine' must be text of 1 to 1,000 printable characters"),
}


@pytest.mark.parametrize("what", MISTAKES)
def test_a_broken_file_is_refused_in_one_line_and_changes_nothing(stored: Database, run: Run, what: str) -> None:
    text, message = MISTAKES[what]
    Path("odd.json").write_text(text)
    before = rows_on_record()
    for more in ((), ("--replace",), ("--db", "new.db")):
        code, out, err = run("device", "import", "odd.json", *more)
        assert (code, out, err.count("\n")) == (2, "", 1)
        assert err.startswith("rankline: device file odd.json: ")
        assert message in err
        assert err.strip().isprintable()
    assert rows_on_record() == before
    assert not Path("new.db").exists()


REFUSED = {
    "show labtop": "unknown device 'labtop'; did you mean 'laptop'? Possible: laptop, phone",
    "remove labtop": "unknown device 'labtop'; did you mean 'laptop'?",
    "export labtop x.json": "unknown device 'labtop'; did you mean 'laptop'?",
    "export laptop x.csv": "a device is exported as .json; got 'x.csv'",
    "show laptop --figure x.gif": "cannot draw into 'x.gif'; possible endings: .html, .svg, .png, .pdf",
    "import absent.json": "device file absent.json: No such file or directory",
    "import laptop.json --name ''": "'name' must be text of 1 to 1,000 printable characters",
    "list --db absent.db": "no database at absent.db",
    "list --json --csv": "--json and --csv are both given",
}


@pytest.mark.parametrize("command", REFUSED)
def test_a_mistake_is_answered_in_one_line(stored: Database, run: Run, command: str) -> None:
    before, files = rows_on_record(), set(Path().iterdir())
    code, out, err = run("device", *[word.strip("'") for word in command.split(" ")])
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert REFUSED[command] in err
    assert rows_on_record() == before
    assert set(Path().iterdir()) == files


def test_the_shell_completes_names_of_devices(stored: Database) -> None:
    import click

    context = click.Context(click.Command("show"))
    context.params = {"db": "rankline.db"}
    assert completion.device(context, "la") == ["laptop"]  # type: ignore[arg-type]
    assert completion.device(context, "") == ["laptop", "phone"]  # type: ignore[arg-type]
    context.params = {"db": "absent.db"}
    assert completion.device(context, "") == []  # type: ignore[arg-type]


def test_an_exported_file_is_read_back(stored: Database, run: Run) -> None:
    run("device", "export", "phone", "phone.json")
    assert read_device(Path("phone.json")) == stored.device("phone")
