"""A bundle is made, run where only the runtime and NumPy are, and comes back as a device."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from rankline.src.compress.deploy import bundle as bundle_file
from rankline.src.compress.deploy.bundle import (
    MANIFEST,
    MODELS,
    RESULT,
    RUNNER,
    device_of_result,
    runner_text,
    write_bundle,
)
from rankline.src.compress.deploy.runtime import Calls
from rankline.src.dse.devices.device import device_from
from rankline.src.dse.errors import UserError
from tests.helpers.tiny_chains import tiny_chains

NEEDED = ("ai_edge_litert", "numpy", "backports", "flatbuffers", "ml_dtypes", "google", "tqdm", "typing_extensions")
"""NumPy, and the runtime with what it needs itself."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of tiny chains."""
    folder = tmp_path_factory.mktemp("bundle") / "operations"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bundle_file, "chains", lambda number, pads, seed: tiny_chains(24, pads, seed))
        write_bundle(folder, calls=Calls(2, 3), quick=True)
    return folder


@pytest.fixture(scope="module")
def ran(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle after its runner, in a Python that has no other packages."""
    site = tmp_path_factory.mktemp("site")
    for name in NEEDED:
        spec = find_spec(name)
        assert spec is not None
        place = Path(next(iter(spec.submodule_search_locations))) if spec.submodule_search_locations else None
        found = place or Path(str(spec.origin))
        (site / found.name).symlink_to(found)
        if (libraries := found.with_name(f"{found.name}.libs")).is_dir():
            (site / libraries.name).symlink_to(libraries)
    script = f"import runpy, sys; sys.path.append({str(site)!r}); runpy.run_path('run.py', run_name='__main__')"
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", script.replace("'run.py'", repr(str(made / RUNNER)))],
        cwd=site, env={"PATH": os.environ["PATH"]}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "timing 24 operations" in done.stderr
    return made


def test_a_bundle_that_was_run_elsewhere_is_a_device(ran: Path) -> None:
    device = device_of_result("phone", ran)
    assert device_from(device.as_dict()) == device
    assert (device.name, device.runtime, device.threads, device.batch) == ("phone", "litert", 2, 3)
    assert len(device.measured) == 24
    assert all(one.picoseconds > 0 for one in device.measured)
    assert [(one.layer, one.configuration) for one in device.measured] == [
        (one.layer, one.configuration) for one in tiny_chains(24)
    ]


def test_the_runner_imports_the_runtime_and_numpy_only() -> None:
    names = {line.split()[1].partition(".")[0] for line in imports_of(runner_text())}
    own = {"ai_edge_litert", "tflite_runtime", "tensorflow", "numpy", "__future__"}
    assert names - own <= sys.stdlib_module_names


def imports_of(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip().startswith(("import ", "from "))]


def test_a_bundle_holds_four_files_at_most(ran: Path) -> None:
    assert {one.name for one in ran.iterdir()} == {MANIFEST, MODELS, RUNNER, RESULT}


def changed(folder: Path, tmp_path: Path, **fields: Any) -> Path:
    """A result with other fields."""
    path = tmp_path / "changed.json"
    path.write_text(json.dumps(json.loads((folder / RESULT).read_text()) | fields))
    return path


def test_a_result_of_another_bundle_is_refused(ran: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is the result of another bundle"):
        device_of_result("phone", ran, changed(ran, tmp_path, bundle="0" * 64))


@pytest.mark.parametrize("time", [-5, 0, float("nan"), 0.5, "5", True, 10**16])
def test_times_that_make_no_sense_are_refused(ran: Path, tmp_path: Path, time: Any) -> None:
    times = json.loads((ran / RESULT).read_text())["picoseconds"]
    with pytest.raises(UserError, match=r"changed\.json: .*picoseconds|changed\.json: not JSON"):
        device_of_result("phone", ran, changed(ran, tmp_path, picoseconds=[*times[:-1], time]))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"picoseconds": [5]}, "expected a list of times, one for each operation"),
        ({"picoseconds": None}, "expected a list of times"),
        ({"machine": 5}, "'machine' must be text"),
        ({"format": 2}, 'expected an object with "format": 1'),
    ],
)
def test_results_of_another_form_are_refused(ran: Path, tmp_path: Path, fields: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        device_of_result("phone", ran, changed(ran, tmp_path, **fields))


def test_operations_that_could_not_be_run_there_are_left_out(ran: Path, tmp_path: Path) -> None:
    times = json.loads((ran / RESULT).read_text())["picoseconds"]
    device = device_of_result("phone", ran, changed(ran, tmp_path, picoseconds=[None, *times[1:]]))
    assert len(device.measured) == 23


def test_missing_files_and_other_runtimes_are_told(ran: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="No such file"):
        device_of_result("phone", tmp_path)
    with pytest.raises(UserError, match="a bundle is for litert; got 'onnx'"):
        write_bundle(tmp_path / "other", "onnx")
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(UserError, match="cannot write into"):
        write_bundle(file)
