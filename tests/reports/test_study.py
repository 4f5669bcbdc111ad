from __future__ import annotations

import csv
import io
import itertools
from collections.abc import Iterator
from fractions import Fraction
from math import log10
from pathlib import Path
from statistics import median
from typing import Any

import pytest

from rankline.src.db.database import Database, open_database
from rankline.src.dse.errors import UserError
from rankline.src.dse.layer import Layer, conv, dense
from rankline.src.dse.methods import METHODS
from rankline.src.dse.space import spaces_of
from rankline.src.reports.report.latex import PAGE_ROWS, escaped, latex
from rankline.src.reports.report.table import Column, Table, counted
from rankline.src.reports.study.constraints import constraints, groups
from rankline.src.reports.study.counts import counts, times
from rankline.src.reports.study.files import page, write_study
from rankline.src.reports.study.measures import CONSTRAINTS, Measures, measure, measure_all
from rankline.src.reports.study.networks import KnownSpace, Studied, StudiedLayer, studied
from rankline.src.reports.study.published import (
    CASES,
    CONV_METHODS,
    DENSE_METHODS,
    LONGEST_SECONDS,
    Case,
    Counts,
    agrees,
)
from rankline.src.reports.study.scores import CRITERIA, layer_scores, scores
from rankline.src.reports.study.segments import computed, stored
from rankline.src.reports.study.steps import levels_of, steps
from rankline.src.reports.study.study import Study, study
from tests.helpers import brute
from tests.helpers.report_page import Page

TINY = (
    Case("conv", 2, conv("a", (3, 2), 4, 6, (6, 6), 2), CONV_METHODS, {"cp": Counts("2.4E+1", "9E+9")}),
    Case("dense", None, dense("b", 12, 8), DENSE_METHODS),
)


def quiet(label: str, done: int, total: int) -> None:
    pass


def ticks() -> Iterator[float]:
    return (float(second) for second in itertools.count())


def tiny_study(location: str, part: str = "all") -> Study:
    seconds = ticks()
    return study(location, part, 0.25, lambda: next(seconds), quiet, TINY)


@pytest.fixture(scope="module")
def lenet5(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """A database with one of the fourteen networks, and one that is none of them."""
    opened = open_database(str(tmp_path_factory.mktemp("study") / "zoo.db"))
    opened.explore("zoo:lenet5")
    opened.explore([conv("other", (3, 3), 3, 4, (6, 6))], name="vgg16")
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def found(lenet5: Database) -> Studied:
    return studied(lenet5)


@pytest.fixture(scope="module")
def measures(lenet5: Database, found: Studied) -> dict[int, Measures]:
    return measure_all(lenet5.engine, found.layers, quiet)


def test_the_layers_have_the_reference_counts() -> None:
    rows = {(row["layer"], row["stride"], row["method"]): row for row in counts().rows}
    expected = {
        ("conv (3,3,256,512)", 1, "Tucker"): (131_072, 126_749),
        ("conv (3,3,256,512)", 1, "CP"): (2_304, 1_524),
        ("conv (3,3,256,512)", 2, "CP"): (2_304, 763),
        ("conv (3,3,256,512)", 1, "TT"): (100_663_296, 90_722_151),
        ("conv 1-D (3,512,1024)", 1, "Tucker"): (524_288, 412_935),
        ("conv 1-D (3,512,1024)", 1, "TT"): (524_288, 412_935),
        ("conv 1-D (3,512,1024)", 1, "CP"): (1_536, 1_022),
        ("dense (400,120)", None, "SVD"): (120, 92),
        ("dense (512,512)", None, "QR"): (512, 255),
    }
    assert {key: (rows[key]["all"], rows[key]["better"]) for key in expected} == expected


def test_all_published_counts_agree_but_those_that_are_told() -> None:
    rows = counts().rows
    published = [row for row in rows if row["all_published"]]
    assert len(published) == 13
    assert all(row["all_agrees"] for row in published)
    different = {(row["layer"], row["stride"], row["method"]) for row in published if not row["better_agrees"]}
    layer = "conv (3,3,256,512)"
    assert different == {(layer, 1, "CP"), (layer, 1, "TT"), (layer, 2, "TT")}
    assert all(row["all_agrees"] is row["better_agrees"] is None for row in rows if row["method"] == "T3F")


@pytest.mark.parametrize(
    ("number", "published", "same"),
    [
        (131_072, "1.3E+5", True),
        (139_999, "1.3E+5", True),
        (140_000, "1.3E+5", False),
        (1_310_720, "1.3E+5", False),
        (763, "7.6E+2", True),
        (1_524, "7.6E+2", False),
        (92, "9E+1", True),
        (9, "9.0E+0", True),
        (0, "9E+1", False),
    ],
)
def test_a_number_agrees_when_it_is_the_published_one_rounded_down(number: int, published: str, same: bool) -> None:
    assert agrees(number, published) is same


@pytest.mark.parametrize("case", TINY, ids=lambda case: case.title)
def test_counts_match_brute_force(case: Case) -> None:
    for row, method in zip(counts([case]).rows, case.methods, strict=True):
        every = list(brute.configurations(case.layer, method))
        assert row["all"] == len(every)
        assert row["better"] == sum(one.better for one in every)
        assert row["useful"] == sum(one.useful for one in every)


@pytest.mark.parametrize("step", [0.1, 0.25, 0.3])
@pytest.mark.parametrize("case", TINY, ids=lambda case: case.title)
def test_steps_match_brute_force(case: Case, step: float) -> None:
    whole = brute.original(case.layer).params
    levels = [tuple(map(Fraction, pair)) for pair in levels_of(step)]
    table = steps(step, [case])
    keys = [column.key for column in table.columns][4:]
    pairs = itertools.product(case.methods, ("better", "useful"))
    for row, (method, chosen) in zip(table.rows, pairs, strict=True):
        assert (row["method"], row["set"]) == (METHODS[method].title, chosen)
        members = [one for one in brute.configurations(case.layer, method) if getattr(one, chosen)]
        saved = [1 - Fraction(one.cost.params, whole) for one in members]
        assert [row[key] for key in keys] == [sum(low <= one < high for one in saved) for low, high in levels]
        assert sum(row[key] for key in keys) == len(members)


@pytest.mark.parametrize("step", [0, -0.1, 1.5, 0.0001, float("nan"), float("inf")])
def test_a_bad_step_is_told(step: float) -> None:
    with pytest.raises(UserError, match="a step must be a fraction"):
        levels_of(step)


def test_segments_from_the_database_are_those_from_the_formulas(lenet5: Database, found: Studied) -> None:
    for one in found.layers:
        for space in spaces_of(one.layer):
            of_formulas, of_database = computed(space), stored(lenet5.engine, one.spaces[space.method].id)
            for chosen in ("better", "useful"):
                mine, theirs = of_formulas[chosen], of_database[chosen]
                assert mine.count == theirs.count
                for metric in ("params", "fm", "flops", "memory"):
                    assert mine.extremes(metric) == theirs.extremes(metric)


@pytest.mark.parametrize("case", TINY, ids=lambda case: case.title)
def test_measures_match_brute_force(case: Case) -> None:
    whole = brute.original(case.layer)
    for space in spaces_of(case.layer, case.methods):
        every = [one for one in brute.configurations(case.layer, space.method) if one.better]
        found = measure(computed(space), space.original)
        if not every:
            assert found.extremes is None
            continue
        memory = [4 * (one.cost.params + one.cost.fm) for one in every]
        assert found.extremes is not None
        assert found.extremes["memory"] == (min(memory), max(memory))
        assert found.extremes["params"] == _ends([one.cost.params for one in every])
        assert found.extremes["flops"] == _ends([one.cost.flops for one in every])
        by_level: dict[int, list[int]] = {}
        for one in every:
            by_level.setdefault(100 * (whole.params - one.cost.params) // whole.params, []).append(one.cost.flops)
        assert found.covered["params"] == len(by_level) / 100
        flops_levels = {100 * (whole.flops - one.cost.flops) // whole.flops for one in every}
        assert found.covered["flops"] == len(flops_levels) / 100
        widths = [(max(values) - min(values)) / whole.flops for values in by_level.values()]
        assert found.width == pytest.approx(sum(widths) / len(widths))
        for metric, other in (("params", "flops"), ("flops", "params")):
            useful = [one.cost for one in every if one.useful]
            for level, pair in zip(CONSTRAINTS, found.given[metric], strict=True):
                low, high = Fraction(level), Fraction(level) + Fraction("0.005")
                inside = [
                    1 - getattr(cost, other) / getattr(whole, other)
                    for cost in useful
                    if low <= 1 - Fraction(getattr(cost, metric), getattr(whole, metric)) < high
                ]
                assert pair == (pytest.approx(_ends(inside)) if inside else None)


def _ends(values: list[Any]) -> tuple[Any, Any]:
    return min(values), max(values)


def test_fixed_reductions_are_summed_up_over_the_distinct_layers(
    lenet5: Database, found: Studied, measures: dict[int, Measures]
) -> None:
    (group,) = groups(found)
    assert [one.layer.name for one in group.layers] == ["conv1", "conv2"]
    for metric, other in (("params", "flops"), ("flops", "params")):
        table = constraints(found, measures, metric)
        assert [row["method"] for row in table.rows[:5]] == ["Tucker", "CP", "TT", "SVD", "Spatial SVD"]
        for row in table.rows:
            method = next(name for name, one in METHODS.items() if one.title == row["method"])
            ranges = []
            for layer in ("conv1", "conv2"):
                window = {f"{metric}_reduction": (str(row["at"]), str(Fraction(str(row["at"])) + Fraction("0.005")))}
                solutions = lenet5.solutions(layer, method, "lenet5").where(**window)
                if solutions.count():
                    # The fewest FLOPs are the highest reduction.
                    values = [one.reduction(other) for one in _extremes(solutions, other)]
                    ranges.append((min(values), max(values)))
            assert row["n_layers"] == 2
            assert row["n_with"] == len(ranges)
            if ranges:
                assert row["least"] == pytest.approx(min(low for low, _ in ranges))
                assert row["largest"] == pytest.approx(max(high for _, high in ranges))
                assert row["median_low"] == pytest.approx(median(low for low, _ in ranges))
                assert row["widest"] == pytest.approx(max(high - low for low, high in ranges))
            else:
                assert row["least"] is row["median_high"] is row["widest"] is None


def _extremes(solutions: Any, metric: str) -> list[Any]:
    frame = solutions.to_pandas()
    return [
        solutions.where(**{metric: (int(v), int(v))}).lowest(metric) for v in (frame[metric].min(), frame[metric].max())
    ]


def test_equal_layers_are_one_distinct_layer(tmp_path: Path) -> None:
    def layer(name: str, stride: int, kernel: int = 3) -> StudiedLayer:
        return StudiedLayer("n", conv(name, (kernel, kernel), 4, 4, (8, 8), stride), {"svd": KnownSpace(1, 1, 1)})

    made = Studied((layer("a", 1), layer("b", 1), layer("c", 2), layer("d", 1, kernel=1)), ("n",), ())
    assert [(one.title, [own.layer.name for own in one.layers]) for one in groups(made)] == [
        ("conv", ["a", "c"]),
        ("1×1 conv", ["d"]),
    ]


LESS, MORE = CRITERIA[1], CRITERIA[7]


def scored(criterion: Any, values: dict[str, tuple[int, int] | None]) -> list[float]:
    """Scores where each method has the fewest params and the number of useful solutions given, or nothing."""
    spaces, measures = {}, {}
    for number, (method, pair) in enumerate(values.items()):
        spaces[method] = KnownSpace(number, number + 1, pair[1] if pair else 0)
        extremes = {"params": (pair[0], 100)} if pair else None
        measures[number] = Measures(extremes, {"params": 0.0, "flops": 0.0}, 0.0, {})
    layer = StudiedLayer("n", conv("a", (3, 3), 4, 4, (8, 8)), spaces)
    return layer_scores(criterion, layer, measures, list(values))


def test_the_best_method_of_a_layer_scores_one_and_the_others_in_proportion() -> None:
    values: dict[str, tuple[int, int] | None] = {"tucker": (10, 9), "cp": (40, 99), "tt": None}
    assert scored(LESS, values) == [1, 0.25, 0]
    assert scored(MORE, values) == pytest.approx([0.5, 1, 0])
    assert scored(CRITERIA[0], values) == pytest.approx([1, 1 / 2, 1 / 3]), "ranks are told without a solution too"


def test_methods_that_have_equally_nothing_of_what_is_more_score_one() -> None:
    assert scored(CRITERIA[8], {"svd": (10, 9), "qr": (10, 9)}) == [1, 1]


def test_scores_are_means_over_the_layers_of_the_network(found: Studied, measures: dict[int, Measures]) -> None:
    table = scores(found, measures, "dense")
    rows = {row["criterion"]: row for row in table.rows}
    assert len(rows) == len(CRITERIA)
    assert rows["rank configuration"]["svd"] == 1
    # Two ranks at most and a tensor shape; the outputs of fc3, 10, have two factors only: one rank and a shape.
    assert rows["rank configuration"]["t3f"] == pytest.approx((1 / 3 + 1 / 3 + 1 / 2) / 3)
    useful = {
        method: [one.spaces[method].n_useful for one in found.layers if method in one.spaces and "t3f" in one.spaces]
        for method in DENSE_METHODS
    }
    sizes = [[log10(1 + number) for number in column] for column in zip(*useful.values(), strict=True)]
    expected = [sum(column[j] / max(column) for column in sizes) / len(sizes) for j in range(3)]
    assert [rows["size of the space"][method] for method in DENSE_METHODS] == pytest.approx(expected)
    assert all(0 <= row[method] <= 1 for row in table.rows for method in DENSE_METHODS)
    assert "Over 3 layers to which all the methods apply." in table.notes
    assert any("Decomposition time is left out" in note for note in table.notes)


def test_scores_of_a_database_without_such_layers_are_empty(found: Studied) -> None:
    only_dense = Studied([one for one in found.layers if one.layer.kind == "dense"], ("lenet5",), ())
    table = scores(only_dense, {}, "conv")
    assert all(row[method] is None for row in table.rows for method in CONV_METHODS)


def test_missing_networks_are_told(found: Studied) -> None:
    assert found.present == ["lenet5"]
    assert len(found.missing) == 13
    assert "vgg16" in found.missing, "a network of that name from elsewhere is another one"
    assert found.coverage().startswith("1 of the 14 networks are in the database (lenet5); missing: alexnet, vgg11,")


@pytest.mark.parametrize("exists", [True, False])
def test_without_any_of_the_networks_the_error_tells_the_command(tmp_path: Path, exists: bool) -> None:
    path = tmp_path / "empty.db"
    if exists:
        database = open_database(str(path))
        database.explore([conv("a", (3, 3), 3, 4, (6, 6))], name="a")
        database.close()
    with pytest.raises(UserError, match="rankline explore --zoo --db .*empty.db") as raised:
        tiny_study(str(path))
    assert "\n" not in str(raised.value)


def test_counts_and_steps_need_no_database(tmp_path: Path) -> None:
    for part in ("counts", "steps"):
        assert [section.name for section in tiny_study(str(tmp_path / "none.db"), part).sections] == [part]


def test_an_unknown_table_is_told() -> None:
    with pytest.raises(UserError, match="unknown table 'score'; did you mean 'scores'"):
        tiny_study("none.db", "score")


def test_times_are_the_shortest_of_the_trials() -> None:
    seconds = ticks()
    rows = times(lambda: next(seconds), TINY).rows
    assert [row["seconds_made"] for row in rows] == [1.0] * 6
    assert [row["seconds_visited"] for row in rows] == [1.0] * 6


def test_the_files_are_the_same_every_time(lenet5: Database, tmp_path: Path) -> None:
    first, second = (write_study(tiny_study(lenet5.location), tmp_path / name) for name in ("a", "b"))
    names = ("counts", "times", "steps", "constraints_params", "constraints_flops", "scores_conv", "scores_dense")
    assert [path.name for path in first] == [f"{name}.{kind}" for name in names for kind in ("csv", "tex")] + [
        "study.html"
    ]
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == sorted(path.name for path in first)


def test_a_folder_that_cannot_be_made_is_told(lenet5: Database, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write into .*file"):
        write_study(tiny_study(lenet5.location, "counts"), tmp_path / "file")


def test_the_page_loads_nothing_and_shows_every_table_and_figure(lenet5: Database) -> None:
    done = tiny_study(lenet5.location)
    html = page(done)
    shown = Page(html)
    assert shown.loads == ["#counts", "#steps", "#constraints", "#scores"]
    assert {address[1:] for address in shown.loads} <= set(shown.ids)
    assert len(shown.ids) == len(set(shown.ids))
    assert {"default-src 'none'", "script-src 'unsafe-inline'"} <= set(shown.policy.split("; "))
    assert len([script for script in shown.scripts if len(script) > 10_000]) == 1, "plotly.js is there once"
    assert html.count("</script>") == len(shown.figures) + 2
    assert set(shown.figures) == {
        *("counts-1", "counts-2", "steps-1", "steps-2", "constraints-1", "constraints-2", "scores-1", "scores-2"),
    }
    for table in done.tables():
        assert table.title in shown.text
        assert all(note in shown.text for note in table.notes)
        assert all(cell in shown.text for row in table.texts() for cell in row)
    assert "missing: alexnet" in shown.text


def test_figures_draw_what_the_tables_say(lenet5: Database) -> None:
    done = {section.name: section for section in tiny_study(lenet5.location).sections}
    (_, figure), rows = done["counts"].figures[0], done["counts"].tables[0].rows
    traces = {trace.name: list(trace.x) for trace in figure.data}
    assert traces["better solutions"] == [row["better"] for row in rows]
    assert traces["all, published"] == [None, 24.0, None, None, None, None]
    (_, seconds), timed = done["counts"].figures[1], done["counts"].tables[1].rows
    traces = {trace.name: list(trace.x) for trace in seconds.data}
    assert traces["Rankline"] == [row["seconds_made"] for row in timed]
    assert traces["published"] == [LONGEST_SECONDS]
    (_, bars), table = done["scores"].figures[1], done["scores"].tables[1]
    assert {trace.name: list(trace.x) for trace in bars.data} == {
        METHODS[method].title: [row[method] for row in table.rows] for method in DENSE_METHODS
    }
    (_, spans), table = done["constraints"].figures[0], done["constraints"].tables[0]
    for trace in spans.data:
        low, high = ("median_low", "median_high") if trace.showlegend else ("least", "largest")
        own = [row for row in table.rows if row["method"] == trace.name and row["n_with"]]
        assert list(trace.base) == pytest.approx([100 * row[low] for row in own])
        assert [a + b for a, b in zip(trace.base, trace.y, strict=True)] == pytest.approx(
            [100 * row[high] for row in own]
        )


def table_of(rows: list[dict[str, Any]]) -> Table:
    return Table("t", "100 % of a_b & c", (Column("name", "name"), counted("n", "n")), rows, ("{note} #1",))


def test_latex_shows_every_character_as_it_is() -> None:
    assert escaped(r"\&%$#_{}~^<>") == (
        r"\textbackslash{}\&\%\$\#\_\{\}\textasciitilde{}\textasciicircum{}\textless{}\textgreater{}"
    )
    assert escaped("1×1 – −2") == r"1$\times$1 -- $-$2"
    text = latex(table_of([{"name": "a_b", "n": 1234}, {"name": "50 %", "n": None}]))
    assert r"\caption{100 \% of a\_b \& c}\label{tab:t}" in text
    assert r"\begin{tabular}{lr}" in text
    assert r"a\_b & 1,234 \\" in text
    assert r"50 \% & -- \\" in text
    assert r"\footnotesize \{note\} \#1" in text
    assert [text.count(rule) for rule in (r"\toprule", r"\midrule", r"\bottomrule")] == [1, 1, 1]


def test_a_long_table_becomes_a_longtable() -> None:
    text = latex(table_of([{"name": "a", "n": 1}] * (PAGE_ROWS + 1)))
    assert r"\begin{longtable}{lr}" in text
    assert r"\begin{tabular}" not in text


def test_all_latex_is_plain_text(lenet5: Database) -> None:
    for table in tiny_study(lenet5.location).tables():
        lines = latex(table).splitlines()
        assert latex(table).isascii()
        widths = {line.replace(r"\&", "").count("&") for line in lines if line.endswith(r" \\")}
        assert widths == {len(table.columns) - 1}


def test_csv_has_exact_values(lenet5: Database) -> None:
    table = next(tiny_study(lenet5.location, "counts").tables())
    rows = list(csv.DictReader(io.StringIO(table.csv())))
    assert [int(row["all"]) for row in rows] == [row["all"] for row in table.rows]
    assert rows[1]["all_published"] == "2.4E+1"
    assert rows[3]["stride"] == rows[3]["all_agrees"] == ""


def test_the_cases_are_named_and_every_published_method_is_computed() -> None:
    assert [case.name for case in CASES][1:] == [
        "conv (3,3,256,512), stride 2",
        "conv 1-D (3,512,1024), stride 1",
        "dense (400,120)",
        "dense (512,512)",
    ]
    for case in CASES:
        assert set(case.published) <= set(case.methods)
        assert isinstance(case.layer, Layer)
