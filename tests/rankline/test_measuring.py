"""``device add`` and ``device bundle`` as typed, without the minutes that measuring takes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from rankline.cli import measuring
from rankline.src.compress.deploy import bundle as bundle_file
from rankline.src.compress.deploy import measure
from rankline.src.compress.deploy.measure import Measurements, device_from_times
from rankline.src.compress.deploy.runtime import Calls, Runtime
from rankline.src.db import database
from rankline.src.dse.devices.device import Device
from rankline.src.dse.errors import UserError
from tests.helpers.tiny_chains import tiny_chains

app = typer.Typer()
app.command("add")(measuring.add)
app.command("bundle")(measuring.bundle)


class Store:
    """What of a database is asked of."""

    def __init__(self) -> None:
        self.kept: dict[str, Device] = {}

    def devices(self) -> list[Device]:
        return list(self.kept.values())

    def save_device(self, device: Device, replace: bool = False) -> None:
        assert replace or device.name not in self.kept
        self.kept[device.name] = device


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Store:
    found = Store()
    monkeypatch.setattr(database, "open_database", lambda location: found)
    monkeypatch.setattr(measure, "add_device", measured)
    return found


def measured(name: str, runtime: Runtime, calls: Calls, *_: Any) -> tuple[Device, Measurements]:
    times = tuple(chain.timed(10**6 * (j + 1)) for j, chain in enumerate(tiny_chains(24)))
    facts = {"version": "2.3.0", "machine": "a processor, Linux 6", "measured_at": "2026-11-28T10:00:00+00:00"}
    return device_from_times(name, runtime, calls, times, facts), Measurements(times, 0.01, ("a form",))


def run(*arguments: str) -> Any:
    return CliRunner().invoke(app, arguments)


def test_a_device_is_stored_and_told(store: Store) -> None:
    done = run("add", "here", "--threads", "2", "--db", "space.db")
    assert done.exit_code == 0, done.exception
    assert store.kept["here"].threads == 2
    assert "here (litert 2.3.0, f32, 2 threads, batch 1): 24 operations measured in" in done.stderr
    assert "left out, because the runtime can't convert them: a form" in done.stderr
    assert "predicts operations that it has not seen within" in done.stderr
    assert "tile" in done.stderr or "one by one" in done.stderr


def test_a_device_as_json(store: Store) -> None:
    told = json.loads(run("add", "here", "--json").stdout)
    assert (told["name"], told["operations"], told["left_out"], told["spread"]) == ("here", 24, ["a form"], 0.01)
    assert {"median", "p90", "count"} == told["fit"].keys()


def test_a_name_that_is_taken_is_refused_before_anything_is_measured(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("add", "here")
    with pytest.raises(UserError, match="has a device 'here' already; choose another name, or --replace it"):
        raise run("add", "here").exception
    assert run("add", "here", "--replace").exit_code == 0


def test_an_unknown_runtime_is_refused(store: Store) -> None:
    with pytest.raises(UserError, match="unknown runtime 'tensorrt'"):
        raise run("add", "here", "--runtime", "tensorrt").exception


def test_a_bundle_is_written_and_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def written(folder: Path, **settings: Any) -> dict[str, Any]:
        return {"digest": "0", "threads": settings["calls"].threads, "left_out": ["a form"], "chains": [{}] * 20}

    monkeypatch.setattr(bundle_file, "write_bundle", written)
    done = run("bundle", str(tmp_path), "--threads", "4")
    assert done.exit_code == 0, done.exception
    assert "20 operations, manifest.json, and run.py" in done.stderr
    assert "run there: python run.py; bring result.json back" in done.stderr
    assert "left out, because the runtime can't convert them: a form" in done.stderr
    told = json.loads(run("bundle", str(tmp_path), "--json").stdout)
    assert told == {"digest": "0", "threads": 1, "left_out": ["a form"], "folder": str(tmp_path)}
