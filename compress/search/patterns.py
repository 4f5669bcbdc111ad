"""Layers by name or pattern."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase

from rankline.src.dse.errors import one_of
from rankline.src.dse.keras_model.saved import SavedLayer


def matching(names: Sequence[str], patterns: Sequence[str], told: Sequence[str] | None = None) -> set[str]:
    """The names that fit one of the patterns. Raises UserError for a pattern that fits none, with those to tell of
    (``told``, by default all)."""
    found: set[str] = set()
    for pattern in patterns:
        fitting = {name for name in names if fnmatchcase(name, pattern)}
        if not fitting:
            raise one_of("layer", pattern, list(names if told is None else told))
        found |= fitting
    return found


def check_patterns(saved: Sequence[SavedLayer] | None, *patterns: Sequence[str]) -> None:
    """Raises UserError for a pattern that fits no layer of a saved model, as far as its layers are known.

    Layers without a kernel are fitted too: of a class of the user's own, nobody can tell yet.
    """
    if saved is None:
        return
    told = [layer.path for layer in saved if layer.has_kernel]
    for some in patterns:
        matching([layer.path for layer in saved], some, told)
