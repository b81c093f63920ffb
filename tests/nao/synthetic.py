"""A made-up space of three steps with an absent-layer choice, for tests of the embedding."""

import numpy as np

from greennas_jax.nao import grammar

STEPS, GROUP = 4, 3
SIZES = np.array([3, 2, 4] * STEPS)
TOKENS = STEPS * GROUP
RULES_OUTPUTS = 9


def rules() -> grammar.Grammar:
    valid = np.arange(SIZES.max())[None] < SIZES[:, None]
    step_of = np.repeat(np.arange(STEPS), GROUP).astype(np.int32)
    return grammar.Grammar(valid=valid, step_of=step_of, steps=STEPS, outputs=RULES_OUTPUTS)


def sample(rng: np.random.Generator, count: int) -> np.ndarray:
    tokens = (rng.random((count, TOKENS)) * SIZES).astype(np.int32)
    absent = tokens[:, ::GROUP] == 2
    tokens[:, 1::GROUP] *= ~absent
    tokens[:, 2::GROUP] *= ~absent
    return tokens


def values(tokens: np.ndarray) -> np.ndarray:
    """Eight additive labels and the log of a positive, coupled cost."""
    rng = np.random.default_rng(7)
    table = rng.normal(size=(TOKENS, SIZES.max(), RULES_OUTPUTS))
    chosen = table[np.arange(TOKENS), tokens]
    found = chosen.sum(1)
    sizes = np.exp(chosen[:, :, -1])
    found[:, -1] = np.log((sizes[:, 1:] * sizes[:, :-1]).sum(1))
    return found
