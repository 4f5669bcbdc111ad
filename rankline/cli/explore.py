"""``explore``, ``layers`` and ``spaces``: what a network is made of, and how large its spaces are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from rankline.cli.looking import UNTRAINED, calibration_inputs, look, write_looked
from rankline.cli.output import (
    DEFAULT_DATABASE,
    CsvOption,
    DatabaseOption,
    DeviceOption,
    InputShapeOption,
    JsonOption,
    MethodsOption,
    NameOption,
    NetworkOption,
    note,
    sizes,
    whole_numbers,
    words,
    write_json,
    write_table,
)
from rankline.cli.present.explored import explored_entry, write_explored
from rankline.cli.present.table import duration, part
from rankline.cli.quiet import load_keras_for
from rankline.cli.scaling import MeanOption, RescaleOption, StdOption, scaling_of

if TYPE_CHECKING:
    from rankline.src.dse.devices.device import Device

MODEL_HELP = "A .keras or .h5 file, app:ResNet50, zoo:lenet5, package.module:function, or a .json layers file."

SAMPLES = 1024

ModelArgument = Annotated[str, typer.Argument(help=MODEL_HELP, metavar="MODEL")]


def explore(
    model: Annotated[str | None, typer.Argument(help=MODEL_HELP, metavar="MODEL")] = None,
    db: DatabaseOption = DEFAULT_DATABASE,
    zoo: Annotated[bool, typer.Option("--zoo", help="The fourteen networks of the zoo instead of a MODEL.")] = False,
    name: NameOption = None,
    methods: MethodsOption = None,
    input_shape: InputShapeOption = None,
    rank_multiple: Annotated[int, typer.Option(help="Keep only ranks that are multiples of this.")] = 1,
    max_rank: Annotated[int | None, typer.Option(help="Cut every rank here.")] = None,
    t3f_cores: Annotated[str, typer.Option(help="Numbers of T3F cores.")] = "2,3",
    t3f_order: Annotated[str, typer.Option(help="T3F shapes: aligned or all.")] = "aligned",
    max_lines: Annotated[int, typer.Option(help="Refuse a larger space.")] = 1_000_000,
    errors: Annotated[
        bool, typer.Option("--errors", help="Store the error of every configuration too, from the trained weights.")
    ] = False,
    calibrate: Annotated[
        str | None,
        typer.Option(
            help="The same with the errors of the layers' outputs on this data: as compress takes it, or inputs alone "
            "(an .npz or .npy file, a folder of pictures, a function).",
            metavar="DATA",
        ),
    ] = None,
    samples: Annotated[int, typer.Option(min=1, help="Calibrate on so many training inputs.")] = SAMPLES,
    rescale: RescaleOption = "1",
    mean: MeanOption = "0",
    std: StdOption = "1",
    device: DeviceOption = None,
    as_json: JsonOption = False,
    as_csv: CsvOption = False,
) -> None:
    """Compute and store every configuration of a model's layers; with --errors or --calibrate, its error too.

    Example: [bold]rankline explore zoo:lenet5[/bold]
    """
    from dataclasses import asdict

    from rankline.src.db.backends.engine import check_database
    from rankline.src.dse.keras_model.source import check_model, load_model, network_name
    from rankline.src.dse.methods import get as method_named
    from rankline.src.dse.options import Options
    from rankline.src.dse.zoo import FOURTEEN

    if (model is None) != zoo or (zoo and (name or input_shape)):
        raise typer.BadParameter("give a MODEL, or --zoo (without --name and --input-shape)")
    with_errors = errors or calibrate is not None
    if with_errors and zoo:
        raise typer.BadParameter("--errors and --calibrate look at the weights of a MODEL; those of --zoo are random")
    if calibrate is None and (samples, rescale, mean, std) != (SAMPLES, "1", "0", "1"):
        raise typer.BadParameter("--samples, --rescale, --mean and --std are for the data of --calibrate; give it too")
    options = Options(
        rank_multiple=rank_multiple,
        max_rank=max_rank,
        t3f_cores=whole_numbers(t3f_cores, "--t3f-cores"),
        t3f_order=t3f_order,
        max_lines=max_lines,
    )
    chosen = words(methods, "--methods")
    sources = [f"zoo:{network}" for network in FOURTEEN] if zoo else [model or ""]
    for method in chosen or ():
        method_named(method)
    if with_errors or not sources[0].endswith(".json"):
        check_model(sources[0])
    given, scaling = sizes(input_shape), scaling_of(rescale, mean, std)
    if calibrate is not None:
        from rankline.src.compress.data.sources import check_data
        from rankline.src.compress.data.takes import saved_takes

        check_data(calibrate, may_lack_labels=True, takes=saved_takes(sources[0]))
    check_database(db)
    timed = _device(db, device)
    load_keras_for(sources[0])
    from rankline.cli.present.progress import bar
    from rankline.src.db.database import open_database

    database = open_database(db)
    trained, inputs = (load_model(sources[0], given) if with_errors else None), None
    if calibrate is not None:
        inputs = calibration_inputs(trained, calibrate, samples, scaling)
    done = []
    for source in sources:
        with bar(f"configurations of {source}") as progress:
            done.append(
                database.explore(
                    source if trained is None else trained,
                    name=name or network_name(source),
                    methods=chosen,
                    options=options,
                    input_shape=given,
                    progress=progress,
                    source=source,
                    device=timed,
                )
            )
    for one in done:
        listed = {row.layer for row in database.spaces(one.network) if row.n_total}
        bare = [row.name for row in database.layers(one.network) if not row.kept_because and row.name not in listed]
        if bare:
            note(f"{one.network}: these methods and options leave no configuration of {', '.join(bare)}")
    looked = [] if trained is None else look(trained, database, done[0].network, chosen, inputs, samples)
    if trained is not None and sources[0].startswith(UNTRAINED):
        note(f"{sources[0]} has random weights, and these errors are theirs; give a trained model for its own")
    if as_json:
        entries = [explored_entry(one, device) for one in done]
        found = entries if zoo else entries[0]
        write_json(found if trained is None else {"explored": found, "errors": [asdict(one) for one in looked]})
        return
    if as_csv and trained is not None:
        write_looked(looked, done[0].network, as_csv)
        return
    write_explored(done, db, timed, as_csv)
    if trained is not None:
        write_looked(looked, done[0].network)


def layers(
    model: Annotated[str | None, typer.Argument(help="A MODEL to read; without it, the database's.")] = None,
    db: DatabaseOption = DEFAULT_DATABASE,
    network: NetworkOption = None,
    input_shape: InputShapeOption = None,
    device: DeviceOption = None,
    as_json: JsonOption = False,
    as_csv: CsvOption = False,
) -> None:
    """List the layers of a model with their costs; --json writes a layers file, unless a device is named.

    Example: [bold]rankline layers zoo:lenet5[/bold]
    """
    from rankline.src.dse.devices.network import known_latency
    from rankline.src.dse.keras_model.source import check_model, load_network
    from rankline.src.dse.layers_file import write_layers
    from rankline.src.dse.network_cost import known_cost, uncounted, uncounted_sentence

    timed = _device(db, device)
    if model is not None:
        given = sizes(input_shape)
        if not model.endswith(".json"):
            check_model(model)
        load_keras_for(model)
        found = list(load_network(model, given).layers)
    else:
        from rankline.src.db.database import open_database

        found = open_database(db, create=False).layer_shapes(network)
    times = [None if timed is None else known_latency(timed.model, layer) for layer in found]
    if as_json and timed is not None:
        listed = [{**layer.as_dict(), "latency_ps": time} for layer, time in zip(found, times, strict=True)]
        write_json({"device": timed.name, "layers": listed})
        return
    if as_json:
        print(write_layers(found), end="")
        return
    costs = [known_cost(layer) for layer in found]
    wholes = [sum(cost[j] or 0 for cost in costs) for j in range(3)]
    whole_time = sum(time or 0 for time in times)
    rows = []
    for layer, (params, fm, flops), time in zip(found, costs, times, strict=True):
        rows.append(
            [
                layer.name,
                layer.kind,
                "x".join(map(str, layer.kernel)),
                layer.in_channels,
                layer.out_channels,
                "x".join(map(str, layer.out_size)),
                part(params, wholes[0]),
                fm,
                part(flops, wholes[2], short=True),
                *([] if timed is None else [duration(time, whole_time)]),
                layer.kept_because,
            ]
        )
    latency = [] if timed is None else ["latency (ps)" if as_csv else "latency"]
    columns = ["layer", "kind", "kernel", "in", "out", "output size", "params", "FM elements", "FLOPs", *latency]
    columns.append("kept because")
    least = ["FM elements", "kind", "in", "out", "output size"]
    where = "" if timed is None else f" on {timed.name}"
    write_table(f"{len(found)} layers{where}", columns, rows, least_important=least, as_csv=as_csv)
    if unknown := uncounted(found):
        note(f"{uncounted_sentence(unknown)}: the network's are at least the others'")
    untimed = [layer.name for layer, time in zip(found, times, strict=True) if time is None and timed is not None]
    if untimed:
        note(f"device '{device}' has no numbers for {', '.join(untimed)}")


def zoo(as_json: JsonOption = False, as_csv: CsvOption = False) -> None:
    """List the networks that can be named as zoo:NAME.

    Example: [bold]rankline zoo[/bold]
    """
    from rankline.src.dse.zoo import FOURTEEN, ZOO

    rows = [{"name": f"zoo:{name}", "of the fourteen": name in FOURTEEN} for name in ZOO]
    if as_json:
        write_json(rows)
        return
    write_table(f"{len(rows)} networks", list(rows[0]), (list(row.values()) for row in rows), as_csv=as_csv)


def spaces(
    db: DatabaseOption = DEFAULT_DATABASE,
    network: NetworkOption = None,
    as_json: JsonOption = False,
    as_csv: CsvOption = False,
) -> None:
    """List the spaces of a network's layers: how many configurations each method has.

    Example: [bold]rankline spaces --network lenet5[/bold]
    """
    from rankline.src.db.database import open_database

    rows = open_database(db, create=False).spaces(network)
    if as_json:
        write_json([row.as_dict() for row in rows])
        return
    columns = ["layer", "method", "n_total", "n_better", "n_useful", "n_lines"]
    titles = ["layer", "method", "configurations", "better", "useful", "lines"]
    body = [[row[column] for column in columns] for row in rows]
    write_table(f"{len(rows)} spaces", titles, body, least_important=["lines"], as_csv=as_csv)
    note("better: params and FLOPs below the original's; useful: also no rank that its neighbours cannot feed")


def _device(db: str, name: str | None) -> Device | None:
    """The device of that name in the database, if one is named. Raises UserError."""
    if name is None:
        return None
    from rankline.src.db.database import open_database

    return open_database(db, create=False).device(name)
