"""Plans under a budget of latency: measured where the device is this machine, and made again if they are too slow."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from rankline.src.compress.budget.allocate import Allocation
from rankline.src.compress.budget.calibrated_model import CalibratedModel, Keep
from rankline.src.compress.deploy.latency import is_here, latencies
from rankline.src.compress.runs.latency import OnDevice, PlanLatency, Round, TimedNetwork
from rankline.src.dse.devices.device import Device
from rankline.src.dse.errors import UserError
from rankline.src.dse.keras_model.rest import rest_of
from rankline.src.dse.metric import LATENCY

ROUNDS = 3
"""The most plans of one budget that are measured."""

TOLERANCE = 0.03
"""How far above a budget a measured latency may be."""

UNUSED = 0.05
"""How far below a budget a measured latency may be before a plan that does less damage is looked for."""

MARGIN = 0.01
"""How far below the budget the next plan aims, as a share of it."""


def predicted(engine: CalibratedModel, allocation: Allocation, device: Device) -> PlanLatency:
    """What a device's numbers say of a plan and of the original."""
    network = TimedNetwork(engine.all_layers, tuple(rest_of(engine.forward.calls)), engine.total.params)
    return OnDevice(network, device).of_plan(allocation.plan, allocation.cost.params)


def kept_within(
    engine: CalibratedModel,
    allocation: Allocation,
    keep: Mapping[str, Keep],
    device: Device,
    solver: str,
    limits: Mapping[str, int] | None = None,
    is_allowed: Callable[[Allocation], bool] = lambda allocation: True,
) -> tuple[Allocation, PlanLatency]:
    """The plan of a budget of latency and what it takes; on a device of this machine, measured.

    A plan that takes more than the budget by more than TOLERANCE, or less by more than UNUSED, is made again with a
    budget that is corrected by what was measured, at most ROUNDS times in all. Of those that keep the budget the one
    with the least damage is taken; the last one, if none does. Its layers aren't fitted yet: times don't depend on
    weights. limits: of all budgets, where they aren't those that are given; is_allowed: what else a plan must keep.
    """
    told = predicted(engine, allocation, device)
    if not is_here(device):
        return allocation, told
    tried: list[tuple[Allocation, PlanLatency, Round]] = []
    limits = dict(limits or engine.limits(keep))
    asked = limits[LATENCY.name]
    while True:
        times = latencies({"original": engine.model, "plan": engine.made(allocation.plan)}, device, engine.progress)
        original, plan = times["original"].minimum, times["plan"].minimum
        # A share is one of the original as it is measured beside the plan.
        allowed = asked * original // told.original if keep[LATENCY.name] <= 1 else asked
        found = replace(told, measured_original=original, measured_plan=plan)
        tried.append((allocation, found, Round(limits[LATENCY.name], told.plan, plan, allowed)))
        is_unused = plan < (1 - UNUSED) * allowed
        if len(tried) == ROUNDS or (plan <= (1 + TOLERANCE) * allowed and not is_unused):
            break
        limits = {**limits, LATENCY.name: int(told.plan * (1 - MARGIN) * allowed / plan)}
        try:
            new = engine.within(limits, solver)
        except UserError:  # the smallest budget that is possible was passed: the last plan is as near as it gets
            break
        if new.plan == allocation.plan or not is_allowed(new):
            break
        allocation = new
        told = predicted(engine, allocation, device)
    within = [one for one in tried if one[2].measured <= (1 + TOLERANCE) * one[2].allowed]
    taken, found, last = min(within, key=lambda one: one[0].damage) if within else tried[-1]
    rounds = [one for _, _, one in tried if one is not last]
    return taken, replace(found, rounds=(*rounds, last))
