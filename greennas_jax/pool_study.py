"""What the cells that another search evaluated teach the embedding, and what they really cost.

Rows of one function are one architecture (their accuracies averaged). Of each split nine tenths
teach encoder, decoder and heads, beside samples of the space whose labels are free, and the
accuracy models; the held-out tenth is in neither.

Shapes: n rows, m architectures, T positions, F features.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import moocore
import numpy as np

from greennas_jax.accuracy import agreement
from greennas_jax.accuracy.evaluated import Evaluated
from greennas_jax.costs import devices, settings
from greennas_jax.costs import terms as cost_terms
from greennas_jax.nao import embedding, ensemble, gaussian_process, grammar, training
from greennas_jax.nao import model as models
from greennas_jax.nao.labels import Labels, Warp
from greennas_jax.nao.model import Model, ModelConfig
from greennas_jax.nao.training import Pool, TrainingConfig
from greennas_jax.spaces import factors as cost_factors
from greennas_jax.spaces.factors import Factors
from greennas_jax.spaces.nao_cell import PairSpace

# Sampled strings that tell whether the decoder needs another run of its schedule.
CHECKED = 256
TERM = "energy"
MODELS = (
    "gaussian_process_labels",
    "gaussian_process_heads",
    "ensemble_embedding",
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class StudyConfig:
    """How a pool is studied.

    Attributes:
      space: The space of the pool.
      examples: Examples that each accuracy was measured on.
      splits: Number of splits, each with its own seed.
      first_seed: The first of them.
      held_out: Share of the architectures that is held out.
      device: Device that energies are predicted for.
      model: Sizes of the embedding's networks.
      training: How the embedding is taught.
    """

    space: PairSpace = PairSpace()
    examples: int = 500
    splits: int = 5
    first_seed: int = 0
    held_out: float = 0.1
    device: str = "titan_x"
    model: ModelConfig = ModelConfig()
    training: TrainingConfig = TrainingConfig(pool=8192)

    def __post_init__(self):
        if self.splits < 1:
            raise ValueError(f"splits is {self.splits}; allowed: from 1")
        if not 0 < self.held_out < 1:
            raise ValueError(f"held_out is {self.held_out}; allowed: above 0, below 1")


class Architectures(NamedTuple):
    """The different networks of a pool.

    Attributes:
      tokens: Canonical strings, int32 [m, T].
      accuracy: Mean of their rows', float64 [m].
      reported: Mean reported cost, float64 [m].
      repeats: Rows of each, float64 [m].
    """

    tokens: np.ndarray
    accuracy: np.ndarray
    reported: np.ndarray
    repeats: np.ndarray


def architectures(space: Any, pool: Evaluated) -> Architectures:
    """Return the different networks of a pool."""
    tokens, which, repeats = np.unique(
        space.canonical(pool.tokens), axis=0, return_inverse=True, return_counts=True
    )

    def mean(values: np.ndarray) -> np.ndarray:
        return np.bincount(which.reshape(-1), weights=values) / repeats

    return Architectures(tokens, mean(pool.accuracy), mean(pool.reported), repeats.astype(float))


def energies(config: StudyConfig, term: str = TERM) -> Factors:
    """Return the energy [J] of every string of the space on the study's device, as tables."""
    device = devices.load(config.device)
    return config.space.factors(device, [cost_terms.get(term)], settings.CostSettings())


def split(count: int, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows that teach and those held out, of so many in all."""
    order = np.random.default_rng([seed, 7]).permutation(count)
    held = max(round(count * share), 1)
    return np.sort(order[held:]), np.sort(order[:held])


class Taught(NamedTuple):
    """An embedding that a split taught.

    Attributes:
      model: Encoder, decoder and heads.
      labels: Standardised labels of the pool's architectures, float32 [m, F].
    """

    model: Model
    labels: np.ndarray


def teach(
    config: StudyConfig,
    costs: Factors,
    found: Architectures,
    taught: np.ndarray,
    seed: int,
    progress: training.Progress | None = None,
) -> Taught:
    """Teach the embedding with some of the architectures and with samples of the space.

    Args:
      config: The study's.
      costs: From `energies`.
      found: The pool's architectures.
      taught: Rows of those that teach; no other is in the training set.
      seed: Of the samples, the initial weights and the training.
      progress: As in `training.pretrain`.
    """
    rng = np.random.default_rng([seed, 1])
    drawn = config.space.sample(rng, config.training.pool + CHECKED)
    fresh = ~_among(drawn, found.tokens)
    drawn = np.concatenate([drawn[fresh], found.tokens[taught]])
    known = embedding.targets(config.space, costs, drawn)
    values, scale = training.standardise(known)
    checked, pool = (
        Pool(jnp.asarray(drawn[rows]), jnp.asarray(values[rows]))
        for rows in (slice(0, CHECKED), slice(CHECKED, None))
    )
    create_key, train_key = jax.random.split(jax.random.key(seed))
    rules = grammar.from_space(config.space, values.shape[1])
    model = models.create(rules, config.model, create_key)
    model = training.pretrain(model, pool, checked.tokens, train_key, config.training, progress)
    own = embedding.targets(config.space, costs, found.tokens)
    return Taught(model, ((own - scale.mean) / scale.spread).astype(np.float32))


def _among(rows: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return which rows [n, T] are among others [k, T], bool [n]."""
    known = {row.tobytes() for row in np.asarray(others, np.int32)}
    return np.asarray([row.tobytes() in known for row in np.asarray(rows, np.int32)])


def predictions(
    taught: Taught, found: Architectures, rows: np.ndarray, seed: int, width: int
) -> dict[str, np.ndarray]:
    """Return what each accuracy model, fitted to some architectures, says of all, float64 [m].

    Args:
      taught: The embedding.
      found: The pool's architectures.
      rows: Those that teach.
      seed: Of the ensemble.
      width: Embedding width.
    """
    tokens = jnp.asarray(found.tokens)
    outputs, _ = training.predict(taught.model, tokens)
    embedded = models.features(outputs, models.embed(taught.model, tokens))
    warp = Warp(float("inf"))
    features = {
        MODELS[0]: _standardised(taught.labels, rows),
        MODELS[1]: _standardised(np.asarray(outputs), rows),
        MODELS[2]: np.asarray(embedded),
    }
    results = {}
    for name, seen in features.items():
        labels = Labels(
            jnp.asarray(seen[rows], jnp.float32),
            jnp.asarray(warp.forward(found.accuracy[rows]), jnp.float32),
            jnp.asarray(found.repeats[rows], jnp.float32),
        )
        if name == MODELS[2]:
            fitted = ensemble.fit(labels, jax.random.key(seed), width=width)
        else:
            fitted = gaussian_process.fit(labels)
        mean, _ = fitted.predict(jnp.asarray(seen, jnp.float32))
        results[name] = warp.backward(np.asarray(mean, float))
    return results


def _standardised(values: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Return the columns of values [m, F] that vary among some rows, on those rows' scale."""
    mean, spread = values[rows].mean(0), values[rows].std(0)
    kept = spread > 1e-6
    return (values[:, kept] - mean[kept]) / spread[kept]


def study(
    pool: Evaluated,
    config: StudyConfig,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Return what the pool teaches, split by split, what it costs, and its front.

    Args:
      pool: What was evaluated.
      config: How to study it.
      progress: Called with (splits done, splits) where given.
    """
    found, costs = architectures(config.space, pool), energies(config)
    true, best = agreement.attainable(found.accuracy, config.examples, config.first_seed)
    splits = []
    for done in range(config.splits):
        splits.append(_of_split(config, costs, found, config.first_seed + done))
        if progress is not None:
            progress(done + 1, config.splits)
    return {
        "rows": len(pool.accuracy),
        "architectures": len(found.tokens),
        "held_out": len(split(len(found.tokens), config.held_out, 0)[1]),
        "decoder_exact_match": _spread([one["exact_match"] for one in splits]),
        "accuracy": {
            name: {
                "pairwise": _spread([one[name].pairwise for one in splits]),
                "spearman": _spread([one[name].spearman for one in splits]),
            }
            for name in MODELS
        },
        "attainable": {"true_share_of_variance": true, **best._asdict()},
        **priced(config, costs, found),
    }


def _of_split(
    config: StudyConfig, costs: Factors, found: Architectures, seed: int
) -> dict[str, Any]:
    """Return the scores of one split on what it holds out."""
    rows, held = split(len(found.tokens), config.held_out, seed)
    taught = teach(config, costs, found, rows, seed)
    said = predictions(taught, found, rows, seed, config.model.width)
    return {
        "exact_match": training.exact_match(taught.model, jnp.asarray(found.tokens[held])),
        **{
            name: agreement.agreement(values[held], found.accuracy[held])
            for name, values in said.items()
        },
    }


def _spread(values: list[float]) -> dict[str, Any]:
    """Return the mean, the standard deviation and all of some values."""
    deviation = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return {"mean": float(np.mean(values)), "standard_deviation": deviation, "splits": values}


def priced(config: StudyConfig, costs: Factors, found: Architectures) -> dict[str, Any]:
    """Return the architectures' energies, how reported ones rank them, and the true front."""
    joules = np.asarray(cost_factors.exact(costs, found.tokens.T))[0]
    points = np.stack([-found.accuracy, joules], axis=1)
    front = np.flatnonzero(moocore.is_nondominated(points, keep_weakly=False))
    reported = np.stack([-found.accuracy, found.reported], axis=1)
    believed = moocore.is_nondominated(reported, keep_weakly=False)
    front = front[np.argsort(joules[front])]
    return {
        "device": config.device,
        "energy_mj": {
            "least": 1e3 * float(joules.min()),
            "median": 1e3 * float(np.median(joules)),
            "largest": 1e3 * float(joules.max()),
        },
        "spearman_of_reported_energy": agreement.rank_correlation(found.reported, joules),
        "reported_front": int(believed.sum()),
        "reported_front_on_true_front": int(believed[front].sum()),
        "front": [
            {
                "accuracy": float(found.accuracy[row]),
                "energy_mj": 1e3 * float(joules[row]),
                "reported_energy": float(found.reported[row]),
                "arch": config.space.text(found.tokens[row]),
            }
            for row in front
        ],
    }
