"""Rankline: every low-rank factorization of a network's layers, in a database, and compression driven by it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rankline.api import allocate, budget, compress, refit, resume
    from rankline.src.compress.fit.measured_errors import measure_errors
    from rankline.src.compress.fit.refit import FitSettings
    from rankline.src.compress.model.surgery import factorize
    from rankline.src.db.database import open_database as open
    from rankline.src.dse.errors import UserError

__all__ = [
    "FitSettings", "UserError", "allocate", "budget", "compress", "factorize", "measure_errors", "open", "refit",
    "resume",
]  # fmt: skip

_HOMES = {
    "open": ("rankline.src.db.database", "open_database"),
    "compress": ("rankline.api", "compress"),
    "resume": ("rankline.api", "resume"),
    "allocate": ("rankline.api", "allocate"),
    "refit": ("rankline.api", "refit"),
    "budget": ("rankline.api", "budget"),
    "FitSettings": ("rankline.src.compress.fit.refit", "FitSettings"),
    "factorize": ("rankline.src.compress.model.surgery", "factorize"),
    "measure_errors": ("rankline.src.compress.fit.measured_errors", "measure_errors"),
    "UserError": ("rankline.src.dse.errors", "UserError"),
}


def __getattr__(name: str) -> Any:
    """Loads on first use, so that the import stays quick."""
    if name not in _HOMES:
        raise AttributeError(f"module 'rankline' has no attribute '{name}'")
    from importlib import import_module

    module, attribute = _HOMES[name]
    return getattr(import_module(module), attribute)
