"""Training-free scores by name, each on many architectures in one compiled program.

A score is a pure function of one child of a masked template; the children of a batch are scored one
after the other or side by side, on all devices. None of them measures accuracy.

Shapes: N images, K children.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh

from greennas_jax.accuracy import (
    execution,
    gradient_norm,
    initial,
    jacobian_covariance,
    masks,
    naswot,
    sizes,
    synflow,
)
from greennas_jax.accuracy import template as templates
from greennas_jax.build import convolution
from greennas_jax.mesh import arrays


class Batch(NamedTuple):
    """What networks are scored on.

    Attributes:
      images: float32 [N, ...] in the network's input shape, or int32 token numbers [N, S].
      labels: int32 [N]; only the gradient norm reads them.
    """

    images: Any
    labels: Any


class Sight(NamedTuple):
    """One child with its initial weights, as a score sees it.

    Attributes:
      template: The plan.
      child: Arrays of the variant.
      parameters: Its initial parameters.
      batch: What it is scored on.
      method: How convolutions are computed.
    """

    template: templates.Template
    child: dict[str, initial.Arrays]
    parameters: initial.Parameters
    batch: Batch
    method: convolution.Method


class Score(NamedTuple):
    """A score: its name, its function of a `Sight` (float32, higher is better), and its source."""

    name: str
    function: Callable[[Sight], jax.Array]
    source: str


_SCORES: dict[str, Score] = {}


def register(score: Score) -> Score:
    """Add a score to the registry and return it.

    Raises:
      ValueError: If the name is taken.
    """
    if score.name in _SCORES:
        raise ValueError(f"score '{score.name}' is already registered")
    _SCORES[score.name] = score
    return score


def names() -> tuple[str, ...]:
    """Return the names of all scores, in the order they were registered."""
    return tuple(_SCORES)


def get(name: str) -> Score:
    """Return a score.

    Raises:
      ValueError: If no score has the name; the known ones are listed.
    """
    if name not in _SCORES:
        raise ValueError(f"score '{name}' is not known; allowed: {', '.join(_SCORES)}")
    return _SCORES[name]


def random_batch(template: templates.Template, count: int, seed: int, classes: int) -> Batch:
    """Return standard normal images, or random tokens, with labels that mean nothing.

    Args:
      template: Its input decides the shape.
      count: N.
      seed: Decides all.
      classes: Labels are from 0 to below.
    """
    rng = np.random.default_rng(seed)
    entry = next(slot for slot in template.slots if slot.kind in ("input", "tokens"))
    shape = (count, *entry.node.output[1:])
    labels = rng.integers(0, classes, count).astype(np.int32)
    if entry.kind == "input":
        return Batch(rng.standard_normal(shape, np.float32), labels)
    sizes_known = [s.node.view.vocabulary for s in template.slots if s.kind == "embedding"]
    most = min(size for size in sizes_known if size)
    return Batch(rng.integers(0, most, shape).astype(np.int32), labels)


class Scorer(NamedTuple):
    """A compiled program that scores batches of children; made by `make`.

    Attributes:
      names: Names of the scores, in the order of a row.
      size: Children in one call of the program.
      over: Devices that they are spread over.
      program: (batch, (children, seeds)) -> float32 [size, scores].
    """

    names: tuple[str, ...]
    size: int
    over: Mesh
    program: Callable[[Any, Any], jax.Array]

    def __call__(
        self, children: Sequence[masks.Child], seeds: Sequence[int], batch: Batch
    ) -> dict[str, np.ndarray]:
        """Return each score of each child under its seed's draw of weights, float32 [K] each.

        Args:
          children: Arrays of K variants (`masks.describe`).
          seeds: One per child, each the draw of its weights.
          batch: What they are scored on.
        """
        rows = []
        order = execution.dealt(self.size, self.over.size)
        for start in range(0, len(children), self.size):
            part = list(children[start : start + self.size])
            some = list(seeds[start : start + self.size])
            fill = self.size - len(part)
            part, some = part + part[:1] * fill, some + some[:1] * fill
            stacked = jax.tree.map(lambda *leaves: np.stack(leaves)[order], *part)
            many = (stacked, np.asarray(some, np.uint32)[order])
            many = arrays.placed(many, self.over, arrays.dealt())
            found = arrays.fetched(self.program(arrays.placed(batch, self.over), many))
            rows.append(found[np.argsort(order)][: self.size - fill])
        columns = np.concatenate(rows).T if rows else np.zeros((len(self.names), 0), np.float32)
        return dict(zip(self.names, columns, strict=True))


def make(
    template: templates.Template,
    wanted: Sequence[str] | None = None,
    run: execution.Execution | None = None,
) -> Scorer:
    """Return the program that scores children of a template.

    Args:
      template: The plan.
      wanted: Names of scores; by default all.
      run: How children share the program; by default what suits this machine.

    Raises:
      ValueError: If a score is not known, or one cannot read the template's kind of input.
    """
    chosen = [get(name) for name in (names() if wanted is None else wanted)]
    run = run or execution.default()
    over = arrays.everywhere()

    def score(batch: Batch, one: tuple[Any, jax.Array]) -> jax.Array:
        child, seed = one
        parameters = initial.scaled(initial.draw(template, jax.random.key(seed)), child)
        # Compiled together, weights are scaled again inside everything that reads them.
        sight = Sight(template, child, jax.lax.optimization_barrier(parameters), batch, run.method)
        return jax.numpy.stack([score.function(sight) for score in chosen])

    return Scorer(
        tuple(score.name for score in chosen),
        over.size * run.per_device,
        over,
        execution.spread(score, run, over),
    )


register(
    Score(
        "naswot",
        lambda s: naswot.naswot(s.template, s.child, s.parameters, s.batch.images, method=s.method),
        "Mellor et al. 2021, section 3",
    )
)
register(
    Score(
        "log_synflow",
        # Forward-mode derivatives of one image: XLA's own convolutions, whatever the method.
        lambda s: synflow.log_synflow(s.template, s.child, s.parameters),
        "Tanaka et al. 2020, equation 2",
    )
)
register(
    Score(
        "jacobian_covariance",
        lambda s: jacobian_covariance.jacobian_covariance(
            s.template, s.child, s.parameters, s.batch.images, method=s.method
        ),
        "Mellor et al. 2020 (version 1), section 3",
    )
)
register(
    Score(
        "gradient_norm",
        lambda s: gradient_norm.gradient_norm(
            s.template, s.child, s.parameters, s.batch.images, s.batch.labels, method=s.method
        ),
        "Abdelfattah et al. 2021, section 3.1",
    )
)
register(
    Score("parameters", lambda s: sizes.parameters(s.template, s.child), "trainable parameters")
)
register(
    Score("flops", lambda s: sizes.flops(s.template, s.child), "a multiply-add of weights is two")
)
