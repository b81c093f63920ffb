"""What is computed over a mesh, on little, for comparison between meshes of different sizes."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from greennas_jax.mesh import arrays
from greennas_jax.nao import gaussian_process, latent_search, training
from greennas_jax.nao import model as models
from greennas_jax.nao.acquisition import Goal
from greennas_jax.nao.labels import Labels
from greennas_jax.nao.latent_search import CostHead, LatentConfig
from greennas_jax.nao.model import ModelConfig
from greennas_jax.nao.training import Pool, TrainingConfig
from greennas_jax.spaces import batches, factors, symbols
from tests.nao import synthetic

STARTS = 13  # not a multiple of any number of devices
STEPS = 3
STRINGS = 48
# The other path to a gradient takes twice as long to compile.
LATENT = LatentConfig(restarts=STARTS, steps=STEPS, paths="heads")
TRAINING = TrainingConfig(pool=128, steps=6, batch=32, runs=1, parts=8)


def model() -> models.Model:
    """Return a small embedding with fresh weights."""
    return models.create(synthetic.rules(), ModelConfig(width=16, hidden=16), jax.random.key(0))


def costs() -> factors.Factors:
    """Return costs of the made-up space: of neighbouring tokens together."""
    rng = np.random.default_rng(5)
    sizes = tuple(int(size) for size in synthetic.SIZES)
    scopes = tuple((number, number + 1) for number in range(len(sizes) - 1))
    return factors.Factors(
        tables=tuple(rng.uniform(1, 2, (1, sizes[a] * sizes[b])) for a, b in scopes),
        maps=(),
        constant=np.ones(1),
        terms=("energy",),
        units=("J",),
        sizes=sizes,
        parents=(),
        scopes=scopes,
        names=tuple((f"layer{number}",) for number, _ in scopes) + ((),),
    )


def ascents(over: Mesh) -> dict[str, np.ndarray]:
    """Return what ascents come by."""
    rng = np.random.default_rng(1)
    outputs = synthetic.RULES_OUTPUTS
    known = jnp.asarray(rng.standard_normal((6, outputs)), jnp.float32)
    accuracy = jnp.asarray(rng.standard_normal(6), jnp.float32)
    visited = latent_search.ascend(
        model(),
        gaussian_process.fit(Labels(known, accuracy, jnp.ones(6)), steps=5),
        costs(),
        Goal(jnp.asarray(0.0), jnp.asarray(2.0)),
        CostHead(jnp.asarray(outputs - 1), jnp.asarray(2.5), jnp.asarray(0.3)),
        synthetic.sample(rng, STARTS),
        jnp.asarray(1.0),
        jax.random.key(2),
        config=LATENT,
        over=over,
    )
    return visited._asdict()


def trained(over: Mesh) -> dict[str, np.ndarray]:
    """Return the weights of an embedding after some steps."""
    tokens = synthetic.sample(np.random.default_rng(3), TRAINING.pool)
    targets, _ = training.standardise(synthetic.values(tokens))
    pool = Pool(jnp.asarray(tokens), jnp.asarray(targets))
    found = training.pretrain(model(), pool, pool.tokens, jax.random.key(4), TRAINING, over=over)
    return {"weights": np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(found)])}


def batch(over: Mesh) -> dict[str, np.ndarray]:
    """Return exact and relaxed costs of a batch of strings, and the gradients."""
    table = costs()
    rng = np.random.default_rng(6)
    layout = symbols.layout(
        table.sizes, np.arange(synthetic.TOKENS).reshape(synthetic.STEPS, -1).tolist()
    )
    tokens = synthetic.sample(rng, STRINGS)
    packed = symbols.pack(layout, tokens.T)
    shares = rng.random((STRINGS, *synthetic.rules().valid.shape)).astype(np.float32)
    exact = batches.exact(symbols.prepare(table, layout), layout, over)
    relaxed = batches.relaxed(table, over)
    there = arrays.placed(packed, over, arrays.dealt(1))
    # The second call writes where the first one did.
    told = exact(there, exact(there, batches.room(1, STRINGS, over)))
    expected, gradients = relaxed(arrays.placed(shares, over, arrays.dealt()))
    return dict(
        zip(
            ("exact", "relaxed", "gradients"),
            arrays.fetched((told, expected, gradients)),
            strict=True,
        )
    ) | {"by_hand": factors.exact(table, tokens.T)}
