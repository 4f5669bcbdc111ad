"""Progress on standard error: configurations explored, layers decomposed, epochs trained, trials made."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import TYPE_CHECKING

from rich.progress import (
    BarColumn,
    Progress,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from rankline.cli.output import note
from rankline.cli.present.terminal import console
from rankline.src.dse.metric import FLOPS, LATENCY
from rankline.src.dse.numbers import percent, si
from rankline.src.dse.outgoing import for_terminal

if TYPE_CHECKING:
    from rankline.src.compress.runs.settings import Settings
    from rankline.src.db.records.runs import TrialRecord
    from rankline.src.dse.progress import Progress as Report

SLOWEST = 3600.0
"""The longest a step may take, in seconds, for the time left to be estimated."""


@contextmanager
def bar(unit: str, label: str = "") -> Iterator[Report]:
    """A progress bar with speed and time left, for work in parts; only on a terminal.

    Yields the function that moves it: (label, done, total). A new total, or less done than before, starts a new part;
    a total of 0 is unknown, and then a new label does. label: of the first part.
    """
    count = TextColumn("{task.fields[count]}", markup=False)
    columns = TextColumn("{task.description}", markup=False), BarColumn(), count, TimeElapsedColumn(), _TimeLeft()
    screen = console(stderr=True)
    screen.soft_wrap = True  # for lines that are written while the bar is shown
    hidden = not screen.is_terminal
    with Progress(*columns, console=screen, transient=True, disable=hidden, speed_estimate_period=SLOWEST) as progress:
        task = progress.add_task(for_terminal(label), total=None, count="")
        reached, began, last = (for_terminal(label), 0, 0), perf_counter(), perf_counter()

        def report(label: str, done: int, total: int) -> None:
            nonlocal reached, began, last
            label = for_terminal(label)
            now = perf_counter()
            part, before, whole = reached
            if total != whole or done < before or (not total and label != part):
                # A part that is partly done started at the last report.
                began = last if done else now
                progress.tasks[0].total = total or None  # ``reset``, which draws, takes None for no change
                progress.reset(task, description=label, count="")
            count = ""
            if total and done:
                speed = si(done / max(now - began, 1e-9))
                count = " ".join(filter(None, (f"{si(done)} of {si(total)}", unit))) + f", {speed} a second"
            progress.update(task, description=label, completed=done, count=count)
            reached, last = (label, done, total), now

        yield report


class _TimeLeft(TimeRemainingColumn):
    """The time left, followed by "left"."""

    max_refresh = 0.0  # else the time of the last part would stay for a while

    def render(self, task: Task) -> Text:
        return Text("") if task.total is None else Text.assemble(super().render(task), " left")


def tell_trial(record: TrialRecord) -> None:
    """Writes a line about a finished trial."""
    what = "original" if record.number == 0 else f"trial {record.number}"
    made_by = ", ".join(f"{name} {value}" for name, value in record.made_by.items() if not isinstance(value, dict))
    latency = "" if record.cost.latency is None else f"latency {LATENCY.text(record.cost.latency):>7}  "
    judged = f"accuracy {percent(record.accuracy):>7}"
    if record.accuracy is None and record.metric is not None:
        judged = f"score {record.metric:10.4g}"
    costs = f"params {si(record.cost.params):>6}  {FLOPS.titled('FLOPs', record.cost)} {si(record.cost.flops):>6}"
    note(f"{what:>9}  {judged}  {costs}  {latency}{record.seconds:5.1f} s  {made_by}".rstrip())


def tell_search(settings: Settings, number: int, count: int) -> None:
    """Writes a line about a hybrid's search, before its trials."""
    note(f"search {number} of {count}: {settings.conv_method} + {settings.dense_method}")
