"""Timing calls side by side, and the machine that they run on. Standard library only: a bundle's runner has a copy."""

from __future__ import annotations

import gc
import platform
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from statistics import median
from time import perf_counter_ns
from typing import TypeVar

Name = TypeVar("Name", bound=Hashable)

FEWEST_ROUNDS = 12
MOST_ROUNDS = 400
LOOK_EVERY = 4
"""Rounds between two looks at whether the times are steady."""

STEADY = 0.01
"""The spread of nine calls in ten at which the rounds end."""


@dataclass(frozen=True)
class Timing:
    """What calls of one function took.

    - ``minimum``, ``median``: picoseconds; the minimum is steady beside other work
    - ``spread``: how far the minima of the first and the second half of the rounds are apart, relative to the smaller
    - ``calls``: how many were timed
    """

    minimum: int
    median: int
    spread: float
    calls: int


def timed(
    calls: Mapping[Name, Callable[[], object]],
    seconds: float = 20.0,
    progress: Callable[[str, int, int], None] | None = None,
    clock: Callable[[], int] = perf_counter_ns,
    between: Callable[[], object] | None = None,
) -> dict[Name, Timing]:
    """Times functions in turn, in rounds: each is called once unseen, which brings its data near, and once timed.

    The rounds end when the times are steady or ``seconds`` have passed, but not before FEWEST_ROUNDS. Garbage
    collection waits. clock: nanoseconds; between: called between the two.
    """
    found: dict[Name, list[int]] = {name: [] for name in calls}
    collects = gc.isenabled()
    gc.disable()
    try:
        began = clock()
        for done in range(1, MOST_ROUNDS + 1):
            for name, call in calls.items():
                call()
                if between is not None:
                    between()
                start = clock()
                call()
                found[name].append(clock() - start)
            if progress is not None:
                progress("timing rounds", done, 0)
            is_late = clock() - began >= seconds * 1e9
            if done >= FEWEST_ROUNDS and (is_late or (done % LOOK_EVERY == 0 and _is_steady(found))):
                break
    finally:
        if collects:
            gc.enable()
    return {
        name: Timing(1000 * max(1, min(times)), round(1000 * median(times)), spread_of(times), len(times))
        for name, times in found.items()
    }


def spread_of(times: list[int]) -> float:
    """How far the minima of both halves are apart, relative to the smaller; 0 for a single time."""
    half = len(times) // 2
    if not half:
        return 0.0
    low, high = sorted((min(times[:half]), min(times[half:])))
    return high / max(low, 1) - 1


def typical_spread(spreads: list[float]) -> float:
    """The spread that nine calls in ten don't pass."""
    return sorted(spreads)[(9 * len(spreads) - 1) // 10] if spreads else 0.0


def machine() -> str:
    """The processor and the system, for people."""
    processor = ""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            names = ("model name", "Hardware", "Model")
            found = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in file)}
            processor = next((found[name] for name in names if found.get(name)), "")
    except OSError:
        processor = platform.processor()
    return f"{processor or platform.machine()}, {platform.system()} {platform.release()}"


def _is_steady(found: Mapping[Name, list[int]]) -> bool:
    return typical_spread([spread_of(times) for times in found.values()]) <= STEADY
