"""Numbers as people read them."""

from __future__ import annotations

PREFIXES = ("", "k", "M", "G", "T", "P")


def people(number: float) -> str:
    """A count in three digits with a unit prefix: 61.7k."""
    power = 0
    while abs(number) >= 999.5 and power < len(PREFIXES) - 1:
        number /= 1000
        power += 1
    return f"{number:.3g}{PREFIXES[power]}"


def percent(fraction: float | None) -> str:
    """A fraction as percent with one decimal; a dash for None."""
    return "-" if fraction is None else f"{100 * fraction:.1f} %"
