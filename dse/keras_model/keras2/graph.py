"""A model of Keras 2 as one of Keras 3: its classes, its names, and the calls of its layers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rankline.src.dse.keras_model.keras2.layers import RECURRENT, modern_layer
from rankline.src.dse.keras_model.keras2.operations import OPERATION_LAYERS, modern_operation

MODELS = {"Functional": "Functional", "Model": "Functional", "Network": "Functional", "Sequential": "Sequential"}
"""The classes of models, as TensorFlow 1 and Keras 2 called them, and as Keras 3 does."""

CONSTANT = "_CONSTANT_VALUE"
"""Stands in a call for a layer where the argument is a number."""


def modern_model(config: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration of a model that Keras 2 wrote, for Keras 3.

    The layers and their order stay; a "/" in their names, which Keras 3 refuses, becomes "_". Raises UserError for
    what Keras 3 has no more, or computes otherwise.
    """
    modern = _modern(_renamed(config, _new_names(config)))
    return {**modern, **({"compile_config": config["compile_config"]} if "compile_config" in config else {})}


def _modern(one: Mapping[str, Any]) -> dict[str, Any]:
    """A layer or a nested model, with the layers within it."""
    class_name, config = str(one.get("class_name")), one.get("config")
    kept = {key: one[key] for key in ("name", "inbound_nodes") if key in one}
    if class_name == "Sequential" and isinstance(config, list):  # before Keras 2.3
        config = {"name": "sequential", "layers": config}
    if not isinstance(config, Mapping):
        return dict(one)
    if class_name in MODELS and isinstance(config.get("layers"), list):
        build = _sequential if MODELS[class_name] == "Sequential" else _functional
        return {**kept, **build({**config, "layers": [_modern(layer) for layer in config["layers"]]}, config)}
    if class_name in OPERATION_LAYERS:
        return dict(one)
    return {**kept, **modern_layer(one, _modern)}


def _sequential(config: dict[str, Any], before: Mapping[str, Any]) -> dict[str, Any]:
    first = before["layers"][0] if before["layers"] else {}
    shape = first.get("config", {}).get("batch_input_shape")
    if shape and first["class_name"] != "InputLayer":
        dtype = "int32" if first["class_name"] == "Embedding" else "float32"
        entry = {"name": f"{first['config']['name']}_input", "batch_shape": shape, "dtype": dtype}
        inputs = {"module": "keras.layers", "class_name": "InputLayer", "config": entry, "registered_name": None}
        config["layers"] = [inputs, *config["layers"]]
    return {"module": "keras", "class_name": "Sequential", "config": config, "registered_name": None}


def _functional(config: dict[str, Any], before: Mapping[str, Any]) -> dict[str, Any]:
    ends = {key: config[key] for key in ("input_layers", "output_layers")}
    names = {_name(layer) for layer in config["layers"]}
    # Keras 2 counted the making of a nested model as its first call, Keras 3 doesn't.
    used = list(_references([ends, [layer.get("inbound_nodes") for layer in config["layers"]]]))
    models = {_name(layer) for layer in config["layers"] if layer.get("class_name") in MODELS}
    shifts = {name: int(min((call for one, call in used if one == name), default=0) >= 1) for name in models}

    def tensor(reference: Any) -> Any:
        if reference[0] == CONSTANT:
            return reference[2]
        name, call, output = reference[:3]
        history = [name, call - shifts.get(name, 0), output]
        return {"class_name": "__keras_tensor__", "config": {"shape": [], "dtype": "float32", "keras_history": history}}

    def argument(value: Any) -> Any:
        if _is_reference(value) and value[0] in names:
            return tensor(value)
        if isinstance(value, list):
            return [argument(one) for one in value]
        return {key: argument(one) for key, one in value.items()} if isinstance(value, Mapping) else value

    def call(layer: Mapping[str, Any], node: Any) -> Any:
        if not isinstance(node, list) or not node:
            return node
        entries = [node] if isinstance(node[0], str) else node
        given = [tensor(one) for one in entries]
        more = argument(entries[0][3]) if len(entries[0]) > 3 else {}
        if len(given) > 1 and layer["class_name"] in RECURRENT:
            return {"args": given[:1], "kwargs": {**more, "initial_state": given[1:]}}
        return {"args": given if len(given) == 1 else [given], "kwargs": more}

    layers = []
    for layer in config["layers"]:
        made = {**layer, "name": _name(layer), "inbound_nodes": [call(layer, one) for one in _nodes(layer)]}
        layers.append(modern_operation(made) if layer.get("class_name") in OPERATION_LAYERS else made)
    shifted = {key: _shifted(value, shifts) for key, value in ends.items()}
    return {
        "module": "keras.src.models.functional",
        "class_name": "Functional",
        "registered_name": "Functional",
        "config": {**config, **shifted, "layers": layers},
    }


def _name(layer: Mapping[str, Any]) -> str:
    return str(layer.get("name") or layer["config"]["name"])


def _nodes(layer: Mapping[str, Any]) -> list[Any]:
    """The calls of a layer."""
    found: list[Any] = layer.get("inbound_nodes") or []
    return found


def _is_reference(value: Any) -> bool:
    """Whether a list names an output: the layer, which of its calls, and which of that call's outputs."""
    return isinstance(value, list) and len(value) >= 3 and [type(one) for one in value[:3]] == [str, int, int]


def _references(value: Any) -> Iterator[tuple[str, int]]:
    if _is_reference(value):
        yield value[0], value[1]
    for one in value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ():
        yield from _references(one)


def _shifted(value: Any, shifts: Mapping[str, int]) -> Any:
    if _is_reference(value):
        return [value[0], value[1] - shifts.get(value[0], 0), value[2]]
    if isinstance(value, list):
        return [_shifted(one, shifts) for one in value]
    return {key: _shifted(one, shifts) for key, one in value.items()} if isinstance(value, Mapping) else value


def _new_names(config: Any) -> dict[str, str]:
    """Names without "/" for those that have one, different from all others."""
    names = set(_names(config))
    found: dict[str, str] = {}
    for name in sorted(one for one in names if "/" in one):
        new = name.replace("/", "_")
        while new in names:
            new += "_"
        found[name] = new
        names.add(new)
    return found


def _names(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        if isinstance(value.get("name"), str):
            yield value["name"]
        value = list(value.values())
    for one in value if isinstance(value, list) else ():
        yield from _names(one)


def _renamed(value: Any, names: Mapping[str, str]) -> Any:
    if isinstance(value, Mapping):
        return {
            key: names.get(one, one) if key == "name" and isinstance(one, str) else _renamed(one, names)
            for key, one in value.items()
        }
    if _is_reference(value):
        return [names.get(value[0], value[0]), *(_renamed(one, names) for one in value[1:])]
    return [_renamed(one, names) for one in value] if isinstance(value, list) else value
