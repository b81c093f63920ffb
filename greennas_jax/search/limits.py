"""Hard limits on what is found: which strings keep to them, and how to come to one that does.

Shapes: n strings, T positions, K limited terms that are sums over layers.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from greennas_jax.spaces import factors as cost_factors
from greennas_jax.spaces.factors import Factors
from greennas_jax.spaces.peaks import Peaks
from greennas_jax.spec.network import Network

# Sums of tables and a profile's totals agree to this; nearer to a limit the profile decides.
CLOSE = 1e-9
# Shares of the positions that repair resets in turn; the last one leaves nothing else.
REPAIRS = (0.2, 0.4, 0.6, 0.8, 1.0)


class Target(NamedTuple):
    """A limit that is asked for.

    Attributes:
      name: The flag's name.
      term: The cost term.
      unit: Its unit.
      total: The key of a profile's totals that must keep to it.
      most: The limit, in the unit.
    """

    name: str
    term: str
    unit: str
    total: str
    most: float

    def __str__(self):
        return f"{self.name} {self.most:g}{f' {self.unit}' if self.unit else ''}"


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Limits:
    """Hard limits on the strings of a space.

    Attributes:
      space: The space.
      costs: Factors of at least every limited term.
      summed: The targets whose term is a sum over layers.
      peak: The target of the peak memory where that is no sum, or None.
      peaks: The peaks of the space's strings, where there is such a target.
      totals: A network's totals as its profile tells them.
      anchor: A string int32 [T] that keeps to all limits; zeros until one was found.
    """

    space: Any
    costs: Factors
    summed: tuple[Target, ...]
    peak: Target | None
    peaks: Peaks | None
    totals: Callable[[Network], Mapping[str, Any]]
    anchor: np.ndarray

    @property
    def targets(self) -> tuple[Target, ...]:
        """Every target."""
        return self.summed if self.peak is None else (*self.summed, self.peak)

    def anchored_at(self, anchor: np.ndarray) -> "Limits":
        """Return the limits with a string [T] that keeps to them."""
        return dataclasses.replace(self, anchor=anchor)

    @property
    def most(self) -> np.ndarray:
        """The limits of the summed terms, float64 [K]."""
        return np.array([target.most for target in self.summed], dtype=np.float64)

    def ratios(self, tokens: np.ndarray) -> np.ndarray:
        """Return the summed terms of strings [n, T] over their limits, float64 [K, n]."""
        terms = cost_factors.exact(self.costs, np.asarray(tokens).T)
        rows = [self.costs.terms.index(target.term) for target in self.summed]
        return terms[rows] / self.most[:, None]

    def within(self, tokens: np.ndarray) -> np.ndarray:
        """Return whether canonical strings [n, T] keep to all limits, bool [n]."""
        tokens = np.asarray(tokens, np.int32)
        ratios = self.ratios(tokens)
        found = np.asarray((ratios <= 1 + CLOSE).all(axis=0))
        for row in np.flatnonzero(found & (ratios > 1 - CLOSE).any(axis=0)):
            totals = self.totals(self.space.decode(tokens[row]))
            found[row] = all(totals[target.total] <= target.most for target in self.summed)
        if self.peak is not None and self.peaks is not None:
            found[found] = self.peaks.within(tokens[found], self.peak.most)
        return found

    def excess(self, tokens: np.ndarray) -> np.ndarray:
        """Return the largest ratio of a figure of strings [n, T] to its limit, float64 [n]."""
        worst = self.ratios(tokens).max(axis=0, initial=0.0)
        if self.peak is not None and self.peaks is not None:
            worst = np.maximum(worst, self.peaks.exact(tokens) / self.peak.most)
        return worst

    def repaired(self, tokens: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return canonical strings [n, T] that keep to all limits, each near the one it comes from.

        Positions are reset to the anchor's at random, more of them as long as a limit is broken.
        """
        tokens = np.array(tokens, np.int32)
        broken = np.flatnonzero(~self.within(tokens))
        for share in REPAIRS:
            if len(broken) == 0:
                break
            reset = rng.random((len(broken), tokens.shape[1])) < share
            mixed = np.where(reset, self.anchor, tokens[broken])
            tokens[broken] = self.space.canonical(mixed)
            broken = broken[~self.within(tokens[broken])]
        return tokens
