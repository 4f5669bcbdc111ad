"""Progress for people, on standard error: configurations explored, epochs trained, trials made."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import TYPE_CHECKING, Any

from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from rankline.cli.terminal import console
from reports.numbers import percent, si

if TYPE_CHECKING:
    import keras

    from compress.settings import Settings
    from db.explore import Progress as Report
    from db.runs import TrialRecord


@contextmanager
def bar(unit: str, label: str = "") -> Iterator[Report]:
    """A bar of how much is done of each part of the work, how fast, and how long the rest of it takes.

    Yields the function that moves it: (label, done, total); a new total, or less done than before, begins a new part,
    and a total of 0 is not known. label: of the first part. Only on a terminal.
    """
    with _bars(TextColumn("{task.fields[count]}")) as progress:
        task = progress.add_task(label, total=None, count="")
        reached, began, last = (0, 0), perf_counter(), perf_counter()

        def report(label: str, done: int, total: int) -> None:
            nonlocal reached, began, last
            now = perf_counter()
            if total != reached[1] or done < reached[0]:
                # A part is told of when some of it is done: it began when the last was told of.
                began = last
                progress.reset(task, description=label, count="")
                progress.tasks[0].total = total or None  # to ``reset``, None is no change
            if total and done:
                speed = si(done / max(now - began, 1e-9))
                count = " ".join(filter(None, (f"{si(done)} of {si(total)}", unit))) + f", {speed} a second"
                progress.update(task, description=label, completed=done, count=count)
            reached, last = (done, total), now

        yield report


def _bars(count: ProgressColumn) -> Progress:
    """Bars on standard error, which leave nothing behind, and nothing at all where that is no terminal."""
    columns = TextColumn("{task.description}"), BarColumn(), count, TimeElapsedColumn(), _TimeLeft()
    return Progress(*columns, console=console(stderr=True), transient=True, disable=not sys.stderr.isatty())


class _TimeLeft(TimeRemainingColumn):
    """The time left, with a word that says so."""

    def render(self, task: Task) -> Text:
        return Text("") if task.total is None else Text.assemble(super().render(task), " left")


class _Epochs(ProgressColumn):
    """Epochs done, of how many, and how fast."""

    def render(self, task: Task) -> Text:
        speed = f", {si(task.speed)} a second" if task.speed else ""
        return Text(f"{int(task.completed)} of {int(task.total or 0)}{speed}")


class TrialProgress:
    """A bar over the epochs of each trial, with their rate and the time left, and a line for each finished trial."""

    def __init__(self, epochs: int, label: str = "trial") -> None:
        self.epochs = epochs
        self.label = label
        self.trials = 0
        self.progress = _bars(_Epochs())

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
