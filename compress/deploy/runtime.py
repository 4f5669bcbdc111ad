"""The interface of a runtime: it writes a Keras model in its format, and runs it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rankline.src.compress.deploy.batches import in_batches
from rankline.src.compress.deploy.conversion import failure, input_shapes
from rankline.src.compress.deploy.timing import machine
from rankline.src.compress.fit.covariance import check_samples
from rankline.src.dse.errors import UserError
from rankline.src.dse.precision import F32, Precision, precision_named
from rankline.src.dse.whole_file import whole_file

if TYPE_CHECKING:
    import keras

Content = Any
"""What a runtime loads: the bytes of a file or its path, or a model for a runtime that has no files."""

Arrays = Sequence[NDArray[Any]]

RANDOM_SAMPLES = 8
"""Batches of random values from which the ranges of parts are taken."""


@dataclass(frozen=True)
class Calls:
    """How a runtime is called: with ``threads``, for ``batch`` samples at once, at a ``precision``."""

    threads: int = 1
    batch: int = 1
    precision: str = F32.name


AS_USUAL = Calls()


class Session(ABC):
    """A model that is ready to run.

    - ``call``: one inference on fixed random inputs; returns when it is done
    - ``inputs``: their names and shapes, with the batch
    """

    call: Callable[[], object]
    inputs: dict[str, tuple[int, ...]]

    @abstractmethod
    def run(self, arrays: Arrays) -> list[NDArray[Any]]:
        """All outputs, for an array of the model's shape for each input; floats also where the file has integers that
        stand for them."""


class Runtime(ABC):
    """What runs models. ``name`` is what users type and a device stores, ``title`` what they read.

    - ``packages``: the modules that it needs
    - ``quantizers``: the modules that other precisions than f32 need beside them
    - ``suffix``: of its files; empty where it has none
    - ``pads``: whether it works in blocks of channels, so that ranks are padded to them when a model is written
    - ``precisions``: the names of those that it can write
    """

    name: str
    title: str
    packages: tuple[str, ...]
    quantizers: tuple[str, ...] = ()
    suffix: str = ""
    pads: bool = False
    precisions: tuple[str, ...] = (F32.name,)

    def check(self, precision: str = F32.name) -> None:
        """Raises UserError for a precision that it can't write, and, with the extra that installs it, where a package
        is missing."""
        wanted = precision_named(precision)
        if wanted.name not in self.precisions:
            raise UserError(f"{self.title} can't write {wanted.name}; it writes {', '.join(self.precisions)}")
        for package in (*self.packages, *(() if wanted == F32 else self.quantizers)):
            if find_spec(package) is None:
                raise UserError(
                    f"{self.title} needs the package '{package}', which is not installed; "
                    "run: pip install 'rankline[deploy]'"
                )

    @abstractmethod
    def version(self) -> str:
        """The version of what runs the models."""

    def machine(self) -> str:
        """The processor and the system that it runs on, for people."""
        return machine()

    def check_threads(self, threads: int) -> None:  # noqa: B027
        """Raises UserError where it can't run with this number of threads; most take any."""

    def usual_threads(self) -> int:
        """In how many threads it runs where none are asked for."""
        return 1

    def export(
        self,
        model: keras.Model,
        path: Path,
        batch: int = 1,
        precision: str = F32.name,
        samples: Arrays | None = None,
    ) -> None:
        """Writes a model with its weights, for a fixed batch, at a precision, atomically.

        samples: some hundreds for a precision that needs them, an array (n, ...) for each input. Raises UserError where
        a package is missing, the file can't be written, the inputs have no fixed sizes, samples are missing or have
        other shapes, and with the operation and its layer where the format has none for it.
        """
        self.check(precision)
        wanted = precision_named(precision)
        if path.suffix != self.suffix:
            raise UserError(f"a model for {self.title} is written as a {self.suffix} file; got '{path.name}'")
        if wanted.needs_samples:
            check_calibration(model, wanted, samples)
        with whole_file(path) as partial:
            self.write(model, partial, batch)
            if wanted != F32:
                try:
                    self.quantize(partial, wanted, in_batches(samples or (), batch))
                except Exception as error:  # whatever quantizers raise
                    raise failure(f"{self.title} at precision {precision}", model, error) from error
            self.shrink(partial)

    @abstractmethod
    def write(self, model: keras.Model, path: Path, batch: int) -> None:
        """Writes a model in single precision to a temporary file; called by ``export``."""

    def quantize(self, path: Path, precision: Precision, batches: Iterable[Arrays]) -> None:
        """Rewrites a temporary file at another precision; called by ``export``. batches: of samples, if it needs
        them."""
        raise NotImplementedError

    def shrink(self, path: Path) -> None:  # noqa: B027
        """Rewrites a temporary file without what the runtime doesn't read; called by ``export``."""

    @abstractmethod
    def parts(self, models: Sequence[keras.Model], batch: int, precision: str = F32.name) -> list[Content]:
        """What ``load`` takes for each of several models with one input and one output, written at once.

        Where their maps are integers, so are the inputs and outputs: within a network they are not turned into floats.
        The layers' names must differ between all models. Raises UserError as ``export`` does.
        """

    @abstractmethod
    def load(self, model: Content, threads: int) -> Session:
        """A session of a model in this runtime's format: a path or bytes.

        Raises UserError where it can't be read or has an operation that the runtime lacks.
        """


def random_input(shape: Sequence[int], dtype: Any, seed: int = 0) -> NDArray[Any]:
    """Fixed random values of a normal distribution; zeros of whole numbers, which may be indices."""
    if not np.issubdtype(dtype, np.floating):
        return np.zeros(shape, dtype)
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def check_calibration(model: keras.Model, precision: Precision, samples: Arrays | None) -> None:
    """Raises UserError where there are no samples for a precision that needs them, or they don't fit the model."""
    if not samples or not len(samples[0]):
        raise UserError(
            f"precision {precision.name} takes the ranges of maps from samples; give some hundreds of the model's "
            "inputs to calibrate on (--calibrate DATA), without labels"
        )
    check_samples(model, samples)


def random_samples(models: Sequence[keras.Model], batch: int) -> list[NDArray[Any]]:
    """Random values for the inputs of several models, some batches of each."""
    shapes = [
        (shape, put.dtype)
        for one in models
        for shape, put in zip(input_shapes(one, RANDOM_SAMPLES * batch), one.inputs, strict=True)
    ]
    return [random_input(shape, dtype, seed=number) for number, (shape, dtype) in enumerate(shapes)]
