"""What reads each kind of hostile input, and what must hold of whatever it accepts."""

import functools
import itertools
import json
import math
import os
import pathlib
import tempfile

import jax
import numpy as np

from greennas_jax import checkpoints, journey, query_log
from greennas_jax.accuracy import datasets, evaluated
from greennas_jax.accuracy import table as tables
from greennas_jax.build import flax_network
from greennas_jax.costs import (
    communication,
    devices,
    grid,
    hosts,
    links,
    neuralpower_text,
    profile,
    scaling,
    sites,
)
from greennas_jax.costs.settings import CostSettings
from greennas_jax.export import flax_source, weights
from greennas_jax.importers import formats
from greennas_jax.measure import journal, measurements, meters, spending
from greennas_jax.report import ranking
from greennas_jax.spaces import edits, nao_cell_strings, nasbench201_strings
from greennas_jax.spec import paleo_json, parallel, structure
from tests.fuzz import harness
from tests.search import tabulated

LENET = harness.ROOT / "configs" / "specs" / "lenet5.json"
_numbers = itertools.count()


@functools.cache
def _folder() -> pathlib.Path:
    """Return this process's own folder for files that readers are given."""
    return pathlib.Path(tempfile.mkdtemp(prefix="greennas_fuzz_"))


def place(data: bytes, suffix: str) -> pathlib.Path:
    """Write an input as a file of this process; the same suffix is the same file."""
    path = _folder() / f"input{suffix}"
    path.write_bytes(data)
    return path


def text(data: bytes) -> str:
    """Return text as a reader of files hands it on."""
    return data.decode("utf-8", "replace")


@functools.cache
def titan():
    return devices.load("titan_x")


@functools.cache
def lenet():
    return paleo_json.load(LENET)


def check_figures(found: dict) -> None:
    """Check that a profile holds no number that is negative or not finite."""
    json.dumps(found, allow_nan=False)
    for name, value in found["totals"].items():
        if value is not None and not (math.isfinite(value) and value >= 0):
            raise AssertionError(f"total {name} is {value}")


def spec(data: bytes) -> None:
    """Read a network, cost it, write it, and build its space."""
    network = paleo_json.load(place(data, ".json"))
    again = paleo_json.read(paleo_json.write(network))
    if [layer.name for layer in again.layers] != [layer.name for layer in network.layers]:
        raise AssertionError("what is written is not what was read")
    for mode in ("inference", "training"):
        check_figures(profile.profile(network, titan(), CostSettings(mode=mode)))
    network = parallel.expand(network).network
    structure.descriptors(network)
    if len(network.layers) <= 25:
        space = edits.build(network)
        if len(space.positions):
            space.decode(space.sample(np.random.default_rng(0), 1)[0])
    if len(network.layers) <= 60:
        flax_source.write(network)


def device(data: bytes) -> None:
    found = devices.load(place(data, ".json"))
    for dtype in found.dtypes:
        check_figures(profile.profile(lenet(), found.at(dtype), CostSettings(dtype=dtype)))


def link(data: bytes) -> None:
    fabric = communication.Fabric(link=links.load(place(data, ".json")))
    costs, asked = CostSettings(mode="training"), scaling.ScalingSettings()
    job = scaling.Job(
        network=lenet(), device=titan(), fabric=fabric, costs=costs, settings=asked, batch=64
    )
    json.dumps(scaling.study(job, [1, 2, 8]), allow_nan=False)


def grids(name: str):
    """Return the reader of one of the tables in configs/grid."""

    def read(data: bytes) -> None:
        folder = _folder() / "grid"
        folder.mkdir(exist_ok=True)
        for own in grid.GRID_FOLDER.glob("*.json"):
            (folder / own.name).write_bytes(data if own.name == name else own.read_bytes())
        before, grid.GRID_FOLDER = grid.GRID_FOLDER, folder
        try:
            _forget()
            sites.site(country="France", year=2015)
            sites.site(datacentre="gpt3", price=0.1)
            hosts.of(titan())
            hosts.of(devices.load("v100"))
        finally:
            grid.GRID_FOLDER = before
            _forget()

    return read


def _forget() -> None:
    for cached in (grid.countries, grid.datacentres, hosts._hosts):
        cached.cache_clear()


def power_model(data: bytes) -> None:
    found = neuralpower_text.load(place(data, ".json"))
    check_figures(profile.profile(lenet(), titan(), CostSettings(power=found, mode=found.mode)))


def table(data: bytes) -> None:
    suffix = ".csv.gz" if data[:2] == b"\x1f\x8b" else ".csv"
    found = tables.load(place(data, suffix), tabulated.COLUMNS)
    for row in found.architectures[:20]:
        nasbench201_strings.parse(row)


def pool(data: bytes) -> None:
    evaluated.load(place(data, ".csv"), nao_cell_strings.parse, examples=100)


def measured(data: bytes) -> None:
    measurements.load(place(data, ".csv"))


def journal_of_measurements(data: bytes) -> None:
    journal.open_for(place(data, ".journal"), {"seed": 0})


def arrays(data: bytes) -> None:
    path = os.fspath(place(data, ".npz"))
    datasets.load(path, (6, 5, 3), 3)
    datasets.load(path, (8, 8, 3), 10, resize=True)


def cifar(data: bytes) -> None:
    folder = _folder() / "cifar"
    folder.mkdir(exist_ok=True)
    for name in (*(f"data_batch_{n}.bin" for n in range(1, 6)), "test_batch.bin"):
        (folder / name).write_bytes(data)
    datasets.load(os.fspath(folder), (32, 32, 3), 10)


def picture(data: bytes) -> None:
    folder = _folder() / "pictures"
    for name in ("a", "b"):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for number in range(26):
            (folder / name / f"{number}.png").write_bytes(data)
    datasets.load(os.fspath(folder), (8, 8, 3), 2)


@functools.cache
def built():
    module = flax_network.build(lenet(), jax.random.key(0))
    return module, flax_network.initial_statistics(module)


def tensors(data: bytes) -> None:
    weights.load(place(data, ".safetensors"), *built())


def imported(format: str):
    """Return the reader of files of another format."""

    def read(data: bytes) -> None:
        network, _ = formats.load(place(data, f".{format}"), format)
        paleo_json.read(paleo_json.write(network))
        check_figures(profile.profile(network, titan(), CostSettings()))

    return read


def cells(data: bytes) -> None:
    told = text(data)
    for parse in (nao_cell_strings.parse, nasbench201_strings.parse):
        try:
            parse(told)
        except ValueError as error:
            refusal = error
        else:
            return
    raise refusal


def trials(data: bytes) -> None:
    log = checkpoints.TrialLog(place(data, ".jsonl"))
    log.evaluate(lambda tokens, seeds: [], np.zeros((0, 1), np.int32), [])


def config(data: bytes) -> None:
    folder = _folder() / "run"
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_bytes(data)
    checkpoints.claim(folder, {"seed": 0, "network": {"name": "x"}})


def data_note(data: bytes) -> None:
    folder = _folder() / "noted" / "checkpoints"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "data.json").write_bytes(data)
    checkpoints.same_data(folder.parent, "0" * 64, "digits")


def account(data: bytes) -> None:
    found = spending.Account(place(data, ".spent"), meters.find("cpu"))
    found.close()


def report(data: bytes) -> None:
    folder = _folder() / "finished"
    folder.mkdir(exist_ok=True)
    (folder / "report.json").write_bytes(data)
    found = journey.finished(folder)
    ranking.line(ranking.row(found, "latent", 0))


@functools.cache
def _problem():
    return tabulated.problem()


def queries(data: bytes) -> None:
    query_log.read(place(data, ".queries"), _problem())


@functools.cache
def saved() -> tuple[pathlib.Path, dict[str, np.ndarray]]:
    """Return a file of saved arrays, and the arrays."""
    path, tree = _folder() / "arrays", {"w": np.arange(500, dtype=np.float32)}
    checkpoints.save_arrays(path, tree)
    return path, tree


def embedding(data: bytes) -> None:
    """Restore saved arrays from a file with other content."""
    _, tree = saved()
    found = checkpoints.load_arrays(place(data, ".safetensors"), tree)
    np.testing.assert_array_equal(found["w"], tree["w"])
