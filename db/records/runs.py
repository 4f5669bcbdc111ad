"""Stored compression runs: their settings, every trial, and each layer's choice in it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Engine, Select, func, insert, select, update
from sqlalchemy.exc import SQLAlchemyError

from rankline.src.db.backends.engine import writing
from rankline.src.db.records.networks import uncounted_layers
from rankline.src.db.records.row import Row
from rankline.src.db.schema import layer, network, run, trial, trial_layer
from rankline.src.dse.configuration import Configuration
from rankline.src.dse.cost import Cost
from rankline.src.dse.errors import UserError
from rankline.src.dse.metric import LATENCY
from rankline.src.dse.process import Process, this_process

ORIGINAL, TRIED, CHOSEN = "original", "tried", "chosen"

RUNNING, SUCCESS, FELL_SHORT, FAILED, INTERRUPTED = "running", "success", "fell short", "failed", "interrupted"

STATUSES = (RUNNING, SUCCESS, FELL_SHORT, FAILED, INTERRUPTED)

MADE_BY = "made_by"
"""Key of a run's settings that holds what else made its trials, by trial number."""

DEVICE, DEVICE_NAME, DEVICE_DIGEST = "device", "device_name", "device_digest"
"""Keys of a run's settings for the device whose latencies are told: its title, its name, and a hash of its numbers."""

PREDICTED = "predicted_ps"
"""Key of a latency among what made a trial: what was predicted for it, in picoseconds."""

COUNTS = ("params", "fm", "flops")
"""The columns of a cost."""


@dataclass(frozen=True)
class RunRow(Row):
    """A run of a network: how it ended, and with what (see ``finish_run``). trials: number without the original."""

    network: str
    id: int
    status: str
    started: str
    seed: int
    settings: Mapping[str, Any]
    accuracy: float | None
    loss: float | None
    original_accuracy: float | None
    trials: int


@dataclass(frozen=True)
class LayerRecord(Row):
    """One layer in a trial: its configuration (None: the original layer), cost, and closeness to the original.

    similarity: mean cosine of feature maps; error: relative Frobenius error of the kernel.
    """

    layer: str
    configuration: Configuration | None
    cost: Cost
    similarity: float | None = None
    error: float | None = None

    @property
    def method(self) -> str | None:
        """The configuration's method; None for an original layer."""
        return None if self.configuration is None else self.configuration.method

    @property
    def ranks(self) -> tuple[int, ...] | None:
        """The configuration's ranks; None for a layer as it is."""
        return None if self.configuration is None else self.configuration.ranks

    @property
    def shape(self) -> str | None:
        """The configuration's tensor shape."""
        return None if self.configuration is None else self.configuration.shape

    def as_dict(self) -> dict[str, Any]:
        return {
            "layer": self.layer,
            "method": self.method,
            "ranks": None if self.ranks is None else list(self.ranks),
            "shape": self.shape,
            **_counts(self.cost),
            "similarity": self.similarity,
            "error": self.error,
        }


@dataclass(frozen=True)
class TrialRecord(Row):
    """One model: accuracy as a fraction and loss on validation data (None: it diverged, and its status is ``failed``),
    the whole model's cost, and its layers.

    construct_seconds: the part of the seconds spent on making the model, without its last fine-tuning and its
        evaluation;
    metric: the user's own metric, if the run is judged by one;
    made_by: what else made the model, such as a pruning criterion, and what it takes on a device, as plain values;
    id, run: of a stored trial.
    """

    number: int
    status: str
    accuracy: float | None
    loss: float | None
    cost: Cost
    seconds: float
    layers: tuple[LayerRecord, ...]
    construct_seconds: float | None = None
    metric: float | None = None
    made_by: Mapping[str, Any] = field(default_factory=dict)
    id: int | None = field(default=None, compare=False)
    run: int | None = field(default=None, compare=False)

    def as_dict(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "run": self.run,
            "number": self.number,
            "status": self.status,
            "accuracy": self.accuracy,
            "loss": self.loss,
            **_counts(self.cost),
            "is_whole": self.cost.is_whole,
            "seconds": self.seconds,
            "construct_seconds": self.construct_seconds,
            "metric": self.metric,
            "made_by": dict(self.made_by),
            "layers": [one.as_dict() for one in self.layers],
        }


def start_run(engine: Engine, network_id: int, settings: Mapping[str, Any], seed: int) -> int:
    """Stores a new run of this process with status ``running``; returns its id."""
    values = {
        "network": network_id,
        "settings": json.dumps(settings, sort_keys=True),
        "seed": seed,
        "status": RUNNING,
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "process": _this_process(),
    }
    with writing(engine).begin() as connection:
        return int(connection.execute(insert(run).values(**values).returning(run.c.id)).scalar_one())


def record_trial(engine: Engine, run_id: int, record: TrialRecord) -> None:
    """Stores a trial with its layers, in one transaction."""
    with writing(engine).begin() as connection:
        owner = select(run.c.network).where(run.c.id == run_id).scalar_subquery()
        rows = connection.execute(select(layer.c.name, layer.c.id).where(layer.c.network == owner))
        keys = {row.name: row.id for row in rows}
        values = {
            "run": run_id,
            "number": record.number,
            "status": record.status,
            "accuracy": _number(record.accuracy),
            "loss": _number(record.loss),
            "seconds": float(record.seconds),
            "construct_seconds": _number(record.construct_seconds),
            "metric": _number(record.metric),
            **_counts(record.cost),
        }
        key = connection.execute(insert(trial).values(**values).returning(trial.c.id)).scalar_one()
        if record.layers:
            connection.execute(insert(trial_layer), [_layer_row(key, keys[one.layer], one) for one in record.layers])
        if record.made_by:
            _note_made_by(connection, run_id, record)


def reopen_run(engine: Engine, run_id: int) -> None:
    """Sets a run that continues, in this process, back to ``running``."""
    again = {"status": RUNNING, "process": _this_process(), "accuracy": None, "loss": None, "original_accuracy": None}
    # At once, or another command could close it in between.
    with writing(engine).begin() as connection:
        connection.execute(update(run).where(run.c.id == run_id).values(**again))


def close_dead(engine: Engine) -> None:
    """Records as interrupted the runs whose process is gone. Readers are told so anyway: where the database can't be
    written now, it stays as it is."""
    running = select(run.c.id, run.c.status, run.c.process).where(run.c.status == RUNNING)
    with engine.connect() as connection:
        dead = [row.id for row in connection.execute(running) if _status(row.status, row.process) != RUNNING]
    if not dead:
        return
    with suppress(UserError, SQLAlchemyError), writing(engine, waits=False).begin() as connection:
        closed = update(run).where(run.c.id.in_(dead), run.c.status == RUNNING)
        connection.execute(closed.values(status=INTERRUPTED))


def run_settings(engine: Engine, run_id: int) -> tuple[str, dict[str, Any], str]:
    """A run's network, settings and status. Raises UserError for an unknown run."""
    columns = (network.c.name, run.c.settings, run.c.status, run.c.process)
    query = select(*columns).join_from(run, network).where(run.c.id == run_id)
    with engine.connect() as connection:
        found = connection.execute(query).first()
        if found is None:
            raise _no_run(connection, run_id)
    return found.name, json.loads(found.settings), _status(found.status, found.process)


def choose_trial(engine: Engine, run_id: int, number: int) -> None:
    """Marks this trial, and no other, as the run's result."""
    with writing(engine).begin() as connection:
        one_run = trial.c.run == run_id
        connection.execute(update(trial).where(one_run, trial.c.status == CHOSEN).values(status=TRIED))
        connection.execute(update(trial).where(trial.c.run == run_id, trial.c.number == number).values(status=CHOSEN))


def finish_run(
    engine: Engine,
    run_id: int,
    status: str,
    accuracy: float | None = None,
    loss: float | None = None,
    original_accuracy: float | None = None,
) -> None:
    """Stores a run's end: its status; accuracy and loss of the written model, and the original's accuracy, on held-out
    data."""
    figures = {"accuracy": accuracy, "loss": loss, "original_accuracy": original_accuracy}
    values = {name: _number(figure) for name, figure in figures.items()}
    with writing(engine).begin() as connection:
        connection.execute(update(run).where(run.c.id == run_id).values(status=status, **values))


@contextmanager
def recorded_end(engine: Engine, run_id: int) -> Iterator[None]:
    """Records that a run was interrupted (Ctrl-C) or failed (anything else that is raised inside).

    What was raised is told even where the record can't be written, as on a full disk.
    """
    try:
        yield
    except BaseException as error:
        with suppress(UserError, SQLAlchemyError):
            finish_run(engine, run_id, INTERRUPTED if isinstance(error, KeyboardInterrupt) else FAILED)
        raise


def runs(engine: Engine) -> list[RunRow]:
    """All runs, in the order in which they were started; one whose process is gone is interrupted."""
    names = ("id", "status", "started", "seed", "settings", "accuracy", "loss", "original_accuracy", "process")
    columns = [run.c[name] for name in names]
    tried = select(func.count()).where(trial.c.run == run.c.id, trial.c.status != ORIGINAL).scalar_subquery()
    query = select(network.c.name.label("network"), *columns, tried.label("trials")).join_from(run, network)
    with engine.connect() as connection:
        found = _rows(connection, query.order_by(run.c.id))
    for row in found:
        row["status"] = _status(row["status"], row.pop("process"))
        row["settings"] = json.loads(row["settings"])
    return [RunRow(**row) for row in found]


def trials(engine: Engine, run_id: int) -> list[TrialRecord]:
    """A run's trials in order, as recorded. Raises UserError for an unknown run."""
    with engine.connect() as connection:
        settings = connection.execute(select(run.c.settings).where(run.c.id == run_id)).scalar()
        if settings is None:
            raise _no_run(connection, run_id)
        made_by = json.loads(settings).get(MADE_BY, {})
        unknown = uncounted_layers().join(run, run.c.network == layer.c.network).where(run.c.id == run_id)
        is_whole = not connection.execute(unknown).scalar()
        found = _rows(connection, select(trial).where(trial.c.run == run_id).order_by(trial.c.number))
        columns = [column for column in trial_layer.columns if column.name not in ("trial", "layer")]
        query = select(layer.c.name.label("layer"), *columns).join_from(trial_layer, layer).order_by(layer.c.position)
        return [
            TrialRecord(
                **{name: value for name, value in row.items() if name not in COUNTS},
                cost=replace(_cost(row), is_whole=is_whole, latency=_latency(made_by, row["number"])),
                layers=tuple(map(layer_record, _rows(connection, query.where(trial_layer.c.trial == row["id"])))),
                made_by=made_by.get(str(row["number"]), {}),
            )
            for row in found
        ]


def note_made_by(engine: Engine, run_id: int, record: TrialRecord) -> None:
    """Stores a trial's ``made_by`` anew."""
    with writing(engine).begin() as connection:
        _note_made_by(connection, run_id, record)


def _latency(made_by: Mapping[str, Any], number: int) -> int | None:
    """The predicted latency of a trial, in picoseconds; None where none is on record."""
    found: int | None = made_by.get(str(number), {}).get(LATENCY.name, {}).get(PREDICTED)
    return found


def _note_made_by(connection: Connection, run_id: int, record: TrialRecord) -> None:
    """Adds ``made_by`` to the run's settings, by the trial's number."""
    settings = json.loads(connection.execute(select(run.c.settings).where(run.c.id == run_id)).scalar_one())
    settings.setdefault(MADE_BY, {})[str(record.number)] = dict(record.made_by)
    values = {"settings": json.dumps(settings, sort_keys=True)}
    connection.execute(update(run).where(run.c.id == run_id).values(**values))


def _this_process() -> str:
    return json.dumps(this_process().as_dict())


def _status(status: str, process: str | None) -> str:
    """A run's status as recorded, unless it is running and its process (unknown in old records) is gone."""
    if status == RUNNING and process is not None and Process(**json.loads(process)).is_gone:
        return INTERRUPTED
    return status


def _no_run(connection: Connection, run_id: int) -> UserError:
    known = [str(key) for key in connection.execute(select(run.c.id).order_by(run.c.id)).scalars()]
    return UserError(f"there is no run {run_id}; the database has runs: {', '.join(known) or 'none'}")


def layer_record(row: Mapping[str, Any]) -> LayerRecord:
    """The layer in a row of the table ``trial_layer`` with its name. Raises ValueError and TypeError for damaged
    text."""
    configuration = None
    if row["method"] is not None:
        configuration = Configuration(row["method"], tuple(json.loads(row["ranks"] or "[]")), row["shape"])
    return LayerRecord(row["layer"], configuration, _cost(row), row["similarity"], row["error"])


def _cost(row: Mapping[str, Any]) -> Cost:
    return Cost(*(row[name] for name in COUNTS))


def _counts(cost: Cost) -> dict[str, int]:
    return {name: int(getattr(cost, name)) for name in COUNTS}


def _layer_row(trial_id: int, layer_id: int, one: LayerRecord) -> dict[str, Any]:
    configuration = one.configuration
    return {
        "trial": trial_id,
        "layer": layer_id,
        "method": None if configuration is None else configuration.method,
        "ranks": None if configuration is None else json.dumps([int(rank) for rank in configuration.ranks]),
        "shape": None if configuration is None else configuration.shape,
        "similarity": _number(one.similarity),
        "error": _number(one.error),
        **_counts(one.cost),
    }


def _number(figure: float | None) -> float | None:
    """A Python number; databases would store NumPy's as a blob."""
    return None if figure is None else float(figure)


def _rows(connection: Connection, query: Select[Any]) -> list[dict[str, Any]]:
    return [dict(row) for row in connection.execute(query).mappings()]
