"""``runs show`` of a run whose models were written for a runtime."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from typer.testing import CliRunner

from rankline.cli.commands import app
from rankline.src.db.database import open_database
from rankline.src.db.records.measurements import DEPLOYED
from tests.db.store_schema import MEASURED
from tests.reports.conftest import LAYERS, ORIGINAL, add_run, tried


def test_runs_show_tells_the_file_of_a_trial_in_a_line(tmp_path: Path) -> None:
    path = str(tmp_path / "space.db")
    database = open_database(path)
    database.explore(LAYERS, name="net", methods=["svd"])
    chosen = replace(tried(2, "chosen", 0.94, 700), made_by={"keep_flops": 0.5, DEPLOYED: MEASURED.as_dict()})
    add_run(database, "net", [ORIGINAL, tried(1, "tried", 0.8, 400), chosen])
    database.close()
    told = CliRunner().invoke(app, ["runs", "show", "1", "--db", path])
    assert told.exit_code == 0
    assert [line for line in told.stderr.splitlines() if "tflite" in line] == [f"trial 2: {MEASURED.told}"]
