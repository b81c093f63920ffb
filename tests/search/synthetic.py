"""A made-up search problem whose best answer is known by enumeration."""

import itertools

import numpy as np

from greennas_jax.accuracy.oracle import Trial
from greennas_jax.search.problem import Problem
from greennas_jax.spaces.factors import Factors

LAYERS = 5
SIZES = (2, 4) * LAYERS
THRESHOLD = 0.93


class ChainSpace:
    """Five layers, each with an operation (2) and a width (4); choice 0 is as given."""

    def __init__(self):
        self.positions = tuple(range(len(SIZES)))
        self.steps = tuple((2 * i, 2 * i + 1) for i in range(LAYERS))
        self.sizes = np.asarray(SIZES, np.int32)
        self.valid_mask = np.arange(4)[None] < self.sizes[:, None]

    def canonical(self, tokens):
        return np.asarray(tokens, np.int32)

    def sample(self, rng, count):
        edited = rng.random((count, len(SIZES))) < rng.random((count, 1))
        return (rng.integers(0, self.sizes, (count, len(SIZES))) * edited).astype(np.int32)

    def neighbours(self, tokens):
        found = []
        for place, size in enumerate(SIZES):
            for choice in range(size):
                if choice != tokens[place]:
                    row = np.array(tokens, np.int32)
                    row[place] = choice
                    found.append(row)
        return np.stack(found)

    def labels(self, tokens):
        tokens = np.asarray(tokens)
        return np.concatenate([tokens[:, 1::2], tokens[:, ::2]], axis=1).astype(float)

    def decode(self, tokens):
        return tuple(int(token) for token in tokens)


WIDTHS = np.array([1.0, 0.75, 0.5, 0.25])
OPERATIONS = np.array([1.0, 0.4])


def costs() -> Factors:
    """Each layer costs operation x its width x the width before it; the first reads width 1."""
    tables, scopes = [], []
    first = np.einsum("o,w->ow", OPERATIONS, WIDTHS)
    tables.append(first.reshape(1, -1))
    scopes.append((0, 1))
    for layer in range(1, LAYERS):
        table = (1 + layer) * np.einsum("v,o,w->vow", WIDTHS, OPERATIONS, WIDTHS)
        tables.append(table.reshape(1, -1))
        scopes.append((2 * layer - 1, 2 * layer, 2 * layer + 1))
    return Factors(
        tables=tuple(tables),
        maps=(),
        constant=np.full(1, 0.1),
        terms=("energy",),
        units=("J",),
        sizes=SIZES,
        parents=(),
        scopes=tuple(scopes),
        names=tuple((f"layer{i}",) for i in range(LAYERS)) + ((),),
    )


def true_accuracy(tokens) -> np.ndarray:
    """Narrow layers cost accuracy, the first ones most; two operations edited in a row do too."""
    tokens = np.atleast_2d(np.asarray(tokens))
    narrow = 1 / WIDTHS[tokens[:, 1::2]] - 1
    operations = tokens[:, ::2] == 1
    loss = 0.02 * narrow @ (0.6 ** np.arange(LAYERS)) + 0.006 * operations.sum(1)
    loss = loss + 0.02 * (operations[:, 1:] & operations[:, :-1]).sum(1)
    return 0.96 - loss


def problem(noise: float = 0.003) -> Problem:
    def evaluate(tokens, seeds):
        found = []
        for row, seed in zip(tokens, seeds, strict=True):
            rng = np.random.default_rng([seed, *row])
            found.append(Trial(float(true_accuracy(row)[0] + noise * rng.normal()), False, 1.0))
        return found

    space = ChainSpace()
    baseline = np.array([t.accuracy for t in evaluate(np.zeros((8, len(SIZES)), int), range(8))])
    return Problem(
        space=space,
        costs=costs(),
        evaluate=evaluate,
        threshold=THRESHOLD,
        baseline=baseline,
        noise=noise,
        deterministic=noise == 0,
    )


def best_cost() -> float:
    """The lowest cost whose true accuracy meets the guard, over all 32,768 strings."""
    strings = np.array(list(itertools.product(*map(range, SIZES))))
    feasible = strings[true_accuracy(strings) >= THRESHOLD]
    return float(problem().cost(feasible).min())
