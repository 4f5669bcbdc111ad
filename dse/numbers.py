"""Numbers formatted for people."""

from __future__ import annotations

PREFIXES = ("", "k", "M", "G", "T", "P")

MISSING = "–"


def si(number: float | None, unit: str = "") -> str:
    """Three digits with a unit prefix: 61.7k, or 3.1 MB with the unit "B"; a dash for None."""
    if number is None:
        return MISSING
    power = 0
    while abs(number) >= 999.5 and power < len(PREFIXES) - 1:
        number /= 1000
        power += 1
    return f"{float(f'{number:.3g}'):g}{' ' if unit else ''}{PREFIXES[power]}{unit}"


def count(number: int | None) -> str:
    """All digits, in groups of three; a dash for None."""
    return MISSING if number is None else f"{number:,}"


def percent(fraction: float | None) -> str:
    """A fraction as percent with one decimal; a dash for None."""
    return MISSING if fraction is None else f"{_signed(100 * fraction)} %"


def change(reduction: float | None) -> str:
    """A reduction (a fraction) as a signed change: 0.6 is −60.0 %, -0.1 is +10.0 %; a dash for None."""
    if reduction is None:
        return MISSING
    return f"{'+' if reduction < 0 else ''}{_signed(-100 * reduction)} %"


def points(change: float | None) -> str:
    """A difference of fractions in percentage points, with its sign; a dash for None."""
    if change is None:
        return MISSING
    return f"{'+' if change > 0 else ''}{_signed(100 * change)} points"


def spread_text(low: float | None, high: float | None) -> str:
    """Two fractions between which another lies, in brackets, as percent; empty if they aren't known."""
    return "" if low is None or high is None else f" ({_signed(100 * low)}–{_signed(100 * high)})"


def decimals(number: float | None) -> str:
    """Three decimals; a dash for None."""
    return MISSING if number is None else f"{number:.3f}".replace("-", "−")


def _signed(number: float) -> str:
    """One decimal, with a real minus sign and no negative zero."""
    return f"{round(number, 1) + 0.0:.1f}".replace("-", "−")
