"""The verdict: given and found network trained alike on fresh seeds, the test split read once.

Both networks are rebuilt at their true shapes. A search that picks the best of many noisy trainings
overestimates it; seeds that the search never saw, and images that it never saw, do not.
"""

import concurrent.futures
import dataclasses
import functools
import math
from typing import Any, Literal, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh
from scipy import special

from greennas_jax.accuracy import children, datasets, execution, oracle, recipes, training
from greennas_jax.build import flax_network
from greennas_jax.mesh import arrays
from greennas_jax.spec.network import Network, SpecError

Verdict = Literal["holds", "fails", "undecided"]

# Keeps the final test's random numbers apart from those of any search with the same seeds.
STREAM = 0x7E57


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """How sure a verdict must be.

    Attributes:
      recipe: How both networks are trained; epochs left open are twice a search's.
      seeds: Fresh seeds, the same for both networks.
      z: Standard errors between the measured difference and the allowed drop; 1.645 is one-sided
        95 % of a normal distribution.
    """

    recipe: training.Recipe = training.Recipe()
    seeds: tuple[int, ...] = tuple(range(8))
    z: float = 1.645

    def __post_init__(self):
        if len(set(self.seeds)) != len(self.seeds) or len(self.seeds) < 2:
            raise ValueError(f"seeds {self.seeds}: two or more different ones are needed")
        oracle.check_seeds(len(self.seeds), self.seeds)
        if not 0 < self.z < math.inf:
            raise ValueError(f"z is {self.z}; a number above 0 is needed")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sample:
    """Test accuracies of one network.

    Attributes:
      accuracies: Shares of 1, by seed.
      restarted: Trainings that began anew under another key, because numbers were not finite.
      diverged: Of them, those whose last numbers were not finite either.
    """

    accuracies: tuple[float, ...]
    restarted: int = 0
    diverged: int = 0

    @property
    def mean(self) -> float:
        """Mean over seeds."""
        return float(np.mean(self.accuracies))

    @property
    def std(self) -> float:
        """Standard deviation between seeds (n - 1)."""
        return float(np.std(self.accuracies, ddof=1))

    @property
    def standard_error(self) -> float:
        """Standard error of the mean."""
        return self.std / math.sqrt(len(self.accuracies))


class Trained(NamedTuple):
    """A trained network: its module and its batch statistics."""

    module: flax_network.FlaxNetwork
    statistics: flax_network.Statistics


@dataclasses.dataclass(frozen=True, kw_only=True)
class FinalTest:
    """What the final test found.

    Attributes:
      before: The given network.
      after: The found network.
      max_drop: Allowed drop of the mean accuracy (share of 1).
      verdict: Whether the drop is shown to be allowed, shown not to be, or neither.
      seeds: The seeds.
      images: Images of the test split.
      trained: The found network as the first seed's training left it.
    """

    before: Sample
    after: Sample
    max_drop: float
    verdict: Verdict
    seeds: tuple[int, ...]
    images: int
    trained: Trained = dataclasses.field(compare=False, repr=False)

    @property
    def difference(self) -> float:
        """Mean accuracy found minus given."""
        return self.after.mean - self.before.mean

    @property
    def standard_error(self) -> float:
        """Standard error of the difference, the two networks' seeds taken as independent."""
        return math.hypot(self.before.standard_error, self.after.standard_error)

    @property
    def interval(self) -> tuple[float, float]:
        """95 % confidence interval of the difference over seeds (Welch 1947)."""
        variances = [side.standard_error**2 for side in (self.before, self.after)]
        if not sum(variances):
            return self.difference, self.difference
        of_each = [
            variance**2 / (len(side.accuracies) - 1)
            for variance, side in zip(variances, (self.before, self.after), strict=True)
        ]
        freedom = sum(variances) ** 2 / sum(of_each)
        reach = float(special.stdtrit(freedom, 0.975)) * self.standard_error
        return self.difference - reach, self.difference + reach


def judge(difference: float, standard_error: float, max_drop: float, z: float) -> Verdict:
    """Return whether a drop in accuracy is shown to be allowed.

    Args:
      difference: Mean accuracy found minus given.
      standard_error: Its standard error.
      max_drop: Allowed drop, from 0.
      z: Standard errors that a claim must be away from its opposite.

    Returns:
      "holds" if difference - z SE >= -max_drop, "fails" if difference + z SE < -max_drop, else
      "undecided".
    """
    if difference - z * standard_error >= -max_drop:
        return "holds"
    if difference + z * standard_error < -max_drop:
        return "fails"
    return "undecided"


def compare(
    given: Network,
    found: Network,
    data: datasets.DataSet,
    *,
    max_drop: float,
    config: Config | None = None,
    run: execution.Execution | None = None,
    before: Sample | None = None,
    progress: oracle.Progress | None = None,
) -> FinalTest:
    """Train both networks alike on fresh seeds and compare them on the test split.

    Args:
      given: The given network.
      found: The network that a search found.
      data: Training split to train on, test split to judge by.
      max_drop: Allowed drop of the mean accuracy (share of 1), from 0.
      config: Recipe, seeds and how sure to be.
      run: How trainings are executed; by default what suits this machine.
      before: What the given network reached on these seeds, where that is known already.
      progress: Called with the number of trainings done since the last call.

    Raises:
      SpecError: If a network cannot be executed or does not fit the data.
      ValueError: If `max_drop` is not from 0 to 1.
    """
    config = config or Config()
    run = run or execution.default()
    if not 0 <= max_drop <= 1:
        raise ValueError(f"max_drop is {max_drop}; a share from 0 to 1 is needed")
    if children.input_shape(given) != children.input_shape(found):
        raise SpecError(f"networks '{given.name}' and '{found.name}' read different inputs")
    children.check_fit(given, data)
    recipe = recipes.settled(config.recipe, given, recipes.FINAL_PASSES)
    over = arrays.everywhere()
    images = arrays.placed(
        training.joined(
            (data.train_images, data.train_labels), (data.test_images, data.test_labels)
        ),
        over,
    )
    per_device = -(-len(config.seeds) // over.size)
    size = per_device * over.size
    order = execution.dealt(size, over.size)
    active = np.arange(size) < len(config.seeds)
    seeds = np.zeros(size, np.uint32)
    seeds[: len(config.seeds)] = config.seeds
    many = (seeds[order], active[order])

    def prepared(network: Network) -> Any:
        train_one = _training(network, recipe, run, kept=network is found)
        there = arrays.placed(many, over, arrays.dealt())
        return execution.spread(train_one, run, over).lower(images, there).compile()

    wanted = (found,) if before is not None else (found, given)
    with concurrent.futures.ThreadPoolExecutor() as pool:
        programs = list(pool.map(prepared, wanted))
    (outcome, *trained), restarted = _run(programs[0], images, many, over)
    told = progress or (lambda _: None)
    after = _sample(outcome, order, len(config.seeds), restarted)
    told(len(config.seeds))
    if before is None:
        (outcome, *_), restarted = _run(programs[1], images, many, over)
        before = _sample(outcome, order, len(config.seeds), restarted)
    told(len(config.seeds))
    difference = after.mean - before.mean
    error = math.hypot(before.standard_error, after.standard_error)
    return FinalTest(
        before=before,
        after=after,
        max_drop=max_drop,
        verdict=judge(difference, error, max_drop, config.z),
        seeds=tuple(config.seeds),
        images=len(data.test_labels),
        trained=Trained(*jax.tree.map(lambda leaf: leaf[int(np.argsort(order)[0])], trained)),
    )


def _run(
    program: Any, images: training.Images, many: tuple[np.ndarray, np.ndarray], over: Mesh
) -> tuple[Any, int]:
    """Return what the trainings give, and how many diverged and began anew under another key."""
    seeds, active = many

    def trained(*many: np.ndarray) -> Any:
        return arrays.fetched(program(images, arrays.placed(many, over, arrays.dealt())))

    found = trained(seeds, active)
    restarted = int((active & ~found[0].finite).sum())
    for restart in range(1, training.MOST_RESTARTS + 1):
        again = active & ~found[0].finite
        if not again.any():
            break
        others = [training.restarted(int(seed), restart, 1) for seed in seeds]
        renewed = trained(np.asarray(others, np.uint32), again)
        found = jax.tree.map(functools.partial(_exchanged, again), found, renewed)
    return found, restarted


def _exchanged(rows: np.ndarray, old: np.ndarray, new: np.ndarray) -> np.ndarray:
    """Return the leaves [n, ...] of some trainings with those of other rows exchanged."""
    return np.where(rows.reshape(-1, *[1] * (old.ndim - 1)), new, old)


def _sample(outcome: training.Outcome, order: np.ndarray, count: int, restarted: int) -> Sample:
    places = np.argsort(order)[:count]
    return Sample(
        accuracies=tuple(float(value) for value in np.asarray(outcome.accuracy)[places]),
        restarted=restarted,
        diverged=int((~np.asarray(outcome.finite)[places]).sum()),
    )


def _training(
    network: Network, recipe: training.Recipe, run: execution.Execution, *, kept: bool
) -> Any:
    """Return (images, (seed, active)) -> (outcome, module, statistics) at true shapes.

    The last two are left out unless they are to be kept.
    """
    only_end = dataclasses.replace(recipe, checks=(), margins=())

    def apply(module, statistics, batch, training, key):
        return flax_network.apply(module, statistics, batch, training=training, key=key)

    def train_one(images: training.Images, one: tuple[jax.Array, jax.Array]):
        seed, active = one
        key = jax.random.fold_in(jax.random.key(seed), STREAM)
        build_key, train_key = jax.random.split(key)
        module = flax_network.build(network, build_key, convolution=run.method)
        result = training.train(
            apply,
            module,
            flax_network.initial_statistics(module),
            only_end,
            images,
            train_key,
            np.zeros(0, np.float32),
            active,
            training.EVALUATION_BATCH[run.method],
        )
        return result if kept else result[:1]

    return train_one
