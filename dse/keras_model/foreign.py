"""Models of other programs, named for what they are, with the way that works."""

from __future__ import annotations

from pathlib import Path

_LAYERS_FILE = "write its layers into a layers file to explore it (docs/how-to/pytorch.md shows how)"

_RUNTIME = "it is made for running and has lost the layers; give the Keras model that it was converted from"

_FROM_TENSORFLOW = (
    "where TensorFlow 2.15 or the package tf_keras is installed, load it with keras.models.load_model, and save it "
    "with model.save('NAME.h5')"
)

_TENSORFLOW_FILES = ("saved_model.pb", "saved_model.pbtxt", "keras_metadata.pb")

ENDINGS = {
    ".tflite": f"a LiteRT (TensorFlow Lite) model: {_RUNTIME}",
    ".onnx": f"an ONNX model: {_LAYERS_FILE}",
    **dict.fromkeys((".pt", ".pth", ".pt2"), f"a PyTorch file: {_LAYERS_FILE}"),
    ".safetensors": "a file of weights alone: build the model in a function of your own, and give "
    "package.module:function",
    ".pb": f"a graph of TensorFlow: if it is part of a SavedModel folder, {_FROM_TENSORFLOW}",
    **dict.fromkeys((".ckpt", ".index"), "a TensorFlow checkpoint, of weights alone: build the model in a function of "
                    "your own that ends in load_weights, and give package.module:function"),
    **dict.fromkeys((".pkl", ".pickle", ".joblib"), "a pickle, which can run code as it is read: save the model with "
                    "model.save('NAME.keras')"),
    **dict.fromkeys((".mlmodel", ".mlpackage"), f"a Core ML model: {_RUNTIME}"),
}  # fmt: skip


def foreign_model(path: Path) -> str | None:
    """What a file or folder of another program is and what to do with it; None for anything else.

    A file is told by the ending of its name, a folder by what is in it.
    """
    try:
        inside = {one.name for one in path.iterdir()} if path.is_dir() else set()
    except (OSError, ValueError):
        return None
    if inside & {*_TENSORFLOW_FILES}:
        return f"a SavedModel folder of TensorFlow: {_FROM_TENSORFLOW}"
    if {"config.json", "model.weights.h5"} <= inside:
        return "an unpacked .keras file: pack it, with config.json at the top, as NAME.keras (a zip archive)"
    return ENDINGS.get(path.suffix.lower())
