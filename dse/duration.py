"""Durations: whole picoseconds for computing, with units for people."""

from __future__ import annotations

import re
from fractions import Fraction

from rankline.src.dse.errors import UserError, short

UNITS = {"ps": 1, "ns": 10**3, "us": 10**6, "µs": 10**6, "μs": 10**6, "ms": 10**9, "s": 10**12}
"""Picoseconds of each unit. The Greek mu is not the micro sign, and keyboards have either."""

SHOWN = ("ps", "ns", "us", "ms", "s")


def picoseconds(text: str) -> Fraction:
    """The exact duration of a text such as ``200us`` or ``1.5 ms``. Raises UserError naming the units."""
    number, unit = re.fullmatch(r"\s*(.*?)\s*([^\W\d_]*)\s*", text, re.DOTALL).groups()  # type: ignore[union-attr]
    try:
        return Fraction(number) * UNITS[unit]
    except (KeyError, ValueError, ZeroDivisionError):
        units = "ns, us, ms or s"
        raise UserError(f"{short(text)} is not a duration; give a number with its unit ({units}): 200us") from None


def duration_text(duration: int) -> str:
    """Picoseconds as people read them, with three digits: ``214 us``."""
    for unit in SHOWN:
        value = duration / UNITS[unit]
        if abs(value) < 999.5:
            break
    return f"{value:,.0f} {unit}" if abs(value) >= 100 else f"{value:.3g} {unit}"
