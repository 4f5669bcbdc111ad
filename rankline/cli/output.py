"""Options and output that commands share."""

from __future__ import annotations

import json
import re
import sys
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rankline.cli import completion
from rankline.cli.present.table import drawn, for_machines
from rankline.src.dse.errors import UserError
from rankline.src.dse.outgoing import for_csv, for_terminal

if TYPE_CHECKING:
    from fractions import Fraction


def _one_format(context: typer.Context, value: bool) -> bool:
    if value and (context.params.get("as_json") or context.params.get("as_csv")):
        raise UserError("--json and --csv are both given; choose one")
    return value


DatabaseOption = Annotated[
    str, typer.Option("--db", envvar="RANKLINE_DB", help="Database: a file or a SQLAlchemy URL.", metavar="DB")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Write JSON for machines.", callback=_one_format)]
CsvOption = Annotated[bool, typer.Option("--csv", help="Write CSV for machines.", callback=_one_format)]
SeedOption = Annotated[int, typer.Option(min=0, max=2**31 - 1, help="Seed of everything that chance enters.")]
NetworkOption = Annotated[
    str | None,
    typer.Option("--network", help="Network; not needed where there is one.", autocompletion=completion.network),
]
DeviceOption = Annotated[
    str | None,
    typer.Option("--device", help="Device whose latencies are told too.", autocompletion=completion.device),
]
MethodsOption = Annotated[
    str | None,
    typer.Option("--methods", help="Only these methods, separated by commas.", autocompletion=completion.methods),
]
InputShapeOption = Annotated[
    str | None, typer.Option(help="Size of one input without the batch axis, such as 224,224,3.", metavar="SIZES")
]

DEFAULT_DATABASE = "rankline.db"


def write_json(value: Any) -> None:
    """The value as indented JSON on standard output."""
    print(json.dumps(value, indent=2))


def write_csv(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """A header and the rows on standard output as they are computed; None is an empty field."""
    import csv

    on_terminal = sys.stdout.isatty()

    def cell(value: Any) -> Any:
        found = for_csv(for_machines(value))
        return for_terminal(found) if on_terminal and isinstance(found, str) else found

    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(map(cell, columns))
    writer.writerows(map(cell, row) for row in rows)


def write_table(
    title: str,
    columns: Sequence[str],
    rows: Iterable[Sequence[Any]],
    drop_empty: bool = True,
    least_important: Sequence[str] = (),
    as_csv: bool = False,
) -> None:
    """A table for people under a title, or as CSV; see ``table.drawn`` for what a narrow terminal has no room for."""
    if as_csv:
        write_csv(columns, rows)
        return
    left_out = drawn(title, columns, [list(row) for row in rows], drop_empty, least_important)
    if left_out:
        note(f"left out for want of space: {', '.join(left_out)}")


def note(message: str) -> None:
    """A line for people on standard error, so that standard output stays clean."""
    print(for_terminal(message), file=sys.stderr)


def tell_replaced(model: Path | None, *suffixes: str) -> None:
    """A line about files that are there already and will be written anew, while they can still be kept: that of the
    model, and those of other suffixes beside it."""
    if model is not None and model.suffix == ".keras":
        there = [str(path) for path in (model, *map(model.with_suffix, suffixes)) if path.is_file()]
        if there:
            note(f"{', '.join(there)} will be replaced")


def tell_own_layers(own: Sequence[str], file: str | None = None) -> None:
    """A line about the layers of a written model that plain Keras lacks, if there are any."""
    if own:
        from rankline.src.compress.layers.own import way_to_load  # needs Keras, which takes seconds

        note(f"{file}: {way_to_load(own)}" if file else way_to_load(own))


@contextmanager
def warnings_as_notes(*kinds: type[Warning]) -> Iterator[None]:
    """Warnings of these kinds are for people here, not for programmers: without the place in the code. What is said of
    many layers is said of the first; the others are named at the end."""
    told: dict[str, list[str]] = {}
    with warnings.catch_warnings():
        for kind in kinds:
            warnings.simplefilter("always", kind)
        show = warnings.showwarning

        def tell(message: Warning | str, category: type[Warning], *place: Any, **more: Any) -> None:
            if issubclass(category, kinds):
                same = told.setdefault(_NAME_OR_NUMBER.sub("", str(message)), [])
                if not same:
                    note(f"note: {message}")
                same.append(str(message))
            else:
                show(message, category, *place, **more)

        warnings.showwarning = tell
        try:
            yield
        finally:
            for same in told.values():
                _tell_others(*dict.fromkeys(same))


_NAME_OR_NUMBER = re.compile(r"'[^']*'|\d[\d.,]*")


def _tell_others(first: str, *others: str) -> None:
    """Names the layers of which the first note is true as well; counts notes that name none."""
    names = [name[0] for text in (first, *others) if (name := re.findall("'([^']*)'", text))]
    if others and len(names) > len(others):
        note(f"note: as for layer '{names[0]}', so for {len(others)} more: {', '.join(dict.fromkeys(names[1:]))}")
    elif others:
        note(f"note: and {len(others)} more like: {first}")


def number(text: str) -> Fraction:
    """A number or a quotient of two, such as 1/127.5. Raises ValueError or ZeroDivisionError."""
    from fractions import Fraction

    above, slash, below = text.partition("/")
    return Fraction(above) / Fraction(below) if slash else Fraction(above)


def numbers(text: str, what: str) -> tuple[float, ...]:
    """Comma-separated numbers. Raises typer.BadParameter that names what they are for."""
    try:
        return tuple(float(number(part)) for part in text.split(","))
    except (ValueError, ZeroDivisionError):
        raise typer.BadParameter(f"{what} takes numbers separated by commas; got '{text}'") from None


def whole_numbers(text: str, what: str) -> tuple[int, ...]:
    """Comma-separated whole numbers of at least 1. Raises typer.BadParameter that names what they are for."""
    found = numbers(text, what)
    if not all(value.is_integer() and value > 0 for value in found):
        raise typer.BadParameter(f"{what} takes whole numbers of at least 1, separated by commas; got '{text}'")
    return tuple(int(value) for value in found)


def sizes(text: str | None) -> tuple[int, ...] | None:
    """The sizes of ``--input-shape``; None stays None."""
    return None if text is None else whole_numbers(text, "--input-shape")


def words(text: str | None, what: str) -> list[str] | None:
    """Comma-separated words, blanks around them left out; None stays None. Raises UserError where there is none."""
    if text is None:
        return None
    found = [word for part in text.split(",") if (word := part.strip())]
    if not found:
        raise UserError(f"{what} takes names separated by commas; got '{text}'")
    return found


def is_given(context: typer.Context, name: str) -> bool:
    """Whether a parameter was typed on the command line, and is not its default or from the environment."""
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def _named(value: str | None) -> str | None:
    if value is not None and not value.strip():
        raise UserError("--name takes the name of a network; it is empty")
    return value


NameOption = Annotated[str | None, typer.Option(help="Name of the network in the database.", callback=_named)]
