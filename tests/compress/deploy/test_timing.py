"""The harness, on clocks and calls that are told what to do."""

from __future__ import annotations

import gc
from collections.abc import Callable
from itertools import cycle

import pytest

from rankline.src.compress.deploy.timing import FEWEST_ROUNDS, MOST_ROUNDS, machine, spread_of, timed, typical_spread


class Clock:
    """Nanoseconds that pass only in calls."""

    def __init__(self) -> None:
        self.now = 0

    def __call__(self) -> int:
        return self.now

    def takes(self, *nanoseconds: int) -> Callable[[], None]:
        """A call that takes these times in turn: the first is that of the call that brings its data near."""
        times = cycle(nanoseconds)

        def call() -> None:
            self.now += next(times)

        return call


def test_times_are_picoseconds_of_the_second_of_two_calls() -> None:
    clock = Clock()
    found = timed({"a": clock.takes(900, 500), "b": clock.takes(70, 30)}, clock=clock)
    assert (found["a"].minimum, found["a"].median, found["a"].spread) == (500_000, 500_000, 0)
    assert (found["b"].minimum, found["b"].calls) == (30_000, FEWEST_ROUNDS)


def test_functions_are_called_in_turn() -> None:
    called: list[str] = []
    timed({"a": lambda: called.append("a"), "b": lambda: called.append("b")}, seconds=0, clock=Clock())
    assert called == ["a", "a", "b", "b"] * FEWEST_ROUNDS


def test_the_minimum_forgets_what_other_work_took() -> None:
    clock = Clock()
    busy = [1, 100] * 3 + [1, 500] * 2
    found = timed({"a": clock.takes(*busy)}, clock=clock)["a"]
    assert (found.minimum, found.median) == (100_000, 100_000)


def test_unsteady_times_go_on_until_the_time_is_over() -> None:
    clock = Clock()
    getting_faster = [time for time in range(1000, 0, -10) for _ in range(2)]
    found = timed({"a": clock.takes(*getting_faster)}, seconds=60e-6, clock=clock)["a"]
    assert FEWEST_ROUNDS < found.calls < MOST_ROUNDS
    assert clock.now == pytest.approx(60_000, rel=0.1)
    assert found.spread > 0


def test_a_time_of_zero_is_one_tick() -> None:
    assert timed({"a": lambda: None}, clock=Clock())["a"].minimum == 1000


def test_the_spread_is_that_of_the_halves_minima() -> None:
    assert spread_of([10, 12, 30, 11, 99]) == pytest.approx(0.1)
    assert spread_of([10]) == 0
    assert typical_spread([0.0] * 9 + [5.0]) == 0.0
    assert typical_spread([0.0] * 8 + [5.0] * 2) == 5.0


def test_garbage_is_not_collected_meanwhile_but_afterwards() -> None:
    seen: list[bool] = []
    timed({"a": lambda: seen.append(gc.isenabled())}, seconds=0, clock=Clock())
    assert not any(seen)
    assert gc.isenabled()


def test_garbage_is_collected_after_a_call_that_fails() -> None:
    def fails() -> None:
        raise RuntimeError

    with pytest.raises(RuntimeError):
        timed({"a": fails}, clock=Clock())
    assert gc.isenabled()


def test_the_machine_has_a_processor_and_a_system() -> None:
    processor, _, system = machine().rpartition(", ")
    assert processor
    assert system
