"""The options that restrict a solution space."""

from __future__ import annotations

from dataclasses import dataclass

from rankline.src.dse.errors import UserError

SHAPE_ORDERS = ("aligned", "all")


@dataclass(frozen=True)
class Options:
    """Restrictions of a space; the defaults restrict nothing.

    rank_multiple: keep only ranks that are multiples of it (hardware prefers 8 or 16);
    max_rank: the largest value of any rank;
    max_lines: refuse a larger space instead of filling the disk;
    t3f_cores: numbers of cores;
    t3f_order: ``aligned`` (output modes non-increasing, input modes non-decreasing: the cheapest order) or ``all``
        ordered pairs of factorizations.
    """

    rank_multiple: int = 1
    max_rank: int | None = None
    t3f_cores: tuple[int, ...] = (2, 3)
    t3f_order: str = "aligned"
    max_lines: int = 1_000_000

    def __post_init__(self) -> None:
        for name in ("rank_multiple", "max_rank", "max_lines"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UserError(f"{name} must be at least 1; got {value}")
        if not self.t3f_cores or not all(2 <= cores <= 5 for cores in self.t3f_cores):
            raise UserError(f"t3f_cores must be numbers from 2 to 5; got {list(self.t3f_cores)}")
        if self.t3f_order not in SHAPE_ORDERS:
            raise UserError(f"t3f_order must be one of {', '.join(SHAPE_ORDERS)}; got '{self.t3f_order}'")
