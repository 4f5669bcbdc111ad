"""How a model is trained, and what for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rankline.src.dse.errors import UserError


@dataclass(frozen=True)
class FineTuning:
    """How a model is trained: at most ``epochs``, Adam at ``learning_rate``, halved after ``patience`` / 2 epochs
    without a better validation loss, stopped after ``patience``; the best epoch's weights are kept."""

    epochs: int = 10
    learning_rate: float = 1e-4
    batch_size: int = 32
    patience: int = 4

    def __post_init__(self) -> None:
        for name, low in (("epochs", 0), ("batch_size", 1), ("patience", 1)):
            if getattr(self, name) < low:
                raise UserError(f"{name} must be at least {low}; got {getattr(self, name)}")
        if not 0 < self.learning_rate <= 1:
            raise UserError(f"learning_rate must be above 0 and up to 1; got {self.learning_rate}")


@dataclass(frozen=True)
class Aim:
    """What a model is trained for and judged by, where it isn't a classifier by its accuracy, nor as it was compiled.

    ``loss``, ``score``: a name of Keras (``mean_absolute_error``), ``package.module:function``, or a function of labels
    and outputs (a higher score is better); of several outputs ``OUTPUT=NAME``, for losses separated by commas
    """

    loss: str | Callable[..., Any] | None = None
    score: str | Callable[..., Any] | None = None

    @property
    def is_given(self) -> bool:
        """Whether anything is asked for."""
        return self.loss is not None or self.score is not None

    @property
    def names(self) -> dict[str, str]:
        """What is given by name, for the record."""
        return {name: one for name, one in vars(self).items() if isinstance(one, str)}


AS_COMPILED = Aim()
