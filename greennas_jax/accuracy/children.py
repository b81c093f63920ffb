"""Accuracy by real training: different children of one given network in one compiled program.

Every child is an own network with an own initialisation; children share nothing but the compiled
template, whose masks make it compute exactly the child's network.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from greennas_jax.accuracy import datasets, execution, masks, oracle, recipes, training
from greennas_jax.accuracy import template as templates
from greennas_jax.build import graph
from greennas_jax.mesh import arrays
from greennas_jax.spec import layers as layer_rules
from greennas_jax.spec import shapes as shape_rules
from greennas_jax.spec.network import Network, SpecError

# Gathered statistics lag behind weights that change fast: what a network is worth half-way shows
# with so much scatter that a child is stopped only this many standard deviations below. With the
# margins alone every fourth training of a sound child of `mobilenet_digits` was stopped.
SPREADS = 6.0


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Children:
    """The measured oracle of one given network on one data set; made by `make`.

    Attributes:
      given: The given network.
      template: Its template.
      recipe: How every child is trained.
      images: Training and validation images, on every device; their split is the first fold.
      run: Executes the trainings.
      size: Children in one call of the compiled program.
      over: Devices that they are spread over.
      program: The compiled program.
      thresholds: Validation accuracy below which a child is stopped, by check; none stops none.
      progress: Called with the number of trainings done since the last call, if any.
    """

    given: Network
    template: templates.Template
    recipe: training.Recipe
    images: training.Images
    run: execution.Execution
    over: Mesh
    program: Callable[[Any, Any], training.Outcome]
    thresholds: tuple[float, ...] = ()
    progress: oracle.Progress | None = None

    @property
    def kind(self) -> oracle.Kind:
        """Accuracy is measured by training."""
        return "measured"

    def evaluate(self, networks: Sequence[Network], seeds: Sequence[int]) -> list[oracle.Trial]:
        """Train variants of the given network, each from its own seed.

        Args:
          networks: Variants of the given network.
          seeds: One per network, from 0 to 2^32 - 1.

        Raises:
          SpecError: If a network is not a variant of the given one.
          ValueError: If the seeds do not match.
        """
        return self._train(networks, seeds, self.thresholds)

    def block(self, seed: int) -> int:
        """Return the fold that a seed holds out."""
        return seed % training.folds(self.images)

    def baseline(self, seeds: Sequence[int]) -> list[oracle.Trial]:
        """Train the given network from each seed, to the end.

        Raises:
          ValueError: If none of its trainings keeps to finite numbers, whatever the key.
        """
        trials = self._train([self.given] * len(seeds), seeds, ())
        if trials and all(trial.diverged for trial in trials):
            raise ValueError(
                f"network '{self.given.name}': its training comes to numbers that are not finite "
                f"under {len(trials) * (1 + training.MOST_RESTARTS)} keys; a lower learning_rate "
                "may help"
            )
        return trials

    def after_baseline(self, trials: Sequence[oracle.Trial]) -> "Children":
        """Return the oracle that stops children far below the given network's learning curve."""
        spreads = SPREADS if keeps_statistics(self.given) else 0.0
        return dataclasses.replace(
            self, thresholds=stopping_thresholds(self.recipe, trials, spreads)
        )

    def _train(
        self, networks: Sequence[Network], seeds: Sequence[int], thresholds: tuple[float, ...]
    ) -> list[oracle.Trial]:
        oracle.check_seeds(len(networks), seeds)
        found = [masks.describe(self.given, self.template, network) for network in networks]
        bars = np.full(len(self.recipe.checks), -np.inf, np.float32)
        bars[: len(thresholds)] = thresholds
        trials = self._trained(found, seeds, bars)
        for restart in range(1, training.MOST_RESTARTS + 1):
            again = [index for index, trial in enumerate(trials) if trial.diverged]
            if not again:
                break
            folds = training.folds(self.images)
            others = [training.restarted(int(seeds[i]), restart, folds) for i in again]
            renewed = self._trained([found[i] for i in again], others, bars)
            for index, trial in zip(again, renewed, strict=True):
                trials[index] = trial._replace(restarts=restart)
        return trials

    def _trained(
        self, found: list[masks.Child], seeds: Sequence[int], bars: np.ndarray
    ) -> list[oracle.Trial]:
        """Train children as many at a time as one call of the program holds."""
        size = self.over.size * self.run.per_device
        trials: list[oracle.Trial] = []
        for start in range(0, len(found), size):
            part = slice(start, min(start + size, len(found)))
            trials += self._chunk(found[part], np.asarray(seeds[part], np.uint32), bars, size)
            if self.progress is not None:
                self.progress(len(trials) - start)
        return trials

    def _chunk(
        self, found: list[masks.Child], seeds: np.ndarray, bars: np.ndarray, size: int
    ) -> list[oracle.Trial]:
        """Train at most as many children as one call of the program holds."""
        count = len(found)
        fill = size - count
        order = execution.dealt(size, self.over.size)
        stacked = jax.tree.map(lambda *parts: np.stack([*parts, *parts[:1] * fill])[order], *found)
        many = (
            stacked,
            np.pad(seeds, (0, fill))[order],
            np.broadcast_to(bars, (size, len(bars))),
            (np.arange(size) < count)[order],
        )
        many = arrays.placed(many, self.over, arrays.dealt())
        outcome = arrays.fetched(self.program(self.images, many))
        back = np.argsort(order)
        per_epoch = training.steps_per_epoch(self.recipe, self.images.train.shape[0])
        return [trial(outcome, int(back[index]), per_epoch) for index in range(count)]


def trial(outcome: training.Outcome, index: int, steps_per_epoch: int) -> oracle.Trial:
    """Return one of many outcomes as a trial."""
    curve = outcome.curve[index]
    diverged = not bool(outcome.finite[index])
    return oracle.Trial(
        accuracy=float(outcome.accuracy[index]),
        stopped=bool(outcome.stopped[index]) or diverged,
        epochs=int(outcome.steps[index]) / steps_per_epoch,
        curve=tuple(float(value) for value in curve[np.isfinite(curve)]),
        diverged=diverged,
    )


def stopping_thresholds(
    recipe: training.Recipe, trials: Sequence[oracle.Trial], spreads: float = 0.0
) -> tuple[float, ...]:
    """Return the accuracy below which a child is stopped at each check.

    Args:
      recipe: Its margins are subtracted.
      trials: Of the given network, none stopped; those that diverged tell nothing.
      spreads: Standard deviations of the given network's own accuracy at a check that the margin is
        at least.
    """
    trials = [trial for trial in trials if not trial.diverged]
    if not trials:
        return ()
    curves = np.asarray([trial.curve[: len(recipe.margins)] for trial in trials], np.float64)
    own = curves.std(axis=0, ddof=1) if len(trials) > 1 else np.zeros(curves.shape[1])
    margins = np.maximum(recipe.margins, spreads * own)
    return tuple(float(value) for value in curves.mean(axis=0) - margins)


def keeps_statistics(network: Network) -> bool:
    """Return whether a network normalises by statistics that it gathers while it is trained."""
    return any(
        layer.type == "BatchNorm" or layer_rules.normalizer(layer) for layer in network.layers
    )


def input_shape(network: Network) -> tuple[int, ...]:
    """Return the shape of one image that a network reads."""
    shapes = shape_rules.infer(network)
    return next(shapes[layer.name].output[1:] for layer in network.layers if layer.type == "Input")


def vocabulary(network: Network) -> int:
    """Return how many tokens a network's input may name; 0 where it reads no token numbers."""
    return graph.vocabulary(graph.nodes(network))


def classes(network: Network) -> int:
    """Return how many classes a network tells apart; a single logit tells two."""
    return max(2, shape_rules.infer(network)[graph.logits_layer(network)].output[-1])


def check_fit(network: Network, data: datasets.DataSet) -> None:
    """Raise SpecError unless a network can read a data set and tell its classes apart."""
    kinds = {"i": "token numbers", "f": "real numbers"}
    wanted = "i" if vocabulary(network) else "f"
    found = data.train_images.dtype.kind
    if found != wanted:
        raise SpecError(
            f"network '{network.name}' reads {kinds[wanted]}; data set '{data.name}' has "
            f"{kinds.get(found, str(data.train_images.dtype))}"
        )
    shape = data.train_images.shape[1:]
    if shape != input_shape(network) or data.classes > classes(network):
        raise SpecError(
            f"network '{network.name}' reads {list(input_shape(network))} and tells "
            f"{classes(network)} classes apart; data set '{data.name}' has images {list(shape)} "
            f"and {data.classes} classes"
        )


def check_recipe(recipe: training.Recipe, data: datasets.DataSet) -> None:
    """Raise ValueError if a recipe would spoil a data set."""
    if recipe.flip and data.chiral:
        raise ValueError(
            f"recipe.flip is True; mirrored images of '{data.name}' mean something else; False "
            "needed"
        )


def make(
    given: Network,
    data: datasets.DataSet,
    *,
    recipe: training.Recipe | None = None,
    run: execution.Execution | None = None,
    freedom: templates.Freedom | None = None,
    progress: oracle.Progress | None = None,
) -> Children:
    """Return the measured oracle of a given network's variants.

    Args:
      given: The network whose variants will be evaluated.
      data: Its training and validation images are used, its test images are not.
      recipe: How every child is trained; what it leaves open follows the given network.
      run: How trainings are executed; by default what suits this machine.
      freedom: What variants may do that makes the template larger; by default all that spaces
        offer by default.
      progress: Called with the number of trainings done since the last call.

    Raises:
      SpecError: If the network cannot be trained, or the data do not fit it.
      ValueError: If the recipe does not suit the data.
    """
    recipe = recipes.settled(recipe or training.Recipe(), given)
    run = run or execution.default()
    template = templates.make(given, freedom)
    check_fit(given, data)
    check_recipe(recipe, data)
    over = arrays.everywhere()
    images = training.joined(
        (data.train_images, data.train_labels), (data.validation_images, data.validation_labels)
    )

    def train_one(images: training.Images, one: Any) -> training.Outcome:
        child, seed, thresholds, active = one
        return training.train_child(
            template, recipe, run.method, images, child, seed, thresholds, active
        )

    shared = arrays.placed(images, over)
    program = execution.spread(train_one, run, over)
    child = masks.describe(given, template, given)

    def needed(per_device: int) -> int:
        many = (child, np.uint32(0), np.zeros(len(recipe.checks), np.float32), np.True_)
        size = over.size * per_device
        shapes = jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct((size, *np.shape(leaf)), np.asarray(leaf).dtype), many
        )
        return execution.bytes_of(program.lower(shared, shapes).compile())

    return Children(
        given=given,
        template=template,
        recipe=recipe,
        images=shared,
        run=execution.affordable(run, needed),
        over=over,
        program=program,
        progress=progress,
    )
