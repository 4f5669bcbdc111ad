"""The tensor type of the decompositions."""

from __future__ import annotations

from typing import Any

Tensor = Any
"""A tensor of TensorLy's backend (by default a NumPy array)."""
