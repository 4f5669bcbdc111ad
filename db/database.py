"""One database of networks, layers, spaces and runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any
from weakref import finalize

from sqlalchemy import Engine, select

from rankline.src.db.backends.engine import connect
from rankline.src.db.backends.location import check_location, sqlite_path
from rankline.src.db.explore.network import Explored, check_costs, check_spaces, explore_layers, spaces_to_explore
from rankline.src.db.queries.across_methods import best_of_layers, lowest_of, methods_by_layer, pareto_of_layer, totals
from rankline.src.db.queries.solution import Solution
from rankline.src.db.queries.solutions import Solutions, StoredSpace
from rankline.src.db.queries.windows import Bounds
from rankline.src.db.records import devices, measurements, networks, runs
from rankline.src.db.records.error_tables import known_errors, known_errors_of_network
from rankline.src.db.records.measurements import Measurement
from rankline.src.db.records.networks import LayerRow, NetworkRow, SpaceRow
from rankline.src.db.records.runs import RunRow, TrialRecord
from rankline.src.db.schema import layer as layer_table
from rankline.src.db.schema import layer_space, space
from rankline.src.dse.cost import Cost
from rankline.src.dse.devices.device import Device
from rankline.src.dse.devices.latency import LatencyModel
from rankline.src.dse.devices.network import whole_latency
from rankline.src.dse.errors import UserError, one_of
from rankline.src.dse.keras_model.source import load_network, network_of
from rankline.src.dse.layer import Layer
from rankline.src.dse.options import Options
from rankline.src.dse.outgoing import for_database
from rankline.src.dse.progress import Progress, no_progress

if TYPE_CHECKING:
    import keras

DeviceChoice = str | Device | LatencyModel | None
"""A device by its name in the database, or as it is."""


def open_database(location: str, create: bool = True, read_only: bool = False) -> Database:
    """The database at a path or SQLAlchemy URL; if there is none, ``explore`` creates it, unless ``create`` is False.

    Runs whose process is gone are closed as interrupted. With ``read_only``, nothing can change it. Raises UserError if
    it can't be opened, is not a Rankline database, or has another schema version.
    """
    create = create and not read_only
    database = Database(str(location), read_only, create)
    check_location(database.location, create)
    path = sqlite_path(database.location)
    if path is None or path.exists():
        _ = database.engine  # checks its version now
    return database


class Database:
    """Solution spaces of the layers of networks; see ``open_database``."""

    def __init__(self, location: str, read_only: bool = False, create: bool = True) -> None:
        self.location = location
        self.read_only = read_only
        self.create = create

    @cached_property
    def engine(self) -> Engine:
        """The connection pool; a file that does not exist yet is created when it is first used."""
        engine = connect(self.location, self.create, self.read_only)
        if not self.read_only:
            runs.close_dead(engine)
        finalize(self, engine.dispose)  # closing the last connection merges SQLite's log into the file
        return engine

    def close(self) -> None:
        """Closes the connections."""
        self.engine.dispose()

    def explore(
        self,
        model: str | keras.Model | Iterable[Layer | Mapping[str, Any]],
        name: str | None = None,
        methods: Sequence[str] | None = None,
        options: Options | None = None,
        input_shape: Sequence[int] | None = None,
        progress: Progress = no_progress,
        source: str = "Python",
        device: DeviceChoice = None,
    ) -> Explored:
        """Computes and stores every configuration of a model's layers, by all methods unless some are named.

        ``model`` is a Keras model, layers, or a MODEL string as on the command line; ``source`` is recorded as the
        origin of a model that is no string; with a device, the network's latency is told too. Raises UserError.
        """
        timed = self._model(device)
        if isinstance(model, str):
            found = load_network(model, input_shape)
        else:
            found = network_of(list(model) if isinstance(model, Iterable) else model, input_shape=input_shape)
        if name is not None:
            found = replace(found, name=for_database(name))
        if not found.layers:
            raise UserError(f"'{found.name}' has no convolution or dense layer")
        spaces = spaces_to_explore(found.layers, None if methods is None else tuple(methods), options or Options())
        if self._is_missing:
            check_costs(found.name, found.params, found.layers)  # before the file is made
            check_spaces(found.name, spaces)
        done = explore_layers(
            self.engine,
            layers=found.layers,
            spaces=spaces,
            name=found.name,
            source=for_database(model) if isinstance(model, str) else source,
            input_shape=found.input_shape,
            params=found.params,
            progress=progress,
        )
        self.engine.connect().close()  # raises where the file is no longer there
        if timed is None:
            return done
        latency, left_out = whole_latency(timed, found.layers, found.rest, found.params)
        return replace(done, latency_ps=latency, left_out=tuple(left_out))

    def explore_missing(
        self, model: keras.Model, name: str, methods: Sequence[str], progress: Progress = no_progress
    ) -> Explored:
        """Explores those of the methods for which the network has no space; stored spaces are kept as they are.

        Raises UserError if the database has a network of that name with other layers.
        """
        stored = set()
        if name in networks.network_ids(self.engine):
            stored = {row.method for row in self.spaces(name)}
        missing = [method for method in dict.fromkeys(methods) if method not in stored]
        return self.explore(model, name=name, methods=missing, progress=progress)

    def networks(self) -> list[NetworkRow]:
        """All networks: name, source, input_shape, layers, params, fm, flops."""
        return networks.networks(self.engine)

    def network(self, name: str | None = None) -> NetworkRow:
        """The row of a network (the only one if no name is given). Raises UserError."""
        wanted = self.network_id(name)
        return next(row for row in self.networks() if row.id == wanted)

    def layers(self, name: str | None = None) -> list[LayerRow]:
        """All layers of a network (the only one if no name is given), with costs and, if kept, the reason."""
        return networks.layers(self.engine, self.network_id(name))

    def layer_shapes(self, name: str | None = None) -> list[Layer]:
        """The layers of a network (the only one if no name is given) as ``Layer`` objects."""
        return [row.shape for row in self.layers(name)]

    def spaces(self, name: str | None = None) -> list[SpaceRow]:
        """All spaces of a network's layers: layer, method, options (JSON), n_total, n_better, n_useful, n_lines."""
        return networks.spaces(self.engine, self.network_id(name))

    def solutions(self, layer: str, method: str, network: str | None = None, device: DeviceChoice = None) -> Solutions:
        """The lazy query over all configurations of a layer by a method, with their latencies on a device if one is
        named.

        ``network`` may be left out if only one network has a layer of that name. Raises UserError on an unknown or
        ambiguous name, and if the device has no numbers for the method (see ``Solutions.on``).
        """
        found = self._layer(layer, network)
        if found.kept_because:
            raise UserError(f"layer '{layer}' is not factorized: {found.kept_because}")
        columns = [space.c[column.name] for column in fields(StoredSpace)]
        query = select(space.c.method, *columns).join(layer_space).where(layer_space.c.layer == found.id)
        with self.engine.connect() as connection:
            stored = {row.method: StoredSpace(*row[1:]) for row in connection.execute(query)}
        if method not in stored:
            raise one_of(f"method for layer '{layer}'", method, list(stored))
        errors = known_errors(self.engine, found.id, method)
        solutions = Solutions(self.engine, layer, method, stored[method], found.cost, errors=errors)
        return solutions if device is None else solutions.on(self._model(device))

    def best(
        self,
        lowest: str = "flops",
        network: str | None = None,
        within: str = "useful",
        methods: Sequence[str] | None = None,
        device: DeviceChoice = None,
        **windows: Bounds,
    ) -> dict[str, Solution | None]:
        """For each layer of a network, the configuration with the lowest metric in the windows, over all methods.

        None if no method has one. Windows as in ``Solutions.where``; on a device, methods that it has no numbers for
        are left out with a LeftOutWarning. Raises UserError.
        """
        explored = methods_by_layer(self.spaces(network), methods)
        known = self._all_solutions(self.network_id(network))
        chosen = {layer: [known[layer, one].within(within) for one in names] for layer, names in explored.items()}
        return best_of_layers(chosen, lowest, windows, self._model(device))

    def best_by_method(
        self,
        layer: str,
        lowest: str = "flops",
        network: str | None = None,
        within: str = "useful",
        device: DeviceChoice = None,
        **windows: Bounds,
    ) -> dict[str, Solution | None]:
        """For each method of a layer, its configuration with the lowest metric in the windows.

        None if it has none or, under an error window, if its errors aren't known; devices as in ``best``. Raises
        UserError.
        """
        by_method, model = self._by_every_method(layer, network, within), self._model(device)
        return {method: lowest_of(one, lowest, windows, model) for method, one in by_method.items()}

    def pareto(
        self,
        layer: str,
        *costs: str,
        network: str | None = None,
        within: str = "useful",
        methods: Sequence[str] | None = None,
        device: DeviceChoice = None,
        **windows: Bounds,
    ) -> list[Solution]:
        """The front of error against costs (params by default), over all methods of a layer or the named ones.

        See ``Solutions.pareto``; devices as in ``best``. Raises UserError if no error is known.
        """
        by_method = self._by_every_method(layer, network, within)
        for name in methods or []:
            if name not in by_method:
                raise one_of(f"method for layer '{layer}'", name, list(by_method))
        chosen = [one for name, one in by_method.items() if not methods or name in methods]
        return pareto_of_layer(layer, chosen, costs or ("params",), windows, self._model(device))

    def totals(
        self, choice: Mapping[str, Solution], network: str | None = None, device: DeviceChoice = None
    ) -> tuple[Cost, Cost]:
        """A network's original cost, and its cost with one configuration for some of its layers.

        With a device, latencies are of a call of the whole network; a LeftOutWarning names layers that it has no
        numbers for. Raises UserError.
        """
        return totals(self.network(network), self.layer_shapes(network), choice, self._model(device))

    def runs(self) -> list[RunRow]:
        """Every compression run: id, network, status, started, seed, settings, accuracy, loss, trials."""
        return runs.runs(self.engine)

    def trials(self, run: int) -> list[TrialRecord]:
        """A run's trials, each with its layers' choices. Raises UserError for an unknown run."""
        return runs.trials(self.engine, run)

    def devices(self) -> list[Device]:
        """Every device by name, without its measurements; none where the database is still to be created."""
        return [] if self._is_missing else devices.devices(self.engine)

    def device(self, name: str | None = None) -> Device:
        """A device (the only one if no name is given) with its measurements. Raises UserError."""
        if name is not None:
            if self._is_missing:
                raise one_of("device", name, [])
            return devices.device_named(self.engine, name)
        known = [one.name for one in self.devices()]
        if not known:
            raise UserError("the database has no device yet; add one with: rankline device add NAME --runtime litert")
        if len(known) > 1:
            raise UserError(f"the database has {len(known)} devices; choose one with --device: {', '.join(known)}")
        return devices.device_named(self.engine, known[0])

    def save_device(self, device: Device, replace: bool = False) -> None:
        """Stores a device with the latencies of all spaces. Raises UserError for a name that is taken, unless the
        device of that name is to be replaced."""
        devices.save_device(self.engine, device, replace)

    def remove_device(self, name: str) -> None:
        """Removes a device and the latencies on it. Raises UserError for an unknown one."""
        devices.remove_device(self.engine, name)

    def measurements(self, digest: str | None = None) -> list[Measurement]:
        """The measurements of files in the order in which they were made, or those of the file with this SHA-256; none
        where the database is still to be created."""
        return [] if self._is_missing else measurements.measurements(self.engine, digest)

    def record_measurement(self, one: Measurement) -> None:
        """Stores a measurement of a file."""
        measurements.record_measurement(self.engine, one)

    def network_id(self, name: str | None) -> int:
        """The id of a network, or of the only one if no name is given. Raises UserError."""
        ids = networks.network_ids(self.engine)
        if not ids:
            raise UserError("the database has no network yet; add one with: rankline explore MODEL")
        if name is None and len(ids) > 1:
            raise UserError(f"the database has {len(ids)} networks; choose one with --network: {', '.join(ids)}")
        if name is not None and name not in ids:
            raise one_of("network", name, list(ids))
        return ids[name] if name is not None else next(iter(ids.values()))

    @property
    def _is_missing(self) -> bool:
        """Whether it is a file that does not exist yet, and need not be created to know that it is empty."""
        path = sqlite_path(self.location)
        return path is not None and not path.exists()

    def _all_solutions(self, network: int) -> dict[tuple[str, str], Solutions]:
        """The configurations of every layer of a network by every method, by their names, in few queries."""
        errors = known_errors_of_network(self.engine, network)
        costs = {row.id: row.cost for row in networks.layers(self.engine, network)}
        columns = [space.c[column.name] for column in fields(StoredSpace)]
        named = (layer_table.c.id, layer_table.c.name, space.c.method)
        query = select(*named, *columns).join_from(layer_table, layer_space).join(space)
        with self.engine.connect() as connection:
            found = connection.execute(query.where(layer_table.c.network == network)).all()
        return {
            (name, method): Solutions(
                self.engine, name, method, StoredSpace(*stored), costs[id], errors=errors.get((name, method))
            )
            for id, name, method, *stored in found
        }

    def _model(self, device: DeviceChoice) -> LatencyModel | None:
        found = self.device(device) if isinstance(device, str) else device
        return found.model if isinstance(found, Device) else found

    def _layer(self, name: str, network_name: str | None) -> LayerRow:
        network = None if network_name is None else self.network_id(network_name)
        found = networks.layers_named(self.engine, name, network)
        if not found:
            raise one_of("layer", name, networks.layer_names(self.engine, network))
        if len(found) > 1:
            owners = ", ".join(owner for owner, _ in found)
            raise UserError(f"several networks have a layer '{name}'; choose one with network (--network): {owners}")
        return found[0][1]

    def _by_every_method(self, layer: str, network: str | None, within: str) -> dict[str, Solutions]:
        """The configurations of a layer by each method it was explored with. Raises UserError if there are none."""
        known = [row.method for row in self.spaces(network) if row.layer == layer]
        if known:
            return {method: self.solutions(layer, method, network).within(within) for method in known}
        layers = {row.name: row for row in self.layers(network)}
        if layer not in layers:
            raise one_of("layer", layer, list(layers))
        unexplored = "it has no configurations by the methods and options it was explored with"
        raise UserError(f"layer '{layer}' has no solution space: {layers[layer].kept_because or unexplored}")
