"""A bundle: a folder with which a device that has no Rankline is measured, and the device made of what it wrote there.

- ``models.npz``: the operations' .tflite models, by number
- ``manifest.json``: what they are
- ``run.py``: times them and writes ``result.json``; needs NumPy and the runtime only
"""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from rankline.src.compress.deploy import runner, runtimes, timing
from rankline.src.compress.deploy.chains import FULL, QUICK, Chain, chains
from rankline.src.compress.deploy.measure import check_counts, converted, device_from_times
from rankline.src.compress.deploy.runtime import AS_USUAL, Calls
from rankline.src.dse.devices.device import Device, device_from, measured_from
from rankline.src.dse.errors import UserError
from rankline.src.dse.json_file import parsed, read_bytes
from rankline.src.dse.plan import configuration_entry
from rankline.src.dse.precision import F32
from rankline.src.dse.progress import Progress, no_progress
from rankline.src.dse.whole_file import make_folder, whole_file, write_text

FORMAT = 1
RUNTIME = "litert"
MANIFEST, MODELS, RUNNER, RESULT = "manifest.json", "models.npz", "run.py", "result.json"


def write_bundle(
    folder: Path,
    runtime: str = RUNTIME,
    calls: Calls = AS_USUAL,
    quick: bool = False,
    seed: int = 0,
    progress: Progress = no_progress,
) -> dict[str, Any]:
    """Writes a bundle into a folder, which is made if missing; returns its manifest.

    Raises UserError where the runtime is missing or is none of bundles, or the folder can't be written.
    """
    if runtime != RUNTIME:
        raise UserError(f"a bundle is for {RUNTIME}; got '{runtime}'; measure it where it runs: rankline device add")
    check_counts(calls.threads, calls.batch)
    one = runtimes.get(runtime)
    one.check(calls.precision)
    make_folder(folder)
    all_chains = chains(QUICK if quick else FULL, one.pads, seed)
    contents, left_out = converted(one, all_chains, calls, progress)
    kept = [(chain, content) for chain, content in zip(all_chains, contents, strict=True) if content is not None]
    entries = [_entry(chain) for chain, _ in kept]
    settings = asdict(calls)
    manifest = {
        "format": FORMAT,
        "digest": _digest({**settings, "chains": entries}, [content for _, content in kept]),
        "runtime": runtime,
        **settings,
        "seed": seed,
        "models": MODELS,
        "left_out": list(left_out),
        "chains": entries,
    }
    arrays: dict[str, Any] = {str(j): np.frombuffer(content, np.uint8) for j, (_, content) in enumerate(kept)}
    with whole_file(folder / MODELS) as partial:
        np.savez(partial, **arrays)
    write_text(folder / RUNNER, runner_text())
    write_text(folder / MANIFEST, json.dumps(manifest, indent=1) + "\n")
    return manifest


def device_of_result(name: str, bundle: Path, result: Path | None = None) -> Device:
    """The device that a bundle was run on.

    bundle: its folder or its manifest. result: the file that its runner wrote, by default the one in the folder. Raises
    UserError where one can't be read, the result is another bundle's, or its times make no sense.
    """
    folder = bundle if bundle.is_dir() else bundle.parent
    manifest = _read(folder / MANIFEST if bundle.is_dir() else bundle, ("digest", "threads", "batch", "chains"))
    path = result or folder / RESULT
    found = _read(path, ("bundle", "version", "machine", "measured_at", "picoseconds"))
    if found["bundle"] != manifest["digest"]:
        raise UserError(f"{path} is the result of another bundle than {bundle}; give the bundle that it came from")
    entries, times = manifest["chains"], found["picoseconds"]
    if not isinstance(entries, list) or not isinstance(times, list) or len(times) != len(entries):
        raise UserError(f"{path}: expected a list of times, one for each operation of {bundle}")
    try:
        measured = [
            measured_from({**entry, "picoseconds": time})
            for entry, time in zip(entries, times, strict=True)
            if time is not None  # the runner says which operations its runtime couldn't run
        ]
        facts = {key: found[key] for key in ("version", "machine", "measured_at")}
        precision = manifest.get("precision", F32.name)  # older bundles don't say
        calls = Calls(manifest["threads"], manifest["batch"], precision)
        made = device_from_times(name, runtimes.get(RUNTIME), calls, measured, facts)
        return device_from(made.as_dict())  # which checks the facts
    except UserError as error:
        raise UserError(f"{path}: {error}; run {RUNNER} again") from error


def runner_text() -> str:
    """``run.py``: the harness and the runner as one file that imports nothing of Rankline."""
    lines = inspect.getsource(runner).splitlines(keepends=True)
    own = [line for line in lines if not line.startswith(("from __future__ import", "from rankline."))]
    return "".join([inspect.getsource(timing), "\n\n", *own])


def _entry(chain: Chain) -> dict[str, Any]:
    one = chain.configuration
    return {"layer": chain.layer.as_dict(), "configuration": None if one is None else configuration_entry(one)}


def _digest(facts: Mapping[str, Any], contents: Sequence[bytes]) -> str:
    """SHA-256 of what is measured and how."""
    found = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
    for content in contents:
        found.update(hashlib.sha256(content).digest())
    return found.hexdigest()


def _read(path: Path, fields: Sequence[str]) -> dict[str, Any]:
    """The object in a JSON file that has these fields. Raises UserError naming the file and what is wrong."""
    try:
        entry = parsed(read_bytes(path))
    except UserError as error:
        raise UserError(f"{path}: {error}; give what 'rankline device bundle' or its {RUNNER} wrote") from error
    if not isinstance(entry, dict) or entry.get("format") != FORMAT or not set(fields) <= entry.keys():
        raise UserError(f'{path}: expected an object with "format": {FORMAT} and {", ".join(fields)}')
    return entry
