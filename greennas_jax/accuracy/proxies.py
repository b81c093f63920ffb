"""Training-free scores of variants: NASWOT and SynFlow, on the real executable network.

They rank networks of one space roughly, grow with width, and cannot tell one point of accuracy: a
search that uses them has measured no accuracy.

Shapes: N images.
"""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from greennas_jax.accuracy import children, initial, masks, naswot, oracle, synflow
from greennas_jax.accuracy import template as templates
from greennas_jax.spec.network import Network


class Scores(NamedTuple):
    """Scores of one network under one draw of weights; higher is better.

    Attributes:
      naswot: Log-determinant of the kernel of activation codes (Mellor et al. 2021).
      log_synflow: Logarithm of the sum of synaptic saliencies (Tanaka et al. 2020).
    """

    naswot: jax.Array
    log_synflow: jax.Array


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Proxies:
    """The proxy oracle of one given network; made by `make`.

    Attributes:
      given: The given network.
      template: Its template.
      prepared: Seed -> a draw of weights and the given network's scores; the last is kept.
      scores: Scores of a child's arrays under a draw.
      progress: Called with the number of networks scored since the last call, if any.
    """

    given: Network
    template: templates.Template
    prepared: Callable[[int], tuple[initial.Parameters, Scores]]
    scores: Callable[..., Scores]
    progress: oracle.Progress | None = None

    @property
    def kind(self) -> oracle.Kind:
        """No accuracy is measured."""
        return "proxy"

    def evaluate(self, networks: Sequence[Network], seeds: Sequence[int]) -> list[oracle.Trial]:
        """Score variants of the given network: 1 as the given one, less by the worst relative drop.

        Networks of one seed share the draw of weights and the given network's scores, so that one
        seed for all is fastest.

        Args:
          networks: Variants of the given network.
          seeds: One per network.

        Raises:
          SpecError: If a network is not a variant of the given one.
          ValueError: If the seeds do not match.
        """
        oracle.check_seeds(len(networks), seeds)
        found = [masks.describe(self.given, self.template, network) for network in networks]
        trials: dict[int, oracle.Trial] = {}
        for seed in dict.fromkeys(seeds):
            draws, reference = self.prepared(seed)
            for index, child in enumerate(found):
                if seeds[index] != seed:
                    continue
                score = relative_score(self.scores(child, draws), reference)
                trials[index] = oracle.Trial(accuracy=score, stopped=False, epochs=0.0)
                if self.progress is not None:
                    self.progress(1)
        return [trials[index] for index in range(len(found))]

    def block(self, seed: int) -> int:
        """Return 0: scores share all they are judged on."""
        return 0

    def baseline(self, seeds: Sequence[int]) -> list[oracle.Trial]:
        """Return the given network's scores: 1 for every seed."""
        oracle.check_seeds(len(seeds), seeds)
        return [oracle.Trial(accuracy=1.0, stopped=False, epochs=0.0) for _ in seeds]

    def after_baseline(self, trials: Sequence[oracle.Trial]) -> "Proxies":
        """Return the same oracle: there is nothing to stop early."""
        del trials
        return self


def relative_score(found: Scores, given: Scores) -> float:
    """Return 1 minus the worst relative drop of the scores; 0 where a score is not finite.

    SynFlow is log 0 where no way leads from the input to the output, as from a picture to a class
    token that attends to nothing.

    Args:
      found: A variant's scores.
      given: The given network's under the same draw.
    """
    drops = [
        (float(reference) - float(value)) / max(abs(float(reference)), 1.0)
        for value, reference in zip(found, given, strict=True)
    ]
    worst = max(drops)
    return 1.0 - worst if np.isfinite(worst) else 0.0


def _random_inputs(vocabulary: int, shape: tuple[int, ...], seed: int) -> np.ndarray:
    """Return standard normal images, or token numbers that are all alike probable."""
    rng = np.random.default_rng(seed)
    if vocabulary:
        return rng.integers(0, vocabulary, shape).astype(np.int32)
    return rng.standard_normal(shape, np.float32)


def make(
    given: Network,
    *,
    images: np.ndarray | None = None,
    batch_size: int = 8,
    seed: int = 0,
    freedom: templates.Freedom | None = None,
    progress: oracle.Progress | None = None,
) -> Proxies:
    """Return the proxy oracle of a given network's variants.

    Args:
      given: The network whose variants will be scored.
      images: float32 [N, H, W, C] in the network's input shape, or int32 token numbers [N, S]; by
        default standard normal, or random tokens.
      batch_size: Random images where none are given.
      seed: Decides the random images.
      freedom: What variants may do that makes the template larger.
      progress: Called with the number of networks scored since the last call.

    Raises:
      SpecError: If the network cannot be executed in a template.
    """
    template = templates.make(given, freedom)
    shape = children.input_shape(given)
    if images is None:
        images = _random_inputs(children.vocabulary(given), (batch_size, *shape), seed)
    if images.shape[1:] != shape or len(images) < 2:
        raise ValueError(f"images {list(images.shape)}: two or more of {list(shape)} are needed")

    compared = jnp.asarray(images)
    drawn = jax.jit(lambda seed: initial.draw(template, jax.random.key(seed)))
    # Apart: compiled together, weights are scaled again inside everything that reads them.
    scaled = jax.jit(initial.scaled)
    codes = jax.jit(lambda child, weights, images: naswot.naswot(template, child, weights, images))
    flow = jax.jit(lambda child, weights: synflow.log_synflow(template, child, weights))

    def scores(child: Any, draws: initial.Parameters) -> Scores:
        weights = scaled(draws, child)
        return Scores(codes(child, weights, compared), flow(child, weights))

    own = masks.describe(given, template, given)

    # Searches ask for one seed many times, and a large network's draw takes seconds.
    @functools.lru_cache(maxsize=1)
    def prepared(seed: int) -> tuple[initial.Parameters, Scores]:
        draws = drawn(np.uint32(seed))
        return draws, scores(own, draws)

    return Proxies(
        given=given,
        template=template,
        prepared=prepared,
        scores=scores,
        progress=progress,
    )
