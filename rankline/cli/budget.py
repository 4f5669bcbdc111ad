"""``budget``: the best factorization of a network under a budget, without training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rankline.cli import completion
from rankline.cli.explore import SAMPLES, ModelArgument
from rankline.cli.output import (
    DEFAULT_DATABASE,
    CsvOption,
    DatabaseOption,
    DeviceOption,
    JsonOption,
    MethodsOption,
    NameOption,
    SeedOption,
    note,
    tell_replaced,
    warnings_as_notes,
    words,
    write_json,
)
from rankline.cli.quiet import load_keras
from rankline.cli.scaling import LossOption, MeanOption, RescaleOption, ScoreOption, StdOption, scaling_of
from rankline.cli.windows import device_named
from rankline.src.dse.errors import UserError
from rankline.src.dse.metric import BUDGETS, FLOPS, LATENCY
from rankline.src.dse.numbers import percent, si
from rankline.src.dse.precision import PRECISIONS

if TYPE_CHECKING:
    from rankline.src.compress.budget.calibrated_model import Keep
    from rankline.src.db.records.runs import TrialRecord

MOST_POINTS = 100

KEEP_HELP = "{}: a share above 0 and at most 1, such as 0.5, or a whole number from 2."


def budget(
    model: ModelArgument,
    calibrate: Annotated[
        str,
        typer.Option(
            "--calibrate",
            "--data",
            help="Data as compress takes it, of whose training part samples are drawn, or inputs alone (an .npz or "
            ".npy file, a folder of pictures, a function); labels only tell the accuracy or the score.",
            metavar="DATA",
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(help="The .keras file to write; its plan and a model card lie next to it. Of a sweep the folder."),
    ],
    keep_flops: Annotated[str | None, typer.Option(help=KEEP_HELP.format("FLOPs to keep"))] = None,
    keep_params: Annotated[str | None, typer.Option(help=KEEP_HELP.format("Params to keep"))] = None,
    keep_memory: Annotated[str | None, typer.Option(help=KEEP_HELP.format("Memory (bytes) to keep"))] = None,
    keep_latency: Annotated[
        str | None,
        typer.Option(
            "--keep-latency",
            "--latency",
            help="Latency to keep on the device: a share above 0 and at most 1, or a time, such as 3ms.",
        ),
    ] = None,
    keep_bytes: Annotated[
        str | None,
        typer.Option(
            help="Bytes of the file for the runtime to keep: a share of the original's in f32, such as 0.1, or bytes."
        ),
    ] = None,
    precision: Annotated[
        str | None,
        typer.Option(
            help="Also write the result for a runtime, in f32, f16, int8, int8-dynamic or int8-weights; its rounding "
            "is part of the damage.",
            autocompletion=completion.among(*PRECISIONS),
        ),
    ] = None,
    to: Annotated[
        str | None,
        typer.Option(help="The runtime: litert or onnx.", autocompletion=completion.among("litert", "onnx")),
    ] = None,
    device: DeviceOption = None,
    sweep: Annotated[
        str | None,
        typer.Option(
            help="Shares to keep instead, from:to:step, such as 0.2:0.9:0.1; of the FLOPs, or params=0.2:0.9:0.1.",
            metavar="[METRIC=]FROM:TO:STEP",
        ),
    ] = None,
    samples: Annotated[int, typer.Option(min=1, help="Calibrate on so many training inputs.")] = SAMPLES,
    methods: MethodsOption = None,
    value: Annotated[
        str,
        typer.Option(
            help="What a layer's error is worth: damage (to the logits), energy or uniform.",
            autocompletion=completion.among("damage", "energy", "uniform"),
        ),
    ] = "damage",
    fit: Annotated[
        str,
        typer.Option(
            help="What factors are fitted to: data, whitened or weights.",
            autocompletion=completion.among("data", "whitened", "weights"),
        ),
    ] = "data",
    norms: Annotated[
        bool,
        typer.Option(
            "--norms/--no-norms",
            help="With --fit whitened or weights: give every BatchNorm the mean and variance of what it gets now.",
        ),
    ] = False,
    include: Annotated[
        list[str] | None, typer.Option(help="Only layers of this name or pattern. May be repeated.")
    ] = None,
    exclude: Annotated[
        list[str] | None, typer.Option(help="Not layers of this name or pattern. May be repeated.")
    ] = None,
    solver: Annotated[str, typer.Option(help="exact, or price (faster for thousands of layers).")] = "exact",
    then_fine_tune: Annotated[
        int | None, typer.Option(min=1, metavar="EPOCHS", help="Fine-tune the result, with the labels of DATA.")
    ] = None,
    learning_rate: Annotated[float, typer.Option(help="Adam's learning rate for that.")] = 1e-4,
    batch_size: Annotated[int, typer.Option(help="Samples a training step for that.")] = 32,
    loss: LossOption = None,
    score: ScoreOption = None,
    db: DatabaseOption = DEFAULT_DATABASE,
    name: NameOption = None,
    rescale: RescaleOption = "1",
    mean: MeanOption = "0",
    std: StdOption = "1",
    seed: SeedOption = 0,
    as_json: JsonOption = False,
    as_csv: CsvOption = False,
) -> None:
    """Factorize a trained model within a budget so that least is lost, fitted to data without labels or training.

    Example: [bold]rankline budget lenet5.keras --keep-flops 0.5 --calibrate digits --out small.keras[/bold]
    """
    asked = {"flops": keep_flops, "params": keep_params, "memory": keep_memory, "bytes": keep_bytes}
    keep: dict[str, Any] = {
        f"keep_{metric}": kept(text, f"--keep-{metric}") for metric, text in asked.items() if text is not None
    }
    if keep_latency is not None:
        keep["keep_latency"] = kept_time(keep_latency)
    shares = None if sweep is None else swept(sweep)
    if norms and fit == "data":
        raise UserError("--norms is for --fit whitened or weights; a fit to data sets every BatchNorm; leave it out")
    from rankline.src.compress.budget.limits import budgets_of
    from rankline.src.compress.budget.settings import RUNTIMES, BudgetSettings
    from rankline.src.compress.data.sources import check_data
    from rankline.src.compress.data.takes import saved_takes
    from rankline.src.compress.deploy.formats import SUFFIXES
    from rankline.src.compress.model.destination import check_folder, check_target
    from rankline.src.compress.search.patterns import check_patterns
    from rankline.src.compress.training.settings import FineTuning
    from rankline.src.db.backends.engine import check_database
    from rankline.src.dse.keras_model.source import check_model

    scaling = scaling_of(rescale, mean, std)
    settings = BudgetSettings(
        methods=words(methods, "--methods"),
        value=value,
        fit=fit,
        include=tuple(include or ()),
        exclude=tuple(exclude or ()),
        samples=samples,
        seed=seed,
        solver=solver,
        precision=precision,
        runtime=to,
        fine_tuning=None if then_fine_tune is None else FineTuning(then_fine_tune, learning_rate, batch_size),
    )
    budgets = budgets_of({metric: keep.get(f"keep_{metric}") for metric in BUDGETS}, shares)
    (check_target if shares is None else check_folder)(out)
    check_patterns(check_model(model), settings.include, settings.exclude)
    check_data(calibrate, may_lack_labels=True, takes=saved_takes(model))
    check_database(db)
    device = device_named(db, device, tuple(budgets[0]))
    note(aim(budgets, value, device))
    tell_replaced(out, ".plan.json", ".md", *([SUFFIXES[to or RUNTIMES[0]]] if precision or keep_bytes else []))
    load_keras()
    from rankline.api import budget as run_budget
    from rankline.cli.present.budget import budget_summary, write_budget
    from rankline.cli.present.progress import bar
    from rankline.src.compress.data.classifier import ScaleWarning
    from rankline.src.compress.data.sets import DataWarning, Named
    from rankline.src.compress.fit.covariance import CalibrationWarning
    from rankline.src.compress.fit.refit import FitSettings
    from rankline.src.compress.methods.cp import ConvergenceWarning
    from rankline.src.reports.report.sweep import write_sweep

    with (
        warnings_as_notes(CalibrationWarning, ConvergenceWarning, DataWarning, ScaleWarning),
        bar("", "reading the data") as progress,
    ):
        done = run_budget(
            model,
            Named(calibrate, scaling),
            db,
            **keep,
            sweep=shares,
            out=out,
            settings=settings,
            device=device,
            fit_settings=FitSettings(norms=norms, seed=seed),
            name=name,
            loss=loss,
            score=score,
            on_trial=_told,
            progress=progress,
        )
    found = budget_summary(done)
    pages = write_sweep(found, out) if shares else []
    if as_json:
        write_json({**found, "files": [str(page) for page in pages]} if shares else found)
        return
    write_budget(found, as_csv)
    if shares:
        note(f"wrote {len(done.points)} models into {out}; look at {pages[0]}; run {done.run} is in {db}")
    else:
        note(f"wrote {out}, {out.stem}.plan.json and {out.stem}.md; run {done.run} is in {db}")


def aim(budgets: Sequence[Mapping[str, Keep]], value: str, device: str | None) -> str:
    """What is optimised, in a line."""
    from rankline.src.compress.budget.limits import asked_text

    least = "least damage" if value == "damage" else f"least error ({value})"
    asked = asked_text(budgets[-1])
    if len(budgets) > 1:
        asked = f"{100 * float(min(budgets[0].values())):g} % to {asked}, in {len(budgets)} models"
    return f"{least} at {asked}" + (f" on '{device}'" if device and LATENCY.name in budgets[0] else "")


def kept(text: str, option: str) -> float | int:
    """A share above 0 and at most 1 as a float, or a whole number above as it is. Raises UserError."""
    expected = (
        f"{option} takes a share above 0 and at most 1, such as 0.5 (1 keeps all), or a whole number, such as 2000000"
    )
    try:
        value = Fraction(text.replace("_", "").replace(",", ""))
    except (ValueError, ZeroDivisionError):
        raise UserError(f"{expected}; got '{text}'") from None
    if value <= 0 or (value > 1 and value.denominator > 1):
        raise UserError(f"{expected}; got '{text}'")
    return float(value) if value <= 1 else int(value)


def kept_time(text: str) -> float | int:
    """A share of a latency above 0 and at most 1 as a float, or a time such as ``3ms`` in picoseconds. Raises
    UserError."""
    try:
        Fraction(text)
    except (ValueError, ZeroDivisionError):
        time = int(LATENCY.number(text))
        if time < 2:
            raise UserError(f"--keep-latency takes a time above 0, such as 3ms; got '{text}'") from None
        return time
    share = kept(text, "--keep-latency")
    if isinstance(share, int):
        raise UserError(f"--keep-latency takes a share above 0 and at most 1, or a time with its unit; got '{text}'")
    return share


def swept(text: str) -> dict[str, list[float]]:
    """The shares of ``--sweep``, by metric. Raises UserError."""
    metric, _, ends = text.rpartition("=")
    metric = metric or "flops"
    try:
        low, high, step = (Fraction(part) for part in ends.split(":"))
    except (ValueError, ZeroDivisionError):
        low, high, step = Fraction(0), Fraction(0), Fraction(0)
    if metric not in BUDGETS or not 0 < low <= high <= 1 or step <= 0:
        raise UserError(
            "--sweep takes shares above 0 and at most 1 as from:to:step, such as 0.2:0.9:0.1 of the FLOPs, or "
            f"params=0.2:0.9:0.1 (of {', '.join(BUDGETS)}); got '{text}'"
        )
    count = int((high - low) / step) + 1
    if count > MOST_POINTS:
        raise UserError(f"--sweep takes at most {MOST_POINTS} budgets; '{text}' are {count:,}")
    return {metric: [float(low + number * step) for number in range(count)]}


def _told(trial: TrialRecord) -> None:
    """A line about a model that was made."""
    what = "original" if trial.number == 0 else f"model {trial.number}"
    accuracy = "" if trial.accuracy is None else f"  accuracy {percent(trial.accuracy):>7}"
    if trial.accuracy is None and trial.metric is not None:
        accuracy = f"  score {trial.metric:.4g}"
    costs = f"params {si(trial.cost.params):>6}  {FLOPS.titled('FLOPs', trial.cost)} {si(trial.cost.flops):>6}"
    note(f"{what:>9}{accuracy}  {costs}  {trial.seconds:5.1f} s")
