"""The whole journey with its files: from a network and a device to a workdir of evidence.

Every long phase leaves something in `checkpoints/` (the taught embedding, each training, the final
test), so that the same request on the same workdir goes on where it stopped.
"""

import dataclasses
import json
import math
import pathlib
from typing import Any, NamedTuple

from greennas_jax import (
    checkpoints,
    configuration,
    groundwork,
    limiting,
    pipeline,
    plugins,
    publishing,
    results,
)
from greennas_jax.accuracy import children, datasets, final_test, proxies
from greennas_jax.accuracy.data import summary
from greennas_jax.accuracy.datasets import DataSet
from greennas_jax.accuracy.oracle import Oracle
from greennas_jax.costs import profile as cost_profile
from greennas_jax.costs.devices import Device
from greennas_jax.export import delivery, weights
from greennas_jax.measure import machine, meters, networks
from greennas_jax.measure.execution import Wanted
from greennas_jax.measure.spending import Account
from greennas_jax.mesh import team
from greennas_jax.nao.embedding import Embedding
from greennas_jax.pipeline import PipelineConfig, Prepared, Solution
from greennas_jax.report import comparison, evidence, files
from greennas_jax.report.telling import Everyone, Listener
from greennas_jax.search import claims, loop
from greennas_jax.search.archive import Archive
from greennas_jax.search.problem import Problem
from greennas_jax.spec import paleo_json, text_files
from greennas_jax.spec.network import Network

NO_DATA = "none"
MEASURE = ("auto", "never")
PROXIES = ("NASWOT", "SynFlow")


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Request:
    """What a run is asked.

    Attributes:
      network: The given network.
      device: The device to save energy on.
      dataset: A name that `datasets.load` knows, or `none`.
      batch_size: Batch size to cost; None for the text's own.
      config: Everything else that decides the result; what it leaves open follows the network.
      measure: "auto" runs given and found network here at the end where that tells something about
        the device; "never" does not.
      assumed_watts: This machine's power, to reckon the run's own energy with where no meter
        measures it [W].
    """

    network: Network
    device: Device
    dataset: str
    batch_size: int | None
    config: PipelineConfig
    measure: str = "auto"
    assumed_watts: float | None = None

    def __post_init__(self):
        if self.measure not in MEASURE:
            raise ValueError(f"measure is {self.measure!r}; allowed: {', '.join(MEASURE)}")
        watts = self.assumed_watts
        if watts is not None and not 0 < watts < math.inf:
            raise ValueError(f"assumed_watts is {watts:g}; allowed: a finite number above 0")
        if self.config.search.algorithm == loop.EXACT and self.dataset != NO_DATA:
            raise ValueError(
                f"search.algorithm is '{loop.EXACT}', which leaves accuracy aside, with data set "
                f"'{self.dataset}'; allowed: --dataset={NO_DATA}"
            )
        object.__setattr__(self, "config", pipeline.settled(self.config, self.network))


def identity(request: Request) -> dict[str, Any]:
    """Return everything that decides the result, as JSON values."""
    return {
        "network": json.loads(paleo_json.write(request.network)),
        "device": configuration.plain(request.device),
        "dataset": request.dataset,
        "batch_size": request.batch_size,
        "config": configuration.plain(request.config),
        **({"plugins": plugins.loaded()} if plugins.loaded() else {}),
    }


def check_solvable(request: Request) -> None:
    """Require that the request has an answer, before anything is written or trained.

    Raises:
      ValueError: If no network was found within the limits, or none that is surely the cheapest.
    """
    pipeline.check_solvable(request.network, request.device, request.config, request.batch_size)


class Scene(NamedTuple):
    """What is known before the search.

    Attributes:
      before: Profile of the given network.
      prepared: Its space and costs.
      data: The data set, None without.
      oracle: Who says how accurate a network is.
    """

    before: dict[str, Any]
    prepared: Prepared
    data: DataSet | None
    oracle: Oracle


def set_out(request: Request) -> Scene:
    """Profile the given network, build its space and its oracle.

    Raises:
      ValueError: If the network, the device, the data set and the configuration do not fit.
    """
    config = request.config
    before = profile(request, request.network)
    prepared = pipeline.prepare(request.network, request.device, config, request.batch_size)
    if request.dataset == NO_DATA:
        found = proxies.make(request.network, batch_size=config.proxy_images, seed=config.seed)
        return Scene(before, prepared, None, found)
    data = datasets.load(
        request.dataset,
        children.input_shape(request.network),
        children.classes(request.network),
        vocabulary=children.vocabulary(request.network),
        resize=config.resize,
    )
    found = children.make(request.network, data, recipe=config.recipe)
    return Scene(before, prepared, data, found)


def profile(request: Request, network: Network) -> dict[str, Any]:
    """Return a network's profile on the requested device."""
    return cost_profile.profile(
        network, request.device, request.config.settings, request.batch_size
    )


class Search(NamedTuple):
    """A finished search and what it was made of."""

    problem: Problem
    solution: Solution
    taught: Embedding | None


def search(
    scene: Scene, config: PipelineConfig, folder: pathlib.Path, shared: pathlib.Path, tell: Listener
) -> Search:
    """Teach the embedding, search in it, and choose the winner."""
    log = checkpoints.TrialLog(folder / "checkpoints" / "trials.jsonl")
    taught, tried = groundwork.lay(scene.prepared, scene.oracle, config, folder, shared, tell)
    oracle = scene.oracle
    if isinstance(oracle, children.Children):
        oracle = dataclasses.replace(oracle, progress=tell.did)
    problem, archive = pipeline.pose(scene.prepared, oracle, config, tried, log.evaluate)
    _tell_queries(tell, archive, 0)
    algorithm = pipeline.algorithm_for(scene.prepared, problem, config, taught)
    again = 0 if problem.deterministic else config.search.most_confirmations
    tell.phase("search", config.search.queries + again)
    told = len(archive.queries)
    first = told

    def progress(archive: Archive) -> None:
        nonlocal told
        _tell_queries(tell, archive, told, first)
        told = len(archive.queries)

    solution = pipeline.solve(problem, algorithm, archive, config, progress)
    return Search(problem, solution, taught)


def _tell_queries(tell: Listener, archive: Archive, told: int, first: int = 0) -> None:
    """Tell accuracy and cost of every query from number `told` on, counted from `first`."""
    for number, query in enumerate(archive.queries[told:], told - first + 1):
        tell.reach(number, accuracy=query.accuracy, cost=query.cost)


def judge(
    request: Request,
    scene: Scene,
    found: Search,
    folder: pathlib.Path,
    shared: pathlib.Path,
    tell: Listener,
) -> dict[str, Any]:
    """Return the accuracy part of the report: the final test, or what the proxies said."""
    config = request.config
    if scene.data is None:
        return results.accuracy_of_proxies(
            found.problem,
            found.solution.archive,
            found.solution.tokens,
            PROXIES,
            config.proxy_tolerance,
        )
    stored = folder / "checkpoints" / "final_test.json"
    if stored.exists():
        return text_files.read_record(stored)
    tell("final test: given and found network are trained alike on fresh seeds")
    tell.phase("final test", config.final_seeds * 2)
    known = shared / "given_tested.json"
    before = None
    if known.exists():
        stated = text_files.read_record(known)
        before = final_test.Sample(accuracies=tuple(stated.pop("accuracies")), **stated)
    tested = final_test.compare(
        request.network,
        found.solution.network,
        scene.data,
        max_drop=config.max_accuracy_drop,
        config=pipeline.final_config(config),
        before=before,
        progress=tell.did,
    )
    for name, sample in (("given", tested.before), ("found", tested.after)):
        for number, accuracy in enumerate(sample.accuracies, 1):
            tell.reach(number, **{f"{name}_accuracy": accuracy})
    files.write_json(known, text_files.sealed(dataclasses.asdict(tested.before)))
    weights.save(folder / delivery.TRAINED, tested.trained.module, tested.trained.statistics)
    claim = claims.claim(found.problem, found.solution.archive, found.solution.tokens)
    verdict = results.accuracy_measured(tested, config, scene.data, claim)
    files.write_json(stored, text_files.sealed(verdict))
    return verdict


def measured(
    request: Request, found: Network, folder: pathlib.Path, tell: Listener
) -> dict[str, Any]:
    """Return the measured part of the report: both networks run here, or why they are not."""
    if request.measure == "never":
        reason = "not asked for (--measure=never)"
        return dict.fromkeys(("before", "after", "change")) | {"reason": reason}
    stored = folder / "checkpoints" / "measured.json"
    if stored.exists():
        return text_files.read_record(stored)
    tell("given and found network are run here, where that tells something about the device")
    settings = request.config.settings
    part = networks.pair(
        request.network,
        found,
        request.device,
        request.batch_size,
        Wanted(settings.mode, settings.dtype),
        meters.find(machine.here().platform),
    )
    files.write_json(stored, text_files.sealed(part))
    return part


class _Spending(Listener):
    """Writes down what was spent so far, whenever something is told."""

    def __init__(self, account: Account):
        self._account = account

    def __call__(self, line: str) -> None:
        self._account.note()

    def phase(self, name: str, total: int) -> None:
        self._account.note()

    def reach(self, step: int, **figures: float) -> None:
        self._account.note()


def finished(folder: pathlib.Path) -> dict[str, Any] | None:
    """Return the report of a finished run, None where it is not finished."""
    stored = folder / "report.json"
    return evidence.read(stored) if stored.exists() else None


def travel(
    request: Request,
    folder: pathlib.Path,
    tell: Listener,
    scene: Scene | None = None,
    shared: pathlib.Path | None = None,
) -> dict[str, Any]:
    """Take one network through the nine steps and write everything into the folder.

    Args:
      request: What is asked.
      folder: A workdir claimed for it.
      tell: Hears what is being done, and how far it is.
      scene: What `set_out` made of a request that differs in search and seed alone, if any.
      shared: Where the given network's own trainings are kept for requests that differ in the
        search alone; by default they stay in the folder.

    Returns:
      The report. Of a run's processes the first alone has it, and writes what it leaves.
    """
    meter = meters.find(machine.here().platform)
    account = Account(folder / "checkpoints" / "spent.json", meter, request.assumed_watts)

    scene = scene or set_out(request)
    if scene.data is not None:
        digest = summary.digest(scene.data)
        team.agree(f"the data set '{request.dataset}'", digest)
        checkpoints.same_data(folder, digest, request.dataset)
    shared = shared or folder / "checkpoints"
    account.note()
    tell(
        f"space: {len(scene.prepared.space.positions)} positions, {scene.prepared.size:.3g} strings"
    )
    noted = Everyone([_Spending(account), tell])
    found = search(scene, request.config, folder, shared, noted)
    accuracy = judge(request, scene, found, folder, shared, noted)
    spent = account.close()
    after = profile(request, found.solution.network)
    limits = limiting.told(
        found.problem, found.solution.archive, request.config.search, scene.before, after
    )
    front, whole = results.exact_front(scene.prepared)
    report = evidence.assemble(
        before=scene.before,
        after=after,
        accuracy=accuracy,
        search=results.search_part(
            found.problem,
            found.solution,
            request.config,
            spent,
            {
                **results.gains(
                    scene.prepared, found.taught, found.solution.tokens, request.config
                ),
                "embedding": found.taught.quality if found.taught else None,
            },
        ),
        bounds={
            **results.bounds(scene.prepared),
            "front_points": len(front),
            "front_exact": whole,
        },
        layers=comparison.compare(request.network, found.solution.network, scene.before, after),
        measured=measured(request, found.solution.network, folder, tell),
        pareto=results.pareto_part(
            found.problem,
            found.solution.archive,
            lambda network: profile(request, network),
            found.solution.tokens,
        ),
        limits=limits,
        config=configuration.plain(request.config),
    )
    if team.is_first():
        asked = request.network, found.problem, found.solution, request.config.objective
        publishing.publish(*asked, report, front, folder)
    return report
