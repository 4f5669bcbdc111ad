"""What the models of a run take on a device, as it is predicted, measured, recorded and told."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from rankline.src.db.records.runs import DEVICE, DEVICE_DIGEST, DEVICE_NAME, PREDICTED
from rankline.src.dse.devices.device import Device
from rankline.src.dse.devices.network import network_latency, whole_latency
from rankline.src.dse.devices.operations import Operation
from rankline.src.dse.keras_model.graph import trace
from rankline.src.dse.keras_model.reader import describe
from rankline.src.dse.keras_model.rest import rest_of
from rankline.src.dse.layer import Layer
from rankline.src.dse.metric import LATENCY
from rankline.src.dse.plan import Plan

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class Round:
    """One plan of a budget, in picoseconds: what its prediction was limited to, that prediction, what was measured, and
    what the budget allows beside the original as measured."""

    limit: int
    predicted: int
    measured: int
    allowed: int


@dataclass(frozen=True)
class PlanLatency:
    """What a smaller model takes on a device, in picoseconds; measured values are None where it wasn't timed.

    - ``original``, ``plan``: predicted
    - ``measured_original``, ``measured_plan``: of calls in turn
    - ``rounds``: the plans of a budget of latency that were measured; the one that was taken is the last
    - ``untimed``: layers that the device has no numbers for, before or after: they are in neither prediction
    """

    device: str
    original: int
    plan: int
    measured_original: int | None = None
    measured_plan: int | None = None
    rounds: tuple[Round, ...] = ()
    untimed: tuple[str, ...] = ()

    @property
    def speedup(self) -> float:
        """How many times faster than the original: measured, where that is known."""
        if self.measured_original and self.measured_plan:
            return self.measured_original / self.measured_plan
        return self.original / max(1, self.plan)

    @property
    def told(self) -> str:
        """In a sentence, without the full stop."""
        text = LATENCY.text
        if self.measured_original and self.measured_plan:
            times = f"{text(self.measured_plan)} measured ({text(self.plan)} predicted), the original takes "
            times += text(self.measured_original)
        else:
            times = f"{text(self.plan)} predicted, for the original {text(self.original)}"
        return f"Latency on {self.device}: {times}: {faster(self.speedup)}"

    @property
    def excess(self) -> float:
        """How far the plan that was taken is above its budget, as a share of it; 0 if it isn't, or wasn't measured."""
        return max(0.0, self.rounds[-1].measured / self.rounds[-1].allowed - 1) if self.rounds else 0.0

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON, which ``from_record`` reads; times in picoseconds."""
        return {
            "device": self.device,
            "predicted_original_ps": self.original,
            PREDICTED: self.plan,
            "measured_original_ps": self.measured_original,
            "measured_ps": self.measured_plan,
            "speedup": self.speedup,
            "excess": self.excess,
            "rounds": [
                {
                    "limit_ps": one.limit,
                    "predicted_ps": one.predicted,
                    "measured_ps": one.measured,
                    "allowed_ps": one.allowed,
                }
                for one in self.rounds
            ],
            "untimed": list(self.untimed),
        }

    @classmethod
    def from_record(cls, made_by: Mapping[str, Any]) -> PlanLatency | None:
        """That of a recorded trial, without its rounds; None if there is none."""
        found = made_by.get(LATENCY.name)
        if not isinstance(found, Mapping):
            return None
        return cls(
            found["device"], found["predicted_original_ps"], found[PREDICTED], found["measured_original_ps"],
            found["measured_ps"], untimed=tuple(found["untimed"]),
        )  # fmt: skip


@dataclass(frozen=True)
class TimedNetwork:
    """What a latency is predicted from: the layers, what the network does beside them, and the number of weights."""

    layers: tuple[Layer, ...]
    rest: tuple[Operation, ...]
    params: int

    @classmethod
    def of(cls, model: keras.Model) -> TimedNetwork:
        """That of a model."""
        shape = describe(model)
        return cls(shape.layers, tuple(rest_of(trace(model))), shape.params)


class OnDevice:
    """Predicts what the models of a run take on its device, beside the original."""

    def __init__(self, original: TimedNetwork, device: Device) -> None:
        self.device = device
        self.original = original

    def of_plan(self, plan: Plan, params: int) -> PlanLatency:
        """The original factorized by a plan, which has so many weights in all."""
        return self._compared(replace(self.original, params=params), plan)

    def of_model(self, model: keras.Model) -> PlanLatency:
        """A model that no plan describes, such as a pruned one, from its own layers of the same names."""
        return self._compared(TimedNetwork.of(model), {})

    def _compared(self, after: TimedNetwork, plan: Plan) -> PlanLatency:
        numbers, before = self.device.model, self.original
        _, untimed = network_latency(numbers, before.layers)
        _, also = network_latency(numbers, after.layers, plan=plan)
        left_out = tuple(dict.fromkeys([*untimed, *also]))

        def latency(one: TimedNetwork, chosen: Plan) -> int:
            layers = [layer for layer in one.layers if layer.name not in left_out]
            return whole_latency(numbers, layers, one.rest, one.params, chosen)[0]

        return PlanLatency(self.device.name, latency(before, {}), latency(after, plan), untimed=left_out)


def faster(speedup: float) -> str:
    """A speedup in words."""
    return f"{speedup:.2f} times faster" if speedup >= 1 else f"{1 / speedup:.2f} times slower"


def digest_of(device: Device) -> str:
    """A hash of how a device runs and of its numbers: another one predicts other latencies."""
    facts = {name: value for name, value in device.as_dict().items() if name not in ("name", "measured", "fit")}
    text = json.dumps([facts, device.model.cold], sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def device_facts(device: Device | None) -> dict[str, str]:
    """A run's device as recorded in its settings; nothing without one."""
    if device is None:
        return {}
    return {DEVICE: device.title, DEVICE_NAME: device.name, DEVICE_DIGEST: digest_of(device)}
