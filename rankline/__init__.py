"""Rankline: every low-rank factorization of a network's layers, in a database, and compression driven by it."""

from __future__ import annotations

from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any

from rankline.src.dse.keras_model import own_layers

if TYPE_CHECKING:
    from rankline.api import allocate, budget, compress, deploy, measure, refit, resume
    from rankline.src.compress.budget.settings import BudgetSettings
    from rankline.src.compress.data.scaling import Scaling
    from rankline.src.compress.data.sets import Data
    from rankline.src.compress.deploy.settings import DeploySettings
    from rankline.src.compress.fit.measured_errors import measure_errors
    from rankline.src.compress.fit.refit import FitSettings
    from rankline.src.compress.model.surgery import factorize
    from rankline.src.compress.runs.settings import Settings
    from rankline.src.compress.training.settings import FineTuning
    from rankline.src.db.database import open_database as open
    from rankline.src.db.queries.sql import run_sql
    from rankline.src.dse.configuration import Configuration
    from rankline.src.dse.errors import UserError

    __version__: str

__all__ = [
    "BudgetSettings", "Configuration", "Data", "DeploySettings", "FineTuning", "FitSettings", "Scaling", "Settings",
    "UserError", "__version__", "allocate", "budget", "compress", "deploy", "factorize", "measure", "measure_errors",
    "open", "refit", "resume", "run_sql",
]  # fmt: skip

_HOMES = {
    "open": ("rankline.src.db.database", "open_database"),
    "run_sql": ("rankline.src.db.queries.sql", "run_sql"),
    "measure_errors": ("rankline.src.compress.fit.measured_errors", "measure_errors"),
    "compress": ("rankline.api", "compress"),
    "resume": ("rankline.api", "resume"),
    "Settings": ("rankline.src.compress.runs.settings", "Settings"),
    "FineTuning": ("rankline.src.compress.training.settings", "FineTuning"),
    "Data": ("rankline.src.compress.data.sets", "Data"),
    "Scaling": ("rankline.src.compress.data.scaling", "Scaling"),
    "factorize": ("rankline.src.compress.model.surgery", "factorize"),
    "Configuration": ("rankline.src.dse.configuration", "Configuration"),
    "budget": ("rankline.api", "budget"),
    "allocate": ("rankline.api", "allocate"),
    "deploy": ("rankline.api", "deploy"),
    "measure": ("rankline.api", "measure"),
    "refit": ("rankline.api", "refit"),
    "BudgetSettings": ("rankline.src.compress.budget.settings", "BudgetSettings"),
    "DeploySettings": ("rankline.src.compress.deploy.settings", "DeploySettings"),
    "FitSettings": ("rankline.src.compress.fit.refit", "FitSettings"),
    "UserError": ("rankline.src.dse.errors", "UserError"),
}
"""Where each public name lives, in the order of the reference."""

_FORMER = {"Choice": "Configuration"}
"""Public names by which something was known before."""

# So that a saved model with our layers loads, in whatever room it is asked for.
own_layers.REGISTER.append(partial(import_module, "rankline.layers"))


def __getattr__(name: str) -> Any:
    """Imports on first use, so that ``import rankline`` stays quick."""
    if name == "__version__":
        from importlib.metadata import version

        return version("rankline")
    name = _FORMER.get(name, name)
    if name not in _HOMES:
        raise AttributeError(f"module 'rankline' has no attribute '{name}'")
    module, attribute = _HOMES[name]
    return getattr(import_module(module), attribute)


def __dir__() -> list[str]:
    return sorted(__all__)
