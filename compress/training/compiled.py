"""The losses and metrics that a model was compiled with, read from its file or from the model. Nothing of a user's is
run: only names and Keras's own classes are made."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras

from rankline.src.compress.data.takes import Takes
from rankline.src.dse.errors import UserError
from rankline.src.dse.keras_model.saved import CODE_CARRIERS, ENDINGS, objects_in, saved_model


@dataclass(frozen=True)
class Compiled:
    """What a model was compiled with, as names, saved configurations or objects.

    - ``losses``: one for each output, None where it has none
    - ``weights``: of the losses
    - ``metrics``: pairs of the number of an output and a metric
    """

    losses: tuple[Any, ...]
    weights: tuple[float, ...]
    metrics: tuple[tuple[int, Any], ...]


def compiled_of(model: keras.Model, source: str | None, takes: Takes) -> Compiled | None:
    """What a model was compiled with; None if it wasn't. source: its MODEL text, as files are loaded uncompiled."""
    is_file = source is not None and Path(source).suffix in ENDINGS
    raw = _saved(Path(str(source))) if is_file else _in_memory(model)
    if not raw or raw.get("loss") is None:
        return None
    losses = by_output(raw["loss"], takes)
    weights = by_output(raw.get("loss_weights"), takes)
    return Compiled(losses, tuple(1.0 if one is None else float(one) for one in weights), _metrics(raw, takes))


def by_output(given: Any, takes: Takes) -> tuple[Any, ...]:
    """What was given for all outputs, in order (a list) or by name (a dict), as one for each output."""
    names = [slot.name for slot in takes.outputs]
    if isinstance(given, Mapping) and "class_name" not in given:
        return tuple(given.get(name) for name in names)
    if isinstance(given, list | tuple):
        return tuple(given) if len(given) == len(names) else (None,) * len(names)
    return (given,) * len(names)


def is_own(spec: Any) -> bool:
    """Whether a name or saved configuration is of Keras's own classes and functions, and carries no code."""
    return isinstance(spec, str) or all(
        str(one.get("module") or "keras").partition(".")[0] in ("keras", "builtins")
        and one.get("class_name") not in CODE_CARRIERS
        for one in objects_in(spec)
        if "class_name" in one
    )


def _metrics(raw: Mapping[str, Any], takes: Takes) -> tuple[tuple[int, Any], ...]:
    given = raw.get("metrics") or []
    count = len(takes.outputs)
    if count == 1 and isinstance(given, list | tuple) and not any(isinstance(one, list | tuple) for one in given):
        per_output: Sequence[Any] = (given,)
    else:
        per_output = by_output(given, takes)
    return tuple(
        (number, one)
        for number, some in enumerate(per_output)
        for one in (some if isinstance(some, list | tuple) else [some])
        if one is not None
    )


def _in_memory(model: keras.Model) -> dict[str, Any] | None:
    if not getattr(model, "compiled", False):
        return None
    try:
        raw = dict(model.get_compile_config() or {})
    except Exception:  # whatever a foreign metric raises
        raw = {}
    return {**raw, "loss": getattr(model, "loss", None)}


def _saved(path: Path) -> dict[str, Any] | None:
    saved = saved_model(path, "")
    if not saved.is_hdf5:
        config = saved.config.get("compile_config")
    else:
        import h5py

        with h5py.File(path, "r") as file:
            text = file.attrs.get("training_config")
        try:
            config = None if text is None else json.loads(text)
        except ValueError as error:
            raise UserError(f"'{path}' has a training configuration that can't be read ({error})") from error
    return config if isinstance(config, dict) else None
