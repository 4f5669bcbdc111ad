"""The machine's clock, where a file must hold its date."""

from __future__ import annotations

import time

from rankline.src.dse.errors import UserError

ZIP_YEARS = range(1980, 2108)
"""The years that a ZIP archive can hold, as .keras and .npz files are."""


def check_clock() -> None:
    """Raises UserError where the clock stands at a date that a .keras or .npz file can't hold."""
    now = time.localtime(time.time())  # as zipfile asks
    if now.tm_year not in ZIP_YEARS:
        raise UserError(
            f"this machine's clock stands at {now.tm_year}-{now.tm_mon:02}-{now.tm_mday:02}, and a .keras or .npz file "
            f"only holds dates from {ZIP_YEARS[0]} to {ZIP_YEARS[-1]}; set the clock"
        )
