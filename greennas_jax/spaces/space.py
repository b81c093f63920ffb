"""The contract of a search space, and what every space does alike.

A space is a fixed number of positions; a token string picks one choice at each. Every string
decodes to a valid network. Several strings may decode to the same network (the width of a layer
that is absent, say); the canonical one among them has choice 0 wherever nothing depends on the
position, so that canonical strings and networks correspond one to one.

Shapes: n strings, T positions, V choices at most, F labels.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

import numpy as np

from greennas_jax.costs.devices import Device
from greennas_jax.costs.settings import CostSettings
from greennas_jax.costs.terms import Term
from greennas_jax.spaces.factors import Factors
from greennas_jax.spec.network import Network, SpecError

KINDS = ("operation", "kernel", "width", "depth", "heads", "hidden")


class Position(NamedTuple):
    """One place of a token string.

    Attributes:
      name: Unique name, for example `conv2.width`.
      layer: The given layer it belongs to; of a shared width the first layer that has it.
      kind: What it changes, one of KINDS.
      choices: What each token means, as text; choice 0 is always "as given".
    """

    name: str
    layer: str
    kind: str
    choices: tuple[str, ...]


class Space(Protocol):
    """What every space offers."""

    @property
    def name(self) -> str:
        """The space's name."""
        ...

    @property
    def given(self) -> Network:
        """The network that the string of zeros decodes to."""
        ...

    @property
    def positions(self) -> tuple[Position, ...]:
        """The positions, in the order of the tokens."""
        ...

    @property
    def steps(self) -> tuple[tuple[int, ...], ...]:
        """The positions of each layer: at most four, every position in exactly one step."""
        ...

    @property
    def sizes(self) -> np.ndarray:
        """The number of choices per position, int32 [T]."""
        ...

    @property
    def valid_mask(self) -> np.ndarray:
        """Which tokens are choices, bool [T, V]."""
        ...

    @property
    def label_names(self) -> tuple[str, ...]:
        """Names of the labels, [F]."""
        ...

    def encode(self, network: Network) -> np.ndarray:
        """Return a network's canonical string, int32 [T]."""
        ...

    def decode(self, tokens: np.ndarray) -> Network:
        """Return the network of a string [T]."""
        ...

    def canonical(self, tokens: np.ndarray) -> np.ndarray:
        """Return the canonical strings of some strings, int32 [n, T]."""
        ...

    def sample(self, rng: np.random.Generator, n: int) -> np.ndarray:
        """Return random canonical strings, int32 [n, T]."""
        ...

    def neighbours(self, tokens: np.ndarray) -> np.ndarray:
        """Return all distinct canonical strings one edit away from a string, int32 [m, T]."""
        ...

    def labels(self, tokens: np.ndarray) -> np.ndarray:
        """Return exact structure labels of some strings, float64 [n, F]."""
        ...

    def factors(self, device: Device, terms: Sequence[Term], settings: CostSettings) -> Factors:
        """Return the cost of every string as small tables."""
        ...


def mask(sizes: np.ndarray) -> np.ndarray:
    """Return which tokens are choices, bool [T, V]."""
    return np.arange(int(sizes.max(initial=1)))[None, :] < sizes[:, None]


def check(tokens: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Return strings as int32 [n, T].

    Args:
      tokens: Strings, integers [n, T] or [T].
      sizes: The number of choices per position.

    Raises:
      SpecError: If the number of positions is wrong or a token is no choice.
    """
    strings = np.atleast_2d(np.asarray(tokens))
    if strings.shape[1:] != sizes.shape or strings.ndim != 2:
        raise SpecError(f"tokens of shape {list(np.shape(tokens))}; allowed: [n, {len(sizes)}]")
    wrong = np.argwhere((strings < 0) | (strings >= sizes))
    if len(wrong):
        row, position = wrong[0]
        raise SpecError(
            f"token {strings[row, position]} at position {position}; allowed: 0 to "
            f"{sizes[position] - 1}"
        )
    return strings.astype(np.int32)


def draw(rng: np.random.Generator, sizes: np.ndarray, n: int) -> np.ndarray:
    """Return random strings, int32 [n, T].

    Each string draws its own rate u between 0 and 1; with probability u a position gets one of its
    choices at random, else it is as given. So strings near the given network and far from it are
    equally frequent.
    """
    rate = rng.random((n, 1))
    edited = rng.random((n, len(sizes))) < rate
    return np.where(edited, rng.integers(0, sizes, (n, len(sizes))), 0).astype(np.int32)


def single_edits(
    tokens: np.ndarray, sizes: np.ndarray, canonical: Callable[[np.ndarray], np.ndarray]
) -> np.ndarray:
    """Return the distinct canonical strings one edit away from a string, int32 [m, T].

    Args:
      tokens: A string, int32 [T].
      sizes: The number of choices per position.
      canonical: The space's map to canonical strings.
    """
    start = canonical(tokens[None])
    position = np.repeat(np.arange(len(sizes)), sizes)
    choice = np.concatenate([np.arange(size) for size in sizes]) if len(sizes) else position
    strings = np.repeat(start, len(position), axis=0)
    strings[np.arange(len(position)), position] = choice
    found = np.unique(canonical(strings), axis=0)
    return found[(found != start).any(axis=1)]
