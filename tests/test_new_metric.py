"""A metric that nobody has thought of is one object: every room asks for it as for those that are there."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from rankline.src.compress.budget.allocate import Option, allocate
from rankline.src.db.database import Database, open_database
from rankline.src.dse.configuration import Configuration
from rankline.src.dse.cost import NOTHING, Cost
from rankline.src.dse.errors import UserError
from rankline.src.dse.layer import Layer, conv, dense
from rankline.src.dse.lines import lines_of
from rankline.src.dse.metric import METRICS, PARAMS, Metric
from rankline.src.dse.options import Options
from rankline.src.dse.scan.histogram import edges, histogram
from rankline.src.dse.scan.intervals import narrowed
from rankline.src.dse.scan.select import top
from rankline.src.dse.space import Space
from rankline.src.dse.symbols import layer_shape
from rankline.src.reports.explorer.answers import Question, answers
from rankline.src.reports.report.clouds import envelope_of
from tests.helpers import brute
from tests.helpers.latency_models import configurations, model_of

EFFORT = Metric("effort", "effort", "effort of one sample", params=3, flops=2, factor=7)
ENERGY = Metric("energy", "energy", "energy of one call", params=5, factor=11, latency=2)

CONV = conv("conv", (3, 3), 6, 8, (5, 5))
DENSE = dense("dense", 12, 8)
ASKED = [(CONV, "tucker"), (CONV, "cp"), (CONV, "tt"), (DENSE, "svd"), (DENSE, "t3f")]

asked = pytest.mark.parametrize(("layer", "method"), ASKED, ids=lambda one: getattr(one, "name", one))


@pytest.fixture(autouse=True)
def effort(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(METRICS, "effort", EFFORT)
    monkeypatch.setitem(METRICS, "energy", ENERGY)


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    found = open_database(str(tmp_path_factory.mktemp("effort") / "space.db"))
    found.explore([CONV, DENSE], name="net")
    yield found
    found.close()


def counted(cost: Cost) -> int:
    return 3 * cost.params + 2 * cost.flops + 7 * cost.factors


def useful(layer: Layer, method: str) -> list[brute.Configuration]:
    return [one for one in brute.configurations(layer, method) if one.useful]


def level(layer: Layer, method: str) -> int:
    """An effort that about half of the useful configurations are below."""
    return sorted(counted(one.cost) for one in useful(layer, method))[len(useful(layer, method)) // 2]


@asked
@pytest.mark.parametrize("in_memory", [False, True])
def test_windows_and_picks_equal_brute_force(database: Database, layer: Layer, method: str, in_memory: bool) -> None:
    solutions = database.solutions(layer.name, method, "net")
    solutions = (solutions.in_memory() if in_memory else solutions).where(effort=(None, level(layer, method)))
    inside = [one for one in useful(layer, method) if counted(one.cost) <= level(layer, method)]
    assert solutions.count() == len(inside) > 0
    least = min(inside, key=lambda one: (counted(one.cost), one.order))
    most = min(inside, key=lambda one: (-counted(one.cost), one.order))
    assert solutions.lowest("effort").configuration == Configuration(method, least.ranks, least.shape)
    assert solutions.highest("effort").configuration == Configuration(method, most.ranks, most.shape)
    assert solutions.lowest("effort").value("effort") == counted(least.cost)


@asked
def test_steps_of_its_reduction_count_what_brute_force_counts(database: Database, layer: Layer, method: str) -> None:
    whole = counted(brute.original(layer))
    frame = database.solutions(layer.name, method, "net").steps(0.25, "effort")
    wanted = {
        low / 4: sum(low / 4 <= 1 - counted(one.cost) / whole < (low + 1) / 4 for one in useful(layer, method))
        for low in range(4)
    }
    assert dict(zip(frame["level"], frame["n"], strict=True)) == {at: n for at, n in wanted.items() if n}


@asked
def test_its_envelope_spans_what_brute_force_spans(database: Database, layer: Layer, method: str) -> None:
    frame = envelope_of(database.solutions(layer.name, method, "net"), "effort")
    shown = [one for one in brute.configurations(layer, method) if counted(one.cost) <= frame["high"].max()]
    assert frame["n"].sum() == len(shown)
    assert frame["min_flops"].min() == min(one.cost.flops for one in shown)


@asked
def test_scans_of_all_configurations_know_it(layer: Layer, method: str) -> None:
    found = narrowed(lines_of(Space(method, layer_shape(layer), Options())), "useful", {EFFORT: (None, 10**9)})
    efforts = sorted(counted(one.cost) for one in useful(layer, method))
    best = [counted(found.cost(*place)) for place in top(found, EFFORT, 3)]
    assert best == efforts[:3]
    bounds = edges(efforts[0], efforts[-1], 4)
    wanted, _, _ = np.histogram2d(
        efforts,
        sorted((one.cost.params for one in useful(layer, method)), key=lambda params: params),
        bins=(bounds - 0.5, np.array([-0.5, 10.0**9])),
    )
    assert histogram(found, EFFORT, bounds, PARAMS, np.array([0, 10**9])).sum() == wanted.sum() == len(efforts)


@asked
@pytest.mark.parametrize("tile", [1, 4])
def test_one_that_weighs_latency_is_asked_on_a_device(database: Database, layer: Layer, method: str, tile: int) -> None:
    device = model_of(3, tile=tile)
    solutions = database.solutions(layer.name, method, "net", device=device)
    every = [one for one in configurations(layer, method, device) if one.useful]
    energies = sorted(ENERGY.of(one.cost) for one in every)
    most = energies[len(energies) // 2]
    assert solutions.where(energy=(None, most)).count() == sum(energy <= most for energy in energies)
    assert solutions.lowest("energy").value("energy") == energies[0]
    assert solutions.highest("energy").value("energy") == energies[-1]
    assert solutions.envelope(7, "energy")["n"].sum() == len(every)
    with pytest.raises(UserError, match="energy needs a device"):
        database.solutions(layer.name, method, "net").lowest("energy")


def test_a_budget_of_it_is_kept_to_the_unit() -> None:
    options = {
        layer.name: [
            Option(None, brute.original(layer), 0.0),
            *(
                Option(Configuration(method, one.ranks, one.shape), one.cost, 1 / one.cost.params)
                for one in useful(layer, method)
            ),
        ]
        for layer, method in ((CONV, "tucker"), (DENSE, "svd"))
    }
    least = sum(min(counted(one.cost) for one in some) for some in options.values())
    found = allocate(options, {"effort": least}, NOTHING)
    assert counted(found.cost) == least
    assert allocate(options, {"effort": least + 500}, NOTHING).damage <= found.damage


def test_the_explorer_narrows_by_it(database: Database) -> None:
    question = Question("net", "conv", ("tucker",), kept={"effort": (0.0, 30.0)})
    (found,) = answers(database, question)
    most = 30 * counted(brute.original(CONV)) // 100
    assert found.count == sum(counted(one.cost) <= most for one in useful(CONV, "tucker")) > 0


def test_a_metric_that_would_not_rise_with_every_rank_is_refused() -> None:
    with pytest.raises(ValueError, match="must count params, fm, FLOPs, latency or bytes"):
        Metric("factors", "factors", "factors", factor=1)
