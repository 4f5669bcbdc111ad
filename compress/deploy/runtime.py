"""The interface of a runtime: it writes a Keras model in its format, and runs it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rankline.src.compress.deploy.timing import machine
from rankline.src.dse.errors import UserError
from rankline.src.dse.whole_file import whole_file

if TYPE_CHECKING:
    import keras

Content = Any
"""What a runtime loads: the bytes of a file or its path, or a model for a runtime that has no files."""

Arrays = Sequence[NDArray[Any]]


class Session(ABC):
    """A model that is ready to run.

    - ``call``: one inference on fixed random inputs; returns when it is done
    """

    call: Callable[[], object]

    @abstractmethod
    def run(self, arrays: Arrays) -> list[NDArray[Any]]:
        """All outputs, for an array of the model's shape for each input."""


class Runtime(ABC):
    """What runs models. ``name`` is what users type and a device stores, ``title`` what they read.

    - ``packages``: the modules that it needs
    - ``suffix``: of its files; empty where it has none
    - ``pads``: whether it works in blocks of channels, so that ranks are padded to them when a model is written
    """

    name: str
    title: str
    packages: tuple[str, ...]
    suffix: str = ""
    pads: bool = False

    def check(self) -> None:
        """Raises UserError, with the extra that installs it, where a package is missing."""
        for package in self.packages:
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

    def export(self, model: keras.Model, path: Path, batch: int = 1) -> None:
        """Writes a model with its weights, for a fixed batch, atomically.

        Raises UserError where a package is missing, the file can't be written, the inputs have no fixed sizes, and
        with the operation and its layer where the format has none for it.
        """
        self.check()
        if path.suffix != self.suffix:
            raise UserError(f"a model for {self.title} is written as a {self.suffix} file; got '{path.name}'")
        with whole_file(path) as partial:
            self.write(model, partial, batch)

    @abstractmethod
    def write(self, model: keras.Model, path: Path, batch: int) -> None:
        """Writes a model to a temporary file; called by ``export``."""

    @abstractmethod
    def parts(self, models: Sequence[keras.Model], batch: int) -> list[Content]:
        """What ``load`` takes for each of several models with one input and one output, written at once.

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
