"""What a version of Rankline answers to the same commands, as plain values. The golden files hold such answers.

``python -m tests.golden.record FOLDER`` writes them anew, which only a wanted change of behaviour is a reason for.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from importlib.metadata import version
from pathlib import Path
from typing import Any

GOLDEN = Path(__file__).parent

WINDOWS = {
    "conv1": ("tucker", "flops_reduction=0.2:0.7"),
    "conv2": ("tt", "params_reduction=0.6:0.7"),
    "fc1": ("t3f", "memory_reduction=0.9:0.95"),
    "fc2": ("svd", "params=2000:6000"),
}
"""For each layer a method and a window that its configurations are asked for."""

TIMED = {"seconds", "construct_seconds", "fit_seconds", "latency_ms", "latency", "call_us", "started"}
"""What differs from run to run."""

BUDGET = ("--keep-flops", "0.5", "--calibrate", "digits", "--samples", "256", "--seed", "3")


def machine() -> dict[str, str]:
    """What the last digits of a training depend on."""
    cpu = next((line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("flags")), "")
    versions = {name: version(name) for name in ("numpy", "tensorflow", "keras")}
    return {"cpu": hashlib.sha256(cpu.encode()).hexdigest()[:16], "python": platform.python_version(), **versions}


def rankline(*arguments: str, folder: Path) -> Any:
    """What a command of ``rankline`` answers with ``--json``."""
    command = [sys.executable, "-m", "rankline", *arguments, "--json"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True, env=os.environ)
    return json.loads(done.stdout)


def answered(*arguments: str) -> Any:
    """The same in this process, for commands that compute nothing but counts."""
    from rankline.cli import main

    out = io.StringIO()
    with redirect_stdout(out):
        try:
            main([*arguments, "--json"])
        except SystemExit as ended:
            if ended.code:
                raise
    return json.loads(out.getvalue())


def lenet5_spaces(folder: Path) -> dict[str, Any]:
    """The spaces of LeNet-5: their counts, a fingerprint of all their lines, and what windows pick from them."""
    database = str(folder / "lenet5.db")
    answered("explore", "zoo:lenet5", "--db", database)
    asked = {
        layer: answered("query", layer, method, "--where", window, "--db", database)
        for layer, (method, window) in WINDOWS.items()
    }
    return {
        "layers": answered("layers", "--db", database),
        "spaces": answered("spaces", "--db", database),
        "lines": fingerprints(database),
        "queries": asked,
    }


def fingerprints(database: str) -> dict[str, str]:
    """A hash of the rows of each table and view that a space's numbers stand in."""
    import sqlite3

    asked = {
        "line": "SELECT * FROM line ORDER BY id",
        "space": "SELECT method, digest, options, n_total, n_better, n_useful, n_lines FROM space ORDER BY digest",
        "solution_step": "SELECT * FROM solution_step ORDER BY 1, 2, 3, 4",
        "configuration": "SELECT * FROM configuration WHERE layer IN ('conv1', 'conv2', 'fc3') ORDER BY "
        "1, 2, 3, 4, 5, 6, 7, 8",
    }
    with sqlite3.connect(database) as connection:
        rows = {name: connection.execute(query).fetchall() for name, query in asked.items()}
    return {name: hashlib.sha256(json.dumps(found).encode()).hexdigest() for name, found in rows.items()}


def demo(folder: Path) -> dict[str, Any]:
    """The demo's summary, plan and record."""
    found = rankline("demo", "made", "--seed", "0", folder=folder)
    database = str(folder / "made" / "rankline.db")
    return {
        "machine": machine(),
        "summary": without_times(found),
        "plan": json.loads((folder / "made" / "small.plan.json").read_text()),
        "record": without_times(rankline("runs", "show", "1", "--db", database, folder=folder)),
        "model": weights_of(folder / "made" / "small.keras"),
    }


def budget(folder: Path) -> dict[str, Any]:
    """The plan and record of a budget on the demo's trained model, which ``demo`` has left in the folder."""
    model, out, database = "made/lenet5.keras", "half.keras", "budget.db"
    found = rankline("budget", model, *BUDGET, "--out", out, "--db", database, folder=folder)
    return {
        "machine": machine(),
        "summary": without_times(found),
        "plan": json.loads((folder / "half.plan.json").read_text()),
        "record": without_times(rankline("runs", "show", "1", "--db", database, folder=folder)),
        "model": weights_of(folder / out),
    }


def weights_of(model: Path) -> str:
    """A hash of a saved model's weights, whatever the time in its file."""
    import zipfile

    import h5py

    digest = hashlib.sha256()

    def add(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            digest.update(name.encode() + item[()].tobytes())

    with zipfile.ZipFile(model) as archive, h5py.File(io.BytesIO(archive.read("model.weights.h5"))) as file:
        file.visititems(add)
    return digest.hexdigest()


def without_times(found: Any) -> Any:
    """The same without what differs from run to run: times and latencies."""
    if isinstance(found, dict):
        return {key: without_times(value) for key, value in found.items() if key not in TIMED}
    return [without_times(value) for value in found] if isinstance(found, list) else found


@contextmanager
def empty_folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


def write(folder: Path) -> None:
    with empty_folder() as here:
        for name, made in {"lenet5_spaces": lenet5_spaces, "demo": demo, "budget": budget}.items():
            text = json.dumps(made(here), indent=1, sort_keys=True, allow_nan=False)
            (folder / f"{name}.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    write(Path(sys.argv[1]))
