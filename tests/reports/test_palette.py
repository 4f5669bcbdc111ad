from __future__ import annotations

import re

from rankline.src.dse.methods import METHODS
from rankline.src.reports.figures.palette import LOOKS, OTHER, PRUNED, QUANTIZED, look


def test_every_method_has_a_look_of_its_own() -> None:
    assert set(LOOKS) == set(METHODS)
    assert len({one.colour for one in LOOKS.values()}) == len(LOOKS)
    assert len({one.symbol for one in LOOKS.values()}) == len(LOOKS)
    assert all(re.fullmatch(r"#[0-9A-F]{6}", one.colour) for one in LOOKS.values())


def test_smaller_originals_look_like_no_method() -> None:
    looks = [*LOOKS.values(), OTHER, PRUNED, QUANTIZED]
    assert len({one.symbol for one in looks}) == len(looks)
    assert len({PRUNED.colour, QUANTIZED.colour} | {one.colour for one in LOOKS.values()}) == len(LOOKS) + 2


def test_colours_stand_out_on_paper_and_on_a_dark_screen() -> None:
    """Contrast as WCAG 2 defines it; 2 to 1 is enough for marks of this size that also differ in shape."""
    for one in (*LOOKS.values(), PRUNED, QUANTIZED):
        for ground in (1.0, _luminance("#14181C")):
            light, dark = sorted((_luminance(one.colour), ground), reverse=True)
            assert (light + 0.05) / (dark + 0.05) > 2, one


def test_an_unknown_method_looks_neutral() -> None:
    assert look("a seventh") is OTHER


def test_fading_keeps_the_colour() -> None:
    assert look("tucker").faded(0.5) == "rgba(0,114,178,0.5)"


def _luminance(colour: str) -> float:
    parts = [int(colour[j : j + 2], 16) / 255 for j in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
