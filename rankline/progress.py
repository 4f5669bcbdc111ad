"""Progress for people, on standard error: configurations explored, epochs trained, trials made."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from reports.numbers import percent, si

if TYPE_CHECKING:
    import keras

    from compress.settings import Settings
    from db.explore import Progress as Report
    from db.runs import TrialRecord


@contextmanager
def bar(unit: str, label: str = "") -> Iterator[Report]:
    """A bar of how much is done; yields the function that moves it: (label, done, total). ``label``: the first one."""
    columns = TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[count]}"), TimeRemainingColumn()
    with Progress(*columns, console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task(label, total=None, count="")
        started = perf_counter()

        def report(label: str, done: int, total: int) -> None:
            count = f"{si(done)} of {si(total)} {unit}, {si(done / (perf_counter() - started))} a second"
            progress.update(task, description=label, completed=done, total=total, count=count)

        yield report


class TrialProgress:
    """A bar over the epochs of each trial, and a line for each finished trial."""

    def __init__(self, epochs: int, label: str = "trial") -> None:
        self.epochs = epochs
        self.label = label
        self.trials = 0
        columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
        self.progress = Progress(
            *columns, console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()
        )

    def __enter__(self) -> TrialProgress:
        self.progress.start()
        self.task = self.progress.add_task(self._description(), total=self.epochs)
        return self

    def __exit__(self, *_: object) -> None:
        self.progress.stop()

    def trial(self, record: TrialRecord) -> None:
        """One line about a finished trial."""
        self.trials = record.number + 1
        what = "original" if record.number == 0 else f"trial {record.number}"
        made_by = ", ".join(f"{name} {value}" for name, value in record.made_by.items())
        self.progress.console.print(
            f"{what:>9}  accuracy {percent(record.accuracy):>7}  params {si(record.cost.params):>6}  "
            f"FLOPs {si(record.cost.flops):>6}  {record.seconds:5.1f} s  {made_by}".rstrip(),
            highlight=False,
            soft_wrap=True,
        )
        self.progress.reset(self.task, description=self._description(), total=self.epochs)

    def part(self, settings: Settings, number: int, count: int) -> None:
        """One line about a search of a hybrid, before its trials."""
        pair = f"{settings.conv_method} + {settings.dense_method}"
        self.progress.console.print(f"search {number} of {count}: {pair}", highlight=False)

    def callbacks(self) -> list[keras.callbacks.Callback]:
        """Keras callbacks that move the bar by one an epoch."""
        import keras

        def on_epoch_end(epoch: int, logs: Any) -> None:
            self.progress.update(self.task, completed=epoch + 1)

        return [keras.callbacks.LambdaCallback(on_epoch_end=on_epoch_end)]

    def _description(self) -> str:
        return f"{self.label} {self.trials}: epoch" if self.trials else f"{self.label}: epoch"
