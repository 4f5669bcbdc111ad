"""What the decompositions work on."""

from __future__ import annotations

from typing import Any

Tensor = Any
"""A tensor of TensorLy's backend (a NumPy array unless told otherwise)."""
