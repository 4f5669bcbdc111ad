"""The result of a run, measured once on its device where that is this machine."""

from __future__ import annotations

import warnings
from dataclasses import replace

from rankline.src.compress.deploy.latency import is_here, latencies
from rankline.src.compress.runs.job import Job
from rankline.src.compress.runs.latency import PlanLatency
from rankline.src.compress.runs.run import Run
from rankline.src.db.records.runs import INTERRUPTED, note_made_by
from rankline.src.dse.errors import UserError
from rankline.src.dse.metric import LATENCY


class NotTimedWarning(UserWarning):
    """A model could not be measured on the device of its run."""


def timed(job: Job, run: Run) -> Run:
    """The run with what its model takes on the job's device, beside the original, recorded with the chosen trial.

    The run stays as it is without a device, on another machine, if the original was chosen, after Ctrl-C, and, with a
    NotTimedWarning, if the runtime can't convert or run one of the models.
    """
    told, device = PlanLatency.from_record(run.chosen.made_by), job.device
    is_kept = run.chosen.number == run.original.number or run.status == INTERRUPTED
    if device is None or told is None or is_kept or not is_here(device):
        return run
    try:
        times = latencies({"original": job.model, "smaller": run.model}, device, job.progress)
    except UserError as error:
        warnings.warn(f"the model was not measured on {device.name}: {error}", NotTimedWarning, stacklevel=2)
        return run
    told = replace(told, measured_original=times["original"].minimum, measured_plan=times["smaller"].minimum)
    chosen = replace(run.chosen, made_by={**run.chosen.made_by, LATENCY.name: told.as_dict()})
    note_made_by(job.database.engine, run.id, chosen)
    trials = tuple(chosen if one.number == chosen.number else one for one in run.trials)
    return replace(run, chosen=chosen, trials=trials)
