"""How a model is trained."""

from __future__ import annotations

from dataclasses import dataclass

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
