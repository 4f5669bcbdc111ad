"""A file measured: what a call takes on this machine, what the file is worth on data, and how large it is."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from rankline.src.compress.deploy import runtimes
from rankline.src.compress.deploy.digests import file_digest, weights_digest
from rankline.src.compress.deploy.formats import runtime_of
from rankline.src.compress.deploy.judged import Judged, judged_by_file, judged_by_model
from rankline.src.compress.deploy.latency import SECONDS
from rankline.src.compress.deploy.measure import check_counts, now
from rankline.src.compress.deploy.runtime import Runtime, Session
from rankline.src.compress.deploy.timing import timed
from rankline.src.compress.training.settings import AS_COMPILED, Aim
from rankline.src.db.records.measurements import Measurement
from rankline.src.dse.errors import UserError
from rankline.src.dse.keras_model.source import load_model
from rankline.src.dse.outgoing import for_database
from rankline.src.dse.precision import F32
from rankline.src.dse.progress import Progress, no_progress


def measure_file(
    path: Path,
    given: Any = None,
    threads: int | None = None,
    aim: Aim = AS_COMPILED,
    test_samples: int | None = None,
    progress: Progress = no_progress,
) -> Measurement:
    """Measures a .keras, .tflite or .onnx file on this machine. A file for a batch of any size is run with one sample.

    - ``threads``: None: one, or for Keras those that this process computes with already
    - ``given``: data to score it on, of which the test part is used; None: none
    - ``aim``: by what it is judged, where that doesn't follow from the model, or from its outputs and the labels
    - ``test_samples``: score it on so many of them at most

    Raises UserError for a file of another kind or one that can't be run, for data that doesn't fit it, and where its
    runtime isn't installed.
    """
    runtime = runtimes.get(runtime_of(path))
    runtime.check()
    threads = runtime.usual_threads() if threads is None else threads
    check_counts(threads, 1)
    runtime.check_threads(threads)
    facts: dict[str, Any] = {}
    judged = None
    progress("loading", 0, 0)
    if runtime.suffix:
        session = runtime.load(path, threads)
        if given is not None:
            judged = judged_by_file(path, session, given, aim.score)
    else:
        model = load_model(str(path))
        session = runtime.load(model, threads)
        facts = {"precision": F32.name, "model": weights_digest(model)}
        if given is not None:
            judged = judged_by_model(model, given, str(path), aim)
    judged = None if judged is None else judged.some(test_samples)
    return measured(path, path.name, runtime, session, threads, judged, facts, progress)


def measured(
    path: Path,
    name: str,
    runtime: Runtime,
    session: Session,
    threads: int,
    judged: Judged | None,
    facts: dict[str, Any],
    progress: Progress = no_progress,
) -> Measurement:
    """The measurement of a file that is loaded. name: what it is called; facts: further fields of the measurement."""
    (time,) = timed({name: session.call}, SECONDS, progress).values()
    settings = dict(facts.pop("settings", {}))
    if judged is not None:
        settings |= {"preparation": dict(judged.preparation), "judged_by": judged.task.measure.as_dict()}
        facts = {
            "data": for_database(judged.name),
            "samples": len(judged.y[0]),
            "score_name": judged.task.measure.name,
            "score": judged.score(session.run, batch_of(session), name, progress),
            **facts,
        }
    return Measurement(
        file=for_database(name),
        digest=file_digest(path),
        bytes=os.path.getsize(path),
        runtime=runtime.name,
        version=runtime.version(),
        machine=runtime.machine(),
        threads=threads,
        batch=batch_of(session),
        latency_ps=time.minimum,
        median_ps=time.median,
        spread=time.spread,
        measured_at=now(),
        settings=json.loads(json.dumps(settings)),  # as it is read back
        **facts,
    )


def batch_of(session: Session) -> int:
    """Samples in a call. Raises UserError for inputs that differ in it."""
    sizes = {shape[0] if shape else 0 for shape in session.inputs.values()}
    if len(sizes) != 1 or 0 in sizes:
        raise UserError(f"its inputs have no batch in common: {', '.join(map(str, session.inputs.values()))}")
    return sizes.pop()
