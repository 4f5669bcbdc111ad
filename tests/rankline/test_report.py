"""``report`` and ``study``: files for people, and what machines are told about them."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from rankline.src.db.database import open_database
from rankline.src.reports.figures.images import BROWSERS
from rankline.src.reports.report.content import content
from rankline.src.reports.study.scores import CRITERIA
from tests.helpers import demo_database
from tests.rankline.conftest import Run


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> str:
    """LeNet-5 explored, and a run of it."""
    path = tmp_path_factory.mktemp("report") / "demo.db"
    demo_database.make(path)
    return str(path)


def test_the_command_knows_the_formats(demo: str, run: Run) -> None:
    code, out, _ = run("report", "r.md", "--db", demo, "--run", "1", "--json")
    assert (code, json.loads(out)) == (0, {"file": "r.md"})
    code, _, told = run("report", "r.docx", "--db", demo, "--run", "1")
    assert code == 2
    assert "possible endings" in told


@pytest.mark.skipif(not any(map(shutil.which, BROWSERS)), reason="no Chrome or Chromium is installed")
def test_markdown_shows_the_pictures_by_their_place_beside_it(demo: str, run: Run) -> None:
    assert run("report", "r.md", "--db", demo, "--run", "1", "--images", "pictures")[0] == 0
    text = Path("r.md").read_text(encoding="utf-8")
    for path in Path("pictures").iterdir():
        assert f"(<pictures/{path.name}>)" in text
    assert text.count("](<") == len(content(open_database(demo), None, 1, 0).figures())


def test_a_device_that_is_named_is_the_only_one_told(demo: str, run: Run) -> None:
    assert run("report", "r.csv", "--db", demo, "--device", "laptop")[0] == 0
    assert "latency_ps laptop,latency_ps_after laptop" in Path("r.csv").read_text(encoding="utf-8")
    code, _, told = run("report", "r.csv", "--db", demo, "--device", "phone")
    assert code == 2
    assert "unknown device 'phone'" in told
    code, _, told = run("report", "r.html", "--benchmarks", ".", "--device", "laptop")
    assert code == 2
    assert "leave out --network, --run, --device and --images" in told


def test_a_study_has_tables_for_people_and_json_for_machines(demo: str, run: Run) -> None:
    arguments = ["study", "out", "--db", demo, "--table", "scores"]
    code, _, told = run(*arguments)
    assert code == 0
    assert "missing: alexnet" in told
    assert told.count("Decomposition time is left out") == 1
    code, out, told = run(*arguments, "--json")
    assert (code, told) == (0, "")
    found = json.loads(out)
    assert list(found["tables"]) == ["scores_conv", "scores_dense"]
    assert len(found["tables"]["scores_dense"]["rows"]) == len(CRITERIA)
    assert len(found["missing"]) == 13
    assert all(Path(name).exists() for name in found["files"])


def test_importing_the_study_stays_light() -> None:
    code = (
        "import sys, rankline.cli.study; print({'pandas', 'plotly', 'sqlalchemy', 'sympy', 'numba'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
