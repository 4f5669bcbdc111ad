"""Losses and scores by name: Keras's own, or a user's function."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import keras

from rankline.src.compress.data.arrays import Array
from rankline.src.compress.training.compiled import is_own
from rankline.src.dse.errors import UserError, one_of
from rankline.src.dse.keras_model.named_function import FUNCTION, function_of

HIGHER = "Accuracy|AUC|Precision|Recall|Sensitivity|Specificity|IoU|F1|FBeta|R2|Correlation|Similarity|True"
LOWER = "Error|Crossentropy|Hinge|Poisson|Divergence|False"
"""What the names of Keras's metrics tell of their direction."""

ONE_HOT = "^Categorical|^TopK|AUC|Precision|Recall|Sensitivity|Specificity|F1|FBeta|Error|^OneHot|Similarity"
"""Those of more than two classes that don't take labels as numbers."""

ScoreFunction = Callable[[Array, Array], float]
"""The user's own score, of labels and the model's outputs; higher is better."""


@dataclass(frozen=True)
class Metric:
    """A score of Keras or of a user. made: a fresh one, which is given batches by ``update_state``; takes_one_hot:
    whether it needs a row of 0 and 1 for each label."""

    name: str
    is_higher_better: bool
    made: Callable[[], Any]
    takes_one_hot: bool = False


def loss_of(spec: Any) -> keras.losses.Loss:
    """A loss by its name (``mean_absolute_error``, ``package.module:function``), saved configuration or function.

    Raises UserError for anything else, and for a configuration that isn't of Keras's own.
    """
    if isinstance(spec, str) and ":" in spec:
        spec = _users(spec, "loss")
    if isinstance(spec, type):
        spec = spec()
    if isinstance(spec, Mapping) and not is_own(spec):
        raise UserError(f"the model was compiled with a loss of its own, {_named(spec)}; {_GIVE_LOSS}")
    if isinstance(spec, str | Mapping):
        try:
            spec = keras.losses.get(spec if isinstance(spec, str) else dict(spec))
        except Exception as error:  # unknown names, and whatever configurations raise
            if isinstance(spec, Mapping):
                raise UserError(
                    f"the model was compiled with a loss, {_named(spec)}, that can't be made; {_GIVE_LOSS}"
                ) from error
            raise one_of("loss", spec, _functions(keras.losses)) from error
    if isinstance(spec, keras.losses.Loss):
        return spec
    if not callable(spec):
        raise UserError(f"a loss is a name of Keras, package.module:function or a function; got {type(spec).__name__}")
    return _Function(spec)


def loss_value(loss: keras.losses.Loss, y: Array, outputs: Array) -> float:
    """The mean of a loss over everything."""
    # Not Keras's own mean, which it divides by the number of ``tf.distribute`` devices in scope.
    tensors = (keras.ops.convert_to_tensor(one, "float32") for one in (y, outputs))
    return float(keras.ops.convert_to_numpy(keras.ops.mean(loss.call(*tensors))))


def metric_of(spec: Any, shape: tuple[int | None, ...], y: Array | None, activation: str) -> Metric:
    """A score by its name or configuration. shape, activation: of the output; y: labels, to tell one-hot ones.

    Raises UserError for an unknown one, and where it isn't known whether higher is better.
    """
    if isinstance(spec, str) and ":" in spec:
        spec = _users(spec, "score")
    if isinstance(spec, Mapping) and spec.get("class_name") == "MeanMetricWrapper":
        spec = spec.get("config", {}).get("fn")  # as Keras 2 wrote it
    if isinstance(spec, str):
        return _by_name(spec, shape, y, activation)
    if isinstance(spec, Mapping) and is_own(spec):
        config = dict(spec)

        def made() -> Any:
            return keras.metrics.get(config)

        try:
            return _described(made)
        except (TypeError, ValueError) as error:
            raise UserError(f"the score {_named(spec)} can't be made ({error}); {_GIVE_SCORE}") from error
    if callable(spec) and not isinstance(spec, keras.metrics.Metric):
        return Metric(readable(score_name(spec)), True, lambda: _Collected(spec))
    raise UserError(f"the score {_named(spec)} isn't one of Keras's; {_GIVE_SCORE}")


def score_name(function: ScoreFunction) -> str:
    """The name of a user's function."""
    return str(getattr(function, "__name__", type(function).__name__))


def readable(name: str) -> str:
    """A name of Keras for people: ``mean_absolute_error`` is mean absolute error, ``auc`` AUC."""
    words = re.sub(r"_\d+$", "", name).split("_")
    return " ".join({"auc": "AUC", "iou": "IoU", "r2": "R2", "f1": "F1"}.get(word, word) for word in words)


_GIVE_LOSS = "give one by --loss, such as --loss mean_squared_error or --loss package.module:function"
_GIVE_SCORE = "give another by --score, such as --score mean_absolute_error or --score package.module:function"


class _Function(keras.losses.Loss):  # type: ignore[misc]
    """A function of labels and outputs as a loss."""

    def __init__(self, function: Callable[[Any, Any], Any]) -> None:
        name = score_name(function)
        super().__init__(name=name if name.isidentifier() and name.isascii() else "own_loss")
        self.function = function

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """The losses of the samples."""
        return self.function(y_true, y_pred)


class _Collected:
    """A user's function of all labels and outputs, with the interface of a metric of Keras."""

    def __init__(self, function: ScoreFunction) -> None:
        self.function = function
        self.batches: list[tuple[Array, Array]] = []

    def update_state(self, y: Array, outputs: Array) -> None:
        """Takes a batch."""
        self.batches.append((y, outputs))

    def result(self) -> float:
        """The score of all batches."""
        import numpy as np

        y, outputs = (np.concatenate(some) for some in zip(*self.batches, strict=True))
        return float(self.function(y, outputs))


def _by_name(name: str, shape: tuple[int | None, ...], y: Array | None, activation: str) -> Metric:
    one_hot = y is not None and y.ndim - 1 == len(shape) and y.shape[-1] == shape[-1] and shape[-1] != 1
    if name.lower() in ("accuracy", "acc"):
        of_classes = "Categorical" if one_hot else "SparseCategorical"
        name = f"{'Binary' if shape[-1] == 1 or activation == 'sigmoid' else of_classes}Accuracy"
    names = [one for one in dir(keras.metrics) if one[0].isupper()]
    classes: dict[str, Any] = {_plain(one): getattr(keras.metrics, one) for one in names}
    found: Any = classes.get(_plain(name))
    if found is None:
        try:
            found = keras.metrics.get(name)
        except Exception:
            found = None
    if found is None and name in _functions(keras.losses):
        function = keras.losses.get(name)
        return Metric(readable(name), False, lambda: keras.metrics.MeanMetricWrapper(function, name))
    if found is None:
        raise one_of("score", name, sorted({*map(_snake, names)} - {"metric", "mean", "sum", "mean_metric_wrapper"}))
    kind = found if isinstance(found, type) else type(found)
    more: dict[str, Any] = {}
    if kind in (keras.metrics.MeanIoU, keras.metrics.OneHotMeanIoU):
        more = {"num_classes": shape[-1], "sparse_y_pred": False}
        if kind is keras.metrics.MeanIoU:
            more["sparse_y_true"] = not one_hot

    def made() -> Any:
        return kind(**more)

    try:
        return _described(made)
    except TypeError as error:
        raise UserError(f"the score {name} needs settings ({error}); give it as package.module:function") from error


def _described(made: Callable[[], Any]) -> Metric:
    one = made()
    kind = type(one).__name__
    if not re.search(f"{HIGHER}|{LOWER}", kind):
        raise UserError(f"it isn't known whether higher is better of the score {kind}; {_GIVE_SCORE}")
    return Metric(readable(_snake(kind)), bool(re.search(HIGHER, kind)), made, bool(re.search(ONE_HOT, kind)))


def _users(source: str, what: str) -> Any:
    if not re.fullmatch(FUNCTION, source):
        raise UserError(f"a {what} is a name of Keras or package.module:function; got '{source}'")
    return function_of(source, f"a {what} is a name of Keras or package.module:function")


def _functions(module: Any) -> list[str]:
    return [name for name in dir(module) if name[0].islower() and name not in ("get", "serialize", "deserialize")]


def _named(spec: Any) -> str:
    if not isinstance(spec, Mapping):
        return type(spec).__name__
    name = spec.get("class_name")
    return f"'{spec.get('config') if name == 'function' else name}'"


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name.replace("IoU", "Iou")).lower()


def _plain(name: str) -> str:
    return name.replace("_", "").lower()
