"""Plans under a budget of latency: measured where the device is this machine, and made again if they are too slow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rankline.src.compress.budget.allocate import Allocation
from rankline.src.compress.budget.calibrated_model import CalibratedModel, Keep
from rankline.src.compress.deploy.latency import is_here, latencies
from rankline.src.dse.devices.device import Device
from rankline.src.dse.devices.network import whole_latency
from rankline.src.dse.keras_model.rest import rest_of
from rankline.src.dse.metric import LATENCY

ROUNDS = 3
"""The most plans of one budget that are measured."""

TOLERANCE = 0.03
"""How far above a budget a measured latency may be."""

MARGIN = 0.01
"""How far below the budget the next plan aims, as a share of it."""


@dataclass(frozen=True)
class Round:
    """One plan: the latency that it was allowed, what was predicted, and what was measured, in picoseconds."""

    limit: int
    predicted: int
    measured: int


@dataclass(frozen=True)
class PlanLatency:
    """What a plan takes on a device, in picoseconds; measured values are None where the device isn't this machine.

    - ``original``, ``plan``: predicted
    - ``measured_original``, ``measured_plan``: the medians of both are of calls in turn
    - ``rounds``: the plans of a budget of latency that were measured, the last one of which was taken
    - ``untimed``: layers that the device has no numbers for, which are in no prediction
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
        return self.original / self.plan

    @property
    def told(self) -> str:
        """In a sentence, without the full stop."""
        text = LATENCY.text
        if self.measured_original and self.measured_plan:
            times = f"{text(self.measured_plan)} measured ({text(self.plan)} predicted), the original takes "
            times += text(self.measured_original)
        else:
            times = f"{text(self.plan)} predicted, for the original {text(self.original)}"
        factor = self.speedup
        faster = f"{factor:.2f} times faster" if factor >= 1 else f"{1 / factor:.2f} times slower"
        return f"Latency on {self.device}: {times}: {faster}"

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON; times in picoseconds."""
        return {
            "device": self.device,
            "predicted_original_ps": self.original,
            "predicted_ps": self.plan,
            "measured_original_ps": self.measured_original,
            "measured_ps": self.measured_plan,
            "speedup": self.speedup,
            "rounds": [
                {"limit_ps": one.limit, "predicted_ps": one.predicted, "measured_ps": one.measured}
                for one in self.rounds
            ],
            "untimed": list(self.untimed),
        }


def predicted(engine: CalibratedModel, allocation: Allocation, device: Device) -> PlanLatency:
    """What a device's numbers say of a plan and of the original."""
    layers, rest = engine.all_layers, list(rest_of(engine.forward.calls))
    original, left_out = whole_latency(device.model, layers, rest, engine.total.params)
    plan, _ = whole_latency(device.model, layers, rest, allocation.cost.params, allocation.plan)
    return PlanLatency(device.name, original, plan, untimed=tuple(left_out))


def kept_within(
    engine: CalibratedModel, allocation: Allocation, keep: Mapping[str, Keep], device: Device, solver: str
) -> tuple[Allocation, PlanLatency]:
    """The plan of a budget of latency and what it takes; on a device of this machine, measured.

    A plan that takes more than the budget by more than TOLERANCE is made again with a budget that is smaller by what
    the numbers were too kind, at most ROUNDS times. Its layers aren't fitted yet: times don't depend on weights.
    """
    told = predicted(engine, allocation, device)
    if not is_here(device):
        return allocation, told
    rounds: list[Round] = []
    limits = engine.limits(keep)
    asked = limits[LATENCY.name]
    while True:
        times = latencies({"original": engine.model, "plan": engine.made(allocation.plan)}, device, engine.progress)
        original, plan = times["original"].minimum, times["plan"].minimum
        # A share is one of the original as it is measured beside the plan.
        allowed = asked * original // told.original if keep[LATENCY.name] <= 1 else asked
        rounds.append(Round(limits[LATENCY.name], told.plan, plan))
        if plan <= (1 + TOLERANCE) * allowed or len(rounds) == ROUNDS:
            break
        limits = {**limits, LATENCY.name: int(told.plan * (1 - MARGIN) * allowed / plan)}
        allocation = engine.within(limits, solver)
        told = predicted(engine, allocation, device)
    return allocation, PlanLatency(device.name, told.original, told.plan, original, plan, tuple(rounds), told.untimed)
