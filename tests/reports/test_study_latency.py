"""The study's latencies on a device: against brute force, and what is told of a device that can't tell all."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from statistics import median

import pytest

from rankline.src.db.database import Database, open_database
from rankline.src.dse.errors import UserError
from rankline.src.dse.layer import Layer, conv, dense
from rankline.src.reports.study.files import page, write_study
from rankline.src.reports.study.latencies import LEVELS, NEAR, Latencies, OnDevice, latencies, measure_on
from rankline.src.reports.study.latency_tables import TimedGroup, answer, faster_table, latency_table
from rankline.src.reports.study.networks import KnownSpace, Studied, StudiedLayer, studied
from rankline.src.reports.study.study import Study, study
from tests.helpers import brute
from tests.helpers.devices import made_up_device
from tests.helpers.latency_models import configurations, original_latency
from tests.helpers.report_page import Page

SMALL = [
    conv("conv", (3, 2), 4, 6, (6, 6), 2),
    conv("pointwise", (1, 1), 8, 6, (4, 4)),
    dense("dense", 12, 8),
]

PARTS = ["counts", "steps", "constraints", "scores"]


def quiet(label: str, done: int, total: int) -> None:
    pass


def study_of(location: str, part: str = "latency", device: str | None = None) -> Study:
    return study(location, part, 0.25, lambda: 0.0, quiet, (), device)


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Database]:
    database = open_database(str(tmp_path / "small.db"))
    database.explore(SMALL, name="small")
    yield database
    database.close()


@pytest.fixture
def lenet5(tmp_path: Path) -> Iterator[Database]:
    """One of the fourteen networks, under a name of its own, and no device."""
    database = open_database(str(tmp_path / "zoo.db"))
    database.explore("zoo:lenet5", name="mine")
    yield database
    database.close()


@pytest.mark.parametrize("tile", [1, 4, 16])
@pytest.mark.parametrize("layer", SMALL, ids=lambda layer: layer.name)
def test_latencies_of_a_space_match_brute_force(small: Database, layer: Layer, tile: int) -> None:
    model = made_up_device(tile=tile).model
    whole = brute.original(layer).params
    time = original_latency(layer, model)
    for method in [row.method for row in small.spaces("small") if row.layer == layer.name]:
        found = latencies(small.solutions(layer.name, method, "small", model))
        every = configurations(layer, method, model)
        better = [one for one in every if one.better]
        assert (found.original, found.n_better) == (time, len(better))
        assert found.n_faster == sum((one.cost.latency or 0) < time for one in better)
        for level, lowest in zip(LEVELS, found.lowest, strict=True):
            saved = [(1 - Fraction(one.cost.params, whole), one.cost.latency) for one in every if one.useful]
            at = [pair for pair in saved if Fraction(level) <= pair[0] < Fraction(level) + NEAR]
            near = [pair for pair in at if pair[0] < Fraction(level) + Fraction("0.005")]
            nearest = near or [pair for pair in at if pair[0] == min(at)[0]]
            assert lowest == min((pair[1] for pair in nearest), default=None)


def layer_of(*methods: str, network: str = "n", name: str = "a", kind: str = "conv") -> StudiedLayer:
    """A layer with spaces of their own."""
    made = conv(name, (3, 3), 4, 4, (8, 8)) if kind == "conv" else dense(name, 8, 8)
    first = sum(map(ord, network + name)) * 100
    return StudiedLayer(network, made, {method: KnownSpace(first + j, 1, 1) for j, method in enumerate(methods)})


def timed_of(*known: tuple[StudiedLayer, dict[str, int | None]]) -> OnDevice:
    """Layers of 100 ps, with a lowest latency of each method at every level."""
    spaces = {
        layer.spaces[method].id: Latencies(100, (time,) * len(LEVELS), 10, 0 if time is None or time >= 100 else 4)
        for layer, times in known
        for method, time in times.items()
    }
    return OnDevice(made_up_device(), spaces)


def test_the_fastest_method_of_a_layer_counts_for_every_layer_and_ties_count_for_all_that_share_them() -> None:
    layers = [layer_of("tucker", "cp", "tt", name=name) for name in "abcd"]
    timed = timed_of(
        (layers[0], {"tucker": 50, "cp": 40, "tt": 40}),
        (layers[1], {"tucker": 30, "cp": 60, "tt": None}),
        (layers[2], {"tucker": 150, "cp": 300, "tt": None}),
        (layers[3], {"tucker": None, "cp": None, "tt": None}),
    )
    table = latency_table(Studied(layers, ("n",), ()), timed)
    rows = {row["method"]: row for row in table.rows if row["at"] == 0.5}
    assert [rows[name]["fastest"] for name in ("Tucker", "CP", "TT")] == pytest.approx([2 / 3, 1 / 3, 1 / 3])
    assert rows["Tucker"]["score"] == pytest.approx((40 / 50 + 1 + 1) / 3)
    assert rows["CP"]["score"] == pytest.approx((1 + 30 / 60 + 150 / 300) / 3)
    assert rows["TT"]["score"] == pytest.approx(1 / 3), "0 on layers without a solution of its own"
    assert [rows[name]["n_with"] for name in ("Tucker", "CP", "TT")] == [3, 3, 1]
    assert [rows[name]["n_faster"] for name in ("Tucker", "CP", "TT")] == [2, 2, 1]
    own = rows["Tucker"]
    assert [own[key] for key in ("least", "median", "largest")] == [0.3, median([0.5, 0.3, 1.5]), 1.5]
    assert "Most often fastest at a params reduction of 50.0 %: Tucker on 66.7 % of 3 conv layers." in table.notes


def test_how_many_better_solutions_are_faster_is_told_in_all_and_by_layer() -> None:
    layers = [layer_of("tucker", "cp", name=name) for name in "ab"]
    timed = timed_of((layers[0], {"tucker": 50, "cp": 140}), (layers[1], {"tucker": 30, "cp": 60}))
    tucker, cp = faster_table(Studied(layers, ("n",), ()), timed).rows
    assert (tucker["n_better"], tucker["n_faster"], tucker["share"], tucker["n_never"]) == (20, 8, 0.4, 0)
    assert (cp["n_better"], cp["n_faster"], cp["mean_share"], cp["n_never"]) == (20, 4, 0.2, 1)


def test_methods_and_layers_that_the_device_cannot_tell_are_left_out_and_named() -> None:
    layers = [
        layer_of("tucker", "cp", name="a"),
        layer_of("tucker", "cp", name="b"),
        layer_of("tucker", "cp", network="m", name="c"),
        layer_of("svd", name="d", kind="dense"),
    ]
    timed = timed_of((layers[0], {"tucker": 50, "cp": 40}), (layers[1], {"tucker": 50}), (layers[2], {"tucker": 50}))
    table = latency_table(Studied(layers, ("n", "m"), ()), timed)
    told = [note for note in table.notes if note.startswith("Left out")]
    since = "Left out, since the device has no numbers for them"
    assert told == [f"{since}: CP on b of n; c of m.", f"{since}: SVD on all layers."]
    assert {row["layers"] for row in table.rows} == {"conv"}
    assert {row["method"]: row["n_layers"] for row in table.rows} == {"Tucker": 3, "CP": 1}


def test_without_any_solution_the_answer_says_so() -> None:
    layer = layer_of("tucker")
    known = timed_of((layer, {"tucker": None})).of(layer)
    assert answer([TimedGroup("conv", (known,))]).endswith("50.0 %: no method has a solution.")
    assert answer([]).endswith("50.0 %: no method has a solution.")


def test_a_device_without_numbers_for_a_kind_leaves_out_the_methods_that_need_it(lenet5: Database) -> None:
    layers = studied(lenet5).layers
    timed = measure_on(lenet5, made_up_device(leave_out="core"), layers, quiet)
    left_out = timed.left_out(layers)
    assert {method: [one.layer.name for one in some] for method, some in left_out.items()} == {
        "t3f": ["fc1", "fc2", "fc3"]
    }
    assert all(timed.of(one) for one in layers)


def test_the_study_is_the_same_without_a_device(lenet5: Database) -> None:
    before = study_of(lenet5.location, "all")
    assert ([section.name for section in before.sections], before.device) == (PARTS, None)
    lenet5.save_device(made_up_device("laptop"))
    one = study_of(lenet5.location, "all")
    assert [section.name for section in one.sections] == [*PARTS, "latency"]
    assert one.device is not None
    assert one.device.name == "laptop"
    lenet5.save_device(made_up_device("phone"))
    assert page(study_of(lenet5.location, "all")) == page(before)
    named = study_of(lenet5.location, "all", "phone").sections[-1]
    assert named.title == "Latency on phone"


def test_a_device_that_is_missing_or_not_asked_for_is_told(lenet5: Database) -> None:
    with pytest.raises(UserError, match="no device yet; add one with: rankline device add"):
        study_of(lenet5.location)
    lenet5.save_device(made_up_device("laptop"))
    with pytest.raises(UserError, match="unknown device 'lapto'; did you mean 'laptop'"):
        study_of(lenet5.location, device="lapto")
    with pytest.raises(UserError, match="a device is for the tables of latency, not for steps"):
        study_of(lenet5.location, "steps", "laptop")
    lenet5.save_device(made_up_device("phone"))
    with pytest.raises(UserError, match="2 devices; choose one with --device"):
        study_of(lenet5.location)


def test_the_lowest_latency_is_that_of_a_query_at_the_level(lenet5: Database) -> None:
    lenet5.save_device(made_up_device("laptop"))
    (section,) = study_of(lenet5.location).sections
    rows = [row for row in section.tables[0].rows if (row["at"], row["layers"], row["method"]) == (0.5, "conv", "CP")]
    shares = []
    for layer in ("conv1", "conv2"):
        useful = lenet5.solutions(layer, "cp", "mine", "laptop").within("useful")
        shares.append(1 - useful.at(0.5).lowest("latency").reduction("latency"))
    assert [rows[0][key] for key in ("least", "median", "largest")] == pytest.approx(
        [min(shares), median(shares), max(shares)]
    )


def test_its_files_and_page_show_its_tables_and_figures(lenet5: Database, tmp_path: Path) -> None:
    lenet5.save_device(made_up_device("laptop"))
    done = study_of(lenet5.location)
    names = [path.name for path in write_study(done, tmp_path / "out")]
    stems = ("latency", "latency_faster")
    assert names == [*(f"{stem}.{kind}" for stem in stems for kind in ("csv", "tex")), "study.html"]
    shown = Page(page(done))
    assert set(shown.figures) == {f"latency-{j}" for j in range(1, 5)}, "two for convolutions, two for dense layers"
    for table in done.tables():
        assert all(note in shown.text for note in table.notes)
        assert all(cell in shown.text for row in table.texts() for cell in row)


def test_figures_draw_what_the_table_says(lenet5: Database) -> None:
    lenet5.save_device(made_up_device("laptop"))
    (section,) = study_of(lenet5.location).sections
    (_, lowest), (_, fastest) = section.figures[:2]
    rows = [row for row in section.tables[0].rows if row["layers"] == "conv"]
    for trace in lowest.data:
        own = [row for row in rows if row["method"] == trace.name and row["n_with"]]
        assert list(trace.y) == pytest.approx([100 * row["median"] for row in own])
        tops = [a + b for a, b in zip(trace.y, trace.error_y.array, strict=True)]
        ends = [a - b for a, b in zip(trace.y, trace.error_y.arrayminus, strict=True)]
        assert tops == pytest.approx([100 * row["largest"] for row in own])
        assert ends == pytest.approx([100 * row["least"] for row in own])
    for trace in fastest.data:
        own = [row for row in rows if row["method"] == trace.name and row["fastest"] is not None]
        assert list(trace.y) == pytest.approx([100 * row["fastest"] for row in own])
