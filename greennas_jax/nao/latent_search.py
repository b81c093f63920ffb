"""Gradient ascent in the embedding: move, decode, re-encode, from many starts at once.

Two paths carry the gradient of the acquisition to an embedding z: the heads on z itself, and the
decoder (at a temperature) -> relaxed cost of its token probabilities -> the same probabilities
embedded again -> heads. Every step moves z by about one edit's distance, decodes it greedily and
re-encodes the tokens; where the tokens did not change, the step grows until they do (Luo et al.
2018, section 3.4).

Shapes: R starts, N steps, T tokens, V vocabulary, S steps of the embedding, D its width, O outputs.
"""

import dataclasses
import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from greennas_jax.mesh import arrays
from greennas_jax.nao import encoder
from greennas_jax.nao import model as models
from greennas_jax.nao.acquisition import AccuracyModel, Worth
from greennas_jax.nao.model import Model
from greennas_jax.spaces import factors as cost_factors

PATHS = ("both", "heads", "relaxed", "none")
# Width of the step at a limit, in log cost: one part in twenty.
STEEPNESS = 0.05


@dataclasses.dataclass(frozen=True, kw_only=True)
class LatentConfig:
    """How the embedding is searched.

    Attributes:
      restarts: Starts R moved at once.
      steps: Gradient steps N.
      sizes: Step sizes in edit distances; the starts share them out.
      growth: Factor on a step that changed no token.
      temperature: Of the decoder, for the gradient's sake.
      few: Labelled architectures up to which a Gaussian process on the head outputs models
        accuracy; NAO's perceptron does above.
      paths: Which gradients are followed: `both`, `heads`, `relaxed`; `none` moves at random.
    """

    restarts: int = 96
    steps: int = 16
    sizes: tuple[float, ...] = (0.7, 1.0, 1.5)
    growth: float = 1.5
    temperature: float = 2.0
    paths: str = "both"
    few: int = 512

    def __post_init__(self):
        if self.paths not in PATHS:
            raise ValueError(f"paths is {self.paths!r}; allowed: {', '.join(PATHS)}")
        if min(self.restarts, self.steps, len(self.sizes)) < 1 or min(self.sizes) <= 0:
            raise ValueError("restarts, steps and sizes must be positive")


class CostHead(NamedTuple):
    """Where the heads predict the searched cost, and how to undo its standardising.

    Attributes:
      index: Which of the O outputs is the log cost.
      mean: Mean of the log cost over the pool.
      spread: Standard deviation of the log cost over the pool.
    """

    index: jax.Array | int
    mean: jax.Array | float
    spread: jax.Array | float


class Guide(NamedTuple):
    """Limits that the ascent feels; what breaks them is sorted out behind it.

    Attributes:
      costs: Factors of the limited terms.
      log_most: Natural log of each limit [K].
      heads: Where the heads predict their log costs; every entry [K].
    """

    costs: cost_factors.Factors
    log_most: jax.Array
    heads: CostHead


class Visited(NamedTuple):
    """Architectures the ascent came by.

    Attributes:
      tokens: int32 [N, R, T], decoded after every step.
      predicted: Float [N, R], log cost the heads saw where the step ended, before decoding.
    """

    tokens: jax.Array
    predicted: jax.Array


def edit_distance(model: Model, tokens: jax.Array, edited: jax.Array) -> jax.Array:
    """Return the mean distance in the embedding between [B, T] strings and their edits."""
    difference = models.embed(model, tokens) - models.embed(model, edited)
    return jnp.mean(jnp.sqrt(jnp.sum(difference**2, axis=(1, 2)) + 1e-12))


def room(guide: Guide, log_costs: jax.Array) -> jax.Array:
    """Return the log of a smooth step from 1 within the limits to 0 beyond, summed over them.

    Args:
      guide: The limits.
      log_costs: Natural log of the limited terms [R, K].
    """
    return jax.nn.log_sigmoid((guide.log_most - log_costs) / STEEPNESS).sum(axis=-1)


def _worth(
    model, posterior, factors, goal, head, embedding, guide: Guide | None, config: LatentConfig
) -> jax.Array:
    """Return the summed acquisition of embeddings [R, S, D] along the chosen paths."""
    total = jnp.zeros(())
    if config.paths in ("both", "heads"):
        outputs = model.heads(embedding)
        log_cost = head.mean + head.spread * outputs[:, head.index]
        seen = models.features(outputs, embedding)
        total += goal.worth(posterior, seen, log_cost).sum()
        if guide is not None:
            own = guide.heads
            total += room(guide, own.mean + own.spread * outputs[:, own.index]).sum()
    if config.paths in ("both", "relaxed"):
        probabilities = model.decoder.generate(embedding, config.temperature)
        relaxed = jax.vmap(lambda rows: cost_factors.relaxed(factors, rows)[0])(probabilities)
        again = model.encoder(probabilities)
        seen = models.features(model.heads(again), again)
        log_cost = jnp.log(jnp.maximum(relaxed, 1e-30))
        total += goal.worth(posterior, seen, log_cost).sum()
        if guide is not None:
            limited = cost_factors.relaxed_batch(guide.costs, probabilities)
            total += room(guide, jnp.log(jnp.maximum(limited, 1e-30))).sum()
    return total


def _tangent(embedding: jax.Array, gradient: jax.Array) -> jax.Array:
    """Return the gradient's part along the unit spheres, of unit length over all steps."""
    radial = jnp.sum(gradient * embedding, axis=-1, keepdims=True)
    tangent = jnp.nan_to_num(gradient - radial * embedding)
    return tangent * jax.lax.rsqrt(jnp.sum(tangent**2, axis=(1, 2), keepdims=True) + 1e-20)


def ascend(
    model: Model,
    posterior: AccuracyModel,
    factors: cost_factors.Factors,
    goal: Worth,
    head: CostHead,
    starts: np.ndarray,
    distance: jax.Array,
    key: jax.Array,
    guide: Guide | None = None,
    *,
    config: LatentConfig,
    over: Mesh | None = None,
) -> Visited:
    """Move R starts through the embedding and return every architecture they decode to.

    The starts are dealt out to the devices of a mesh; how many those are changes nothing.

    Args:
      model: A trained model.
      posterior: The accuracy model on `features`.
      factors: The searched cost alone (K = 1), any unit.
      goal: Threshold and best log cost, in the same unit as `factors`.
      head: The head that predicts the log cost.
      starts: int32 [R, T].
      distance: One edit's distance in the embedding.
      key: Random key, for `paths="none"` and to part starts that are alike.
      guide: Limits on further terms, or None.
      config: How to search.
      over: The mesh; by default all devices of all processes.
    """
    over = over or arrays.everywhere()
    count = len(starts)
    tokens = arrays.filled(np.asarray(starts, np.int32), over)
    sizes = np.resize(np.asarray(config.sizes, np.float32), len(tokens))[:, None, None]
    shared = (model, posterior, factors, goal, head, distance, guide)
    # On one device all stays where it is.
    if over.size > 1:
        shared = arrays.placed(shared, over)
        tokens, sizes = arrays.placed((tokens, sizes), over, arrays.dealt())
    seed = arrays.placed(np.asarray(jax.random.key_data(key)), over)
    visited = arrays.fetched(_ascend(shared, tokens, sizes, seed, config=config, over=over))
    return jax.tree.map(lambda found: found[:, :count], visited)


@functools.partial(jax.jit, static_argnames=("config", "over"))
def _ascend(shared, tokens, sizes, seed, *, config: LatentConfig, over: Mesh) -> Visited:
    """Return `ascend` of as many starts as the mesh can be dealt."""
    model = shared[0]
    shape = (len(tokens), model.decoder.places.shape[0], model.decoder.places.shape[1])
    keys = jax.random.split(jax.random.wrap_key_data(seed), config.steps)
    # Drawn for all starts at once: the numbers of a start depend on its place alone.
    noise = jax.vmap(lambda key: jax.random.normal(key, shape))(keys)
    move = functools.partial(_moved, config=config)
    if over.size > 1:
        rows, later = arrays.dealt(), arrays.dealt(1)
        move = arrays.spread(move, over, (arrays.COPIED, rows, rows, later), later)
    return move(shared, tokens, sizes, noise)


def _moved(shared, starts, sizes, noise, *, config: LatentConfig) -> Visited:
    """Return where starts [R, T] come by, with step sizes [R, 1, 1] and noise [N, R, S, D]."""
    model, posterior, factors, goal, head, distance, guide = shared
    gradient = jax.grad(_worth, argnums=5)

    def step(carry, noise):
        embedding, tokens, stretch = carry
        if config.paths == "none":
            direction = _tangent(embedding, noise)
        else:
            pull = gradient(model, posterior, factors, goal, head, embedding, guide, config)
            direction = _tangent(embedding, pull) + 0.1 * _tangent(embedding, noise)
        moved = encoder.normalise(embedding + distance * stretch * direction)
        predicted = head.mean + head.spread * model.heads(moved)[:, head.index]
        decoded = models.decode_greedily(model, moved)
        same = jnp.all(decoded == tokens, axis=1)[:, None, None]
        embedding = jnp.where(same, moved, models.embed(model, decoded))
        stretch = jnp.where(same, stretch * config.growth, sizes)
        return (embedding, decoded, stretch), Visited(decoded, predicted)

    _, visited = jax.lax.scan(step, (models.embed(model, starts), starts, sizes), noise)
    return visited


@jax.jit
def score(
    model: Model, posterior: AccuracyModel, tokens: jax.Array, log_cost: jax.Array, goal: Worth
) -> tuple[jax.Array, jax.Array]:
    """Return features [B, F] and `log_worth` [B] of tokens [B, T] with exact log cost [B]."""
    found = features(model, tokens)
    return found, goal.worth(posterior, found, log_cost)


@jax.jit
def features(model: Model, tokens: jax.Array) -> jax.Array:
    """Return the features [B, F] of tokens [B, T]: head outputs, and the embedding's mean."""
    embedding = models.embed(model, tokens)
    return models.features(model.heads(embedding), embedding)
