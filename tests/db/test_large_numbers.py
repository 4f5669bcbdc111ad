"""Near 2^63, what views and queries say is what Python's integers say; what would pass it is refused at the door."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rankline.src.db.database import open_database
from rankline.src.dse.errors import UserError
from rankline.src.dse.layer import Layer, conv, dense
from rankline.src.dse.metric import METRICS, counted
from rankline.src.dse.options import Options
from rankline.src.dse.space import LARGEST_COUNT, spaces_of

RANKS = 24
"""Configurations that each space is narrowed to, by a multiple of the rank."""

NEAR = settings(max_examples=8, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))


@st.composite
def large(draw: st.DrawFn) -> tuple[Layer, Options]:
    """A matrix or a convolution that counts up to about 2^59, and a multiple of its rank."""
    inputs = draw(st.integers(2**14, 2**29))
    if draw(st.booleans()):
        outputs = min(2**29, 2**57 // inputs)
        found = dense("d", inputs, outputs, positions=draw(st.sampled_from([1, 1, 2**4])))
    else:
        channels, size = inputs % 2**17 + RANKS, draw(st.integers(4, 2**10))
        found = conv("d", (3, 3), channels, channels, (size, size))
    cap = min(found.kernel_elements * found.in_channels, found.out_channels)
    return found, Options(rank_multiple=cap // RANKS)


@NEAR
@given(large(), st.integers(0, RANKS - 1), st.integers(-1, 1))
def test_views_and_windows_are_exact_up_to_the_limit(drawn: tuple[Layer, Options], at: int, off: int) -> None:
    layer, options = drawn
    (space,) = spaces_of(layer, ("svd",), options)
    database = open_database("sqlite://")
    try:
        (branch,) = space.branches
    except UserError:
        with pytest.raises(UserError, match="64-bit"):
            database.explore([layer], name="net", methods=["svd"], options=options)
        return
    database.explore([layer], name="net", methods=["svd"], options=options)
    costs = [branch.polynomials.cost((options.rank_multiple * k,)) for k in range(1, branch.steps[0] + 1)]
    original = space.original
    better = [one for one in costs if one.params < original.params and one.flops < original.flops]
    percents = Counter((original.params - one.params) * 100 // original.params for one in better)
    with database.engine.connect() as connection:
        steps = connection.exec_driver_sql("SELECT percent, n FROM solution_step").all()
        rows = connection.exec_driver_sql("SELECT params, fm, flops FROM configuration").all()
    assert {row.percent: row.n for row in steps} == percents
    assert sorted(tuple(row) for row in rows) == sorted((one.params, one.fm, one.flops) for one in costs)
    found = database.solutions("d", "svd").within("all")
    for name, metric in counted().items():
        values = [metric.of(one) for one in costs]
        edge = values[at] + off
        assert found.where(**{name: (edge, None)}).count() == sum(value >= edge for value in values)
        assert found.where(**{name: (-(2**60), edge)}).count() == sum(value <= edge for value in values)
        half = sum(2 * value <= metric.of(original) for value in values)
        assert found.where(**{f"{name}_reduction": (0.5, None)}).count() == half
        assert metric.of(found.highest(name).cost) == max(values)
    assert int(found.to_pandas()["memory"].max()) == max(METRICS["memory"].of(one) for one in costs)
    database.close()


def test_twice_the_largest_count_in_8_bytes_each_fits_into_64_bits() -> None:
    assert 8 * 2 * LARGEST_COUNT < 2**63


MANY = [
    ([dense(f"f{j}", 2**28, 2**29, positions=2) for j in range(10)], "FLOPs"),
    ([dense(f"f{j}", 2**28, 2**29) for j in range(40)], "params"),
    ([Layer("k", "other", 0, 0, kept_because="big", kept_params=2**62)], "params"),
    ([Layer(f"k{j}", "other", 0, 0, kept_because="big", kept_fm=2**61) for j in range(3)], "feature-map elements"),
    ([Layer("k", "other", 0, 0, kept_because="big", kept_macs=2**62)], "FLOPs"),
    ([dense(f"f{j}", 2**12, 2**12) for j in range(100)], "configurations"),
]


@pytest.mark.parametrize(
    ("layers", "what"), MANY, ids=["flops", "sum of params", "params", "fm", "macs", "configurations"]
)
def test_a_network_whose_sums_would_not_fit_is_refused_before_a_file_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, layers: list[Layer], what: str
) -> None:
    if what == "configurations":  # no network with so many is quickly described
        monkeypatch.setattr("rankline.src.db.explore.network.LARGEST_SUM", 2**20)
        monkeypatch.setattr("rankline.src.db.explore.network.check_costs", lambda *_: None)
        monkeypatch.setattr("rankline.src.db.database.check_costs", lambda *_: None)
    database = open_database(str(tmp_path / "space.db"))
    with pytest.raises(UserError, match=rf"'net' has .* {what}, and at most .* fit"):
        database.explore(layers, name="net", methods=["svd"], options=Options(rank_multiple=2))
    assert not list(tmp_path.iterdir())


def test_into_a_database_that_is_there_they_are_refused_too(tmp_path: Path) -> None:
    database = open_database(str(tmp_path / "space.db"))
    database.explore([dense("d", 12, 10)], name="small")
    with pytest.raises(UserError, match="params, and at most"):
        database.explore([dense(f"f{j}", 2**28, 2**29) for j in range(40)], name="net", options=Options(max_rank=3))
    with database.engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM space").scalar() == 3
    database.close()
