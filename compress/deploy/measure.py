"""A device made by measuring: chains of all kinds, timed side by side, and the numbers fitted to them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from rankline.src.compress.deploy.chain_models import chain_model
from rankline.src.compress.deploy.chains import FULL, QUICK, Chain, chains
from rankline.src.compress.deploy.cold import cold_weights
from rankline.src.compress.deploy.ends import STACKS, Stack, cost_at_ends, elements_at_ends, stack_model
from rankline.src.compress.deploy.runtime import AS_USUAL, Calls, Content, Runtime
from rankline.src.compress.deploy.timing import timed, typical_spread
from rankline.src.dse.devices.device import Device, Measured
from rankline.src.dse.devices.fitting import fitted
from rankline.src.dse.errors import UserError
from rankline.src.dse.precision import precision_named
from rankline.src.dse.progress import Progress, no_progress

TOGETHER = 40
"""Chains that are converted at once: converters take more than twice as long for twice as many operations."""

SECONDS, QUICK_SECONDS = 30.0, 12.0
"""The longest that chains are timed."""

LARGEST_SPREAD = 0.08
"""A machine on which the minima of both halves are farther apart is too busy to be measured."""


@dataclass(frozen=True)
class Measurements:
    """Chains and their times; ``left_out``: the forms that the runtime can't convert or run; ``spread``: what nine
    chains in ten don't pass (see ``Timing``)."""

    measured: tuple[Measured, ...]
    spread: float
    left_out: tuple[str, ...]


def add_device(
    name: str,
    runtime: Runtime,
    calls: Calls = AS_USUAL,
    quick: bool = False,
    force: bool = False,
    seed: int = 0,
    progress: Progress = no_progress,
) -> tuple[Device, Measurements]:
    """A device measured here and now: the runtime on this machine.

    Raises UserError where the runtime is missing or can't run so, and, without ``force``, on a machine that is too
    busy for times that mean something.
    """
    found = measure_operations(runtime, calls, quick, seed, progress)
    if found.spread > LARGEST_SPREAD and not force:
        raise UserError(
            f"this machine is too busy: the same operations differ by {found.spread:.0%} between the two halves of the "
            "measurement; end other work and run it again, or take them as they are with --force"
        )
    cold = cold_weights(runtime, calls, progress)
    facts = {"version": runtime.version(), "machine": runtime.machine(), "measured_at": now()}
    return device_from_times(name, runtime, calls, found.measured, facts, cold), found


def measure_operations(
    runtime: Runtime,
    calls: Calls = AS_USUAL,
    quick: bool = False,
    seed: int = 0,
    progress: Progress = no_progress,
) -> Measurements:
    """The times of chains of all kinds, in picoseconds for a call with the batch. Raises UserError as ``export``."""
    check_counts(calls.threads, calls.batch)
    runtime.check(calls.precision)
    runtime.check_threads(calls.threads)
    all_chains = chains(QUICK if quick else FULL, runtime.pads, seed)
    contents, left_out = converted(runtime, all_chains, calls, progress)
    refused = dict.fromkeys(left_out)
    functions: dict[Chain | Stack, Callable[[], object]] = {}
    for chain, content in zip(all_chains, contents, strict=True):
        try:
            if content is not None:
                functions[chain] = runtime.load(content, calls.threads).call
        except UserError:  # it can write the chain, but not run it
            refused[chain.form] = None
    if runtime.pads:
        functions.update(_stacks(runtime, calls))
    times = timed(functions, QUICK_SECONDS if quick else SECONDS, progress)
    at_ends = cost_at_ends({one: times[one].minimum for one in STACKS}) if runtime.pads else 0.0
    measured = tuple(
        one.timed(_within(one, time.minimum, at_ends)) for one, time in times.items() if isinstance(one, Chain)
    )
    return Measurements(measured, typical_spread([one.spread for one in times.values()]), tuple(refused))


def converted(
    runtime: Runtime,
    all_chains: Sequence[Chain],
    calls: Calls = AS_USUAL,
    progress: Progress = no_progress,
) -> tuple[list[Content | None], tuple[str, ...]]:
    """What the runtime loads for each chain, or None, and the forms that it can't convert.

    Raises UserError where it can convert none.
    """
    found: list[Content | None] = []
    left_out: dict[str, UserError] = {}
    for group in _groups(all_chains):
        progress("chains converted", len(found), len(all_chains))
        found += _converted(runtime, group, calls, left_out)
    progress("chains converted", len(found), len(all_chains))
    if not any(map(_is_there, found)):
        raise next(iter(left_out.values()))
    return found, tuple(left_out)


def device_from_times(
    name: str,
    runtime: Runtime,
    calls: Calls,
    measured: Sequence[Measured],
    facts: dict[str, str],
    cold: tuple[tuple[int, float], ...] = (),
) -> Device:
    """A device with numbers fitted to measurements. facts: ``version``, ``machine`` and ``measured_at``; cold: see
    ``cold.cold_weights``."""
    model, fit = fitted(name, measured, runtime.pads)
    return Device(
        name=name,
        runtime=runtime.name,
        threads=calls.threads,
        batch=calls.batch,
        precision=calls.precision,
        model=replace(model, cold=cold, bytes_per_weight=precision_named(calls.precision).bytes_per_weight),
        fit=fit,
        measured=tuple(measured),
        **facts,
    )


def check_counts(threads: int, batch: int) -> None:
    """Raises UserError for numbers of threads or samples below 1."""
    for what, value in (("threads", threads), ("batch", batch)):
        if value < 1:
            raise UserError(f"{what} must be a whole number of at least 1; got {value}")


def now() -> str:
    """The date and time in ISO 8601, in UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _groups(all_chains: Sequence[Chain]) -> Iterator[list[Chain]]:
    for start in range(0, len(all_chains), TOGETHER):
        yield list(all_chains[start : start + TOGETHER])


def _converted(
    runtime: Runtime, group: Sequence[Chain], calls: Calls, left_out: dict[str, UserError]
) -> list[Content | None]:
    """The group converted at once; if that fails, form by form, without those that fail."""
    wanted = [chain for chain in group if chain.form not in left_out]
    if not wanted:
        return [None] * len(group)
    try:
        parts = iter(runtime.parts([chain_model(chain, calls.batch) for chain in wanted], calls.batch, calls.precision))
    except UserError as error:
        forms = dict.fromkeys(chain.form for chain in wanted)
        if len(forms) == 1:
            left_out[wanted[0].form] = error
            return [None] * len(group)
        by_form = {
            form: iter(_converted(runtime, [chain for chain in wanted if chain.form == form], calls, left_out))
            for form in forms
        }
        return [None if chain.form not in by_form else next(by_form[chain.form]) for chain in group]
    return [None if chain.form in left_out else next(parts) for chain in group]


def _stacks(runtime: Runtime, calls: Calls) -> dict[Chain | Stack, Callable[[], object]]:
    """The calls of the stacks that the cost at a chain's ends is measured on."""
    parts = runtime.parts([stack_model(one, calls.batch) for one in STACKS], calls.batch, calls.precision)
    return {one: runtime.load(part, calls.threads).call for one, part in zip(STACKS, parts, strict=True)}


def _within(chain: Chain, picoseconds: int, at_ends: float) -> int:
    """A chain's time within a network; half of the time alone at least, which noise may push it below."""
    return max(picoseconds // 2, round(picoseconds - at_ends * elements_at_ends(chain)), 1)


def _is_there(content: Content | None) -> bool:
    return content is not None
