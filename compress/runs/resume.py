"""Stopped runs that can be resumed, and how they were requested."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rankline.src.compress.model.destination import check_target
from rankline.src.compress.runs.changes import with_changes
from rankline.src.compress.runs.settings import Settings
from rankline.src.db.records.runs import DEVICE, DEVICE_DIGEST, DEVICE_NAME, SUCCESS, close_dead, run_settings
from rankline.src.dse.errors import UserError
from rankline.src.dse.keras_model.source import check_model
from rankline.src.dse.metric import metric

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from rankline.src.dse.devices.device import Device


@dataclass(frozen=True)
class Stopped:
    """A run that can be resumed.

    - ``recorded``: its whole record
    - ``request``: the names that it was requested with
    - ``device``: the one on record in the database by whose latencies its trials are chosen or told
    """

    run: int
    network: str
    recorded: Mapping[str, Any]
    request: Mapping[str, Any]
    settings: Settings
    device: Device | None = None

    @property
    def model(self) -> str:
        """The MODEL text of the request. Raises UserError if there was none."""
        if (model := self.request.get("model")) is None:
            raise UserError(f"run {self.run} was made with a model from Python; give it again")
        return str(model)

    @property
    def data(self) -> str:
        """The name of its data. Raises UserError if it had none."""
        if self.recorded["data"] == "arrays" or "rescale" not in self.recorded["preparation"]:
            raise UserError(f"run {self.run} was made with arrays; give the same data again")
        return str(self.request.get("data", self.recorded["data"]))

    def check(self) -> None:
        """Raises UserError if its model, data or file can't be opened by the recorded names."""
        from rankline.src.compress.data.sources import check_data  # NumPy, which an unknown run needn't wait for

        check_model(self.model)
        check_data(self.data)
        if out := self.request.get("out"):
            check_target(Path(out))


def stopped(engine: Engine, run: int, limits: Mapping[str, Any]) -> Stopped:
    """The run to resume, with new limits if any are given.

    Raises UserError for an unknown run, and for one that can't be resumed, also because the device whose latencies
    it lowers has other numbers now.
    """
    close_dead(engine)
    network, recorded, status = run_settings(engine, run)
    request = recorded.get("request") or {}
    if status == SUCCESS:
        raise UserError(f"run {run} has succeeded; there is nothing to resume")
    if request.get("strategy") != "similarity":
        raise UserError(
            f"run {run} is not a single search and can't be resumed; start it again (a hybrid reuses recorded searches)"
        )
    given = {limit: value for limit, value in limits.items() if value is not None}
    (settings,) = with_changes(given, Settings.from_record(recorded))
    return Stopped(run, network, recorded, request, settings, _device(engine, run, recorded, settings))


def _device(engine: Engine, run: int, recorded: Mapping[str, Any], settings: Settings) -> Device | None:
    """The device of a run. One that is gone or has other numbers now is left out where it only tells latencies."""
    if (name := recorded.get(DEVICE_NAME)) is None:
        return None
    from rankline.src.compress.runs.latency import digest_of  # NumPy, as in ``Stopped.check``
    from rankline.src.db.records.devices import device_named, devices

    decides = metric(settings.objective).needs_device
    if not decides and name not in [one.name for one in devices(engine)]:
        return None
    device = device_named(engine, name)
    if digest_of(device) == recorded[DEVICE_DIGEST]:
        return device
    if decides:
        raise UserError(
            f"run {run} lowers the latency on {recorded[DEVICE]}, and the device of that name has other numbers now; "
            "start the run again"
        )
    return None
