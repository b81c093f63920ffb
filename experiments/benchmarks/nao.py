"""Training step and generation of NAO's networks at the sizes of its paper, in core milliseconds.

40 tokens in 10 steps, an embedding of width 64 from one recurrent layer, batches of 100; generation
moves 100 architectures by 50 step sizes along the gradient of a head and decodes all 5,000. The
references do the same one step, and one step size, at a time.
"""

import functools
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from greennas_jax.nao import encoder, training
from greennas_jax.nao import model as models
from greennas_jax.nao.grammar import Grammar
from greennas_jax.nao.model import Model, ModelConfig
from greennas_jax.nao.training import Pool, TrainingConfig

from . import processes, suites

TOKENS = 40
VOCABULARY = 6
# The four tokens of a node are one step of the recurrent layer, as in the space of NAO's cells.
PER_STEP = 4
OUTPUTS = 16
BATCH = 100
WIDTH = 64
STEPS = 20
ARCHITECTURES = 100
STEP_SIZES = 50
REPEATS = 3
# Step sizes that the reference takes; its time is scaled up.
SOME = 5


def run(options: suites.Options) -> dict[str, Any]:
    """Return what a training step and a generation take on all cores and on one."""
    arguments = f"{options.small}, {options.seed}"
    alone = processes.alone("nao", f"measured({arguments})")
    return measured(options.small, options.seed) | {"on_one_core": alone}


def measured(small: bool, seed: int) -> dict[str, Any]:
    """Return the core milliseconds of a training step and of a generation, and the references."""
    steps, repeats = (2, 1) if small else (STEPS, REPEATS)
    rules = Grammar(
        valid=np.ones((TOKENS, VOCABULARY), bool),
        step_of=np.arange(TOKENS, dtype=np.int32) // PER_STEP,
        steps=TOKENS // PER_STEP,
        outputs=OUTPUTS,
    )
    model = models.create(rules, ModelConfig(width=WIDTH), jax.random.key(seed))
    config = TrainingConfig(batch=BATCH, steps=steps, pool=4096)
    rng = np.random.default_rng(seed)
    pool = Pool(
        jnp.asarray(rng.integers(0, VOCABULARY, (config.pool, TOKENS)), jnp.int32),
        jnp.asarray(rng.normal(size=(config.pool, OUTPUTS)), jnp.float32),
    )
    return {
        "tokens": TOKENS,
        "embedding_width": WIDTH,
        "batch": BATCH,
        **_training(model, pool, config, repeats),
        **_generation(model, pool.tokens[:ARCHITECTURES], repeats),
    }


def _training(model: Model, pool: Pool, config: TrainingConfig, repeats: int) -> dict[str, Any]:
    """Return what a step takes inside a scan, and one call after the other."""
    scanned = _trained(model, pool, config, config.steps)
    single = _trained(model, pool, config, 1)
    inside = [_core_ms(scanned) / config.steps for _ in range(repeats)]
    alone = [_core_ms(single) for _ in range(repeats)]
    return {
        "step_core_ms": suites.spread(inside),
        "steps_in_a_call": config.steps,
        "reference_step": "the same step, one call at a time",
        "reference_step_core_ms": suites.spread(alone),
        "ratio_of_step": suites.spread(alone)["median"] / suites.spread(inside)["median"],
    }


def _tree(model: Model) -> Any:
    """Return a model as what optax takes; its types do not know flax's trees."""
    return model


def _trained(
    model: Model, pool: Pool, config: TrainingConfig, steps: int
) -> Callable[[], jax.Array]:
    """Return a call of some training steps, compiled."""
    key = jax.random.key(1)
    # Both are used up by a call, which returns the next ones.
    kept = [jax.tree.map(jnp.copy, model), training.optimiser(config).init(_tree(model))]

    def work() -> jax.Array:
        kept[0], kept[1], parts = training.train_steps(
            kept[0], kept[1], pool, key, jnp.asarray(0), config=config, steps=steps
        )
        return parts[0]

    jax.block_until_ready(work())
    return work


def _generation(model: Model, tokens: jax.Array, repeats: int) -> dict[str, Any]:
    """Return what all step sizes at once take, and one size after the other."""
    sizes = jnp.linspace(0.1, 5.0, STEP_SIZES)
    together = functools.partial(_moved, model, tokens, sizes)
    jax.block_until_ready(together())

    def one_by_one() -> jax.Array:
        return jnp.stack([_moved(model, tokens, size[None])[0] for size in sizes[:SOME]])

    same = bool((one_by_one() == together()[:SOME]).all())
    at_once, apart = [], []
    wall = []
    for _ in range(repeats):
        start = time.perf_counter()
        at_once.append(_core_ms(together))
        wall.append(1e3 * (time.perf_counter() - start))
        apart.append(_core_ms(one_by_one) * STEP_SIZES / SOME)
    return {
        "architectures": len(tokens),
        "step_sizes": STEP_SIZES,
        "generation_core_ms": suites.spread(at_once),
        "generation_wall_ms": suites.spread(wall),
        "reference_generation": f"one step size after the other; {SOME} of them, scaled up",
        "reference_generation_core_ms": suites.spread(apart),
        "ratio_of_generation": suites.spread(apart)["median"] / suites.spread(at_once)["median"],
        "generations_are_alike": same,
    }


@jax.jit
def _moved(model: Model, tokens: jax.Array, sizes: jax.Array) -> jax.Array:
    """Return what architectures decode to after a step of each size, int32 [sizes, B, T]."""
    start = models.embed(model, tokens)
    pull = jax.grad(lambda embedding: model.heads(embedding)[:, 0].sum())(start)

    def decoded(size: jax.Array) -> jax.Array:
        return models.decode_greedily(model, encoder.normalise(start - size * pull))

    return jax.vmap(decoded)(sizes)


def _core_ms(work: Callable[[], Any]) -> float:
    """Return the milliseconds of all cores together."""
    start = time.process_time()
    jax.block_until_ready(work())
    return 1e3 * (time.process_time() - start)
