"""Whether any network of a space keeps to some limits, told before anything is trained.

One limit alone is decided exactly, by the space's least cost of that term. Several at once are
refuted by weights: where the least weighted sum of the figures over their limits is above 1, no
string keeps to all (Lagrangian duality); the weights are improved step by step, and the strings
that are cheapest under them are tried. Where neither decides, the exact front does if it is small
enough, else single edits are followed.

Shapes: S strings found, T positions, K limited terms.
"""

import math

import numpy as np

from greennas_jax.search.limits import CLOSE, Limits, Target
from greennas_jax.spaces import exact
from greennas_jax.spaces.elimination import TooEntangledError

WEIGHTINGS = 60
WEIGHTED_MEMORY = 9
MOST_PARTIAL = 200_000
MOST_OBJECTIVES = 3
EDITS = 64
DIGITS = 6


class InfeasibleError(ValueError):
    """No network of the space keeps to the limits, or none was found that does."""


def anchored(limits: Limits) -> np.ndarray:
    """Return a string int32 [T] that keeps to all limits.

    Args:
      limits: The limits; their anchor is not read.

    Raises:
      InfeasibleError: If there is none, or none was found; the message says which.
    """
    found, least = _each_alone(limits)
    strings = np.stack(found)
    within = limits.within(strings)
    if not within.any():
        strings = _together(limits, strings, least)
        within = limits.within(strings)
    if not within.any():
        strings = _edited(limits, strings)
        within = limits.within(strings)
    if not within.any():
        raise InfeasibleError(
            f"no network within {_listed(limits)} was found before the search, nor proven not to "
            f"exist; {_alone(limits, least)}"
        )
    return strings[np.argmax(within)]


def _each_alone(limits: Limits) -> tuple[list[np.ndarray], dict[str, float]]:
    """Return for each target a string with the least of its term, and that least by its name."""
    found: list[np.ndarray] = []
    least: dict[str, float] = {}
    for target in limits.summed:
        tokens, _ = exact.cheapest(limits.costs, {target.term: 1.0})
        tokens = limits.space.canonical(tokens[None])[0]
        figure = float(limits.totals(limits.space.decode(tokens))[target.total])
        _require(target, figure)
        found.append(tokens)
        least[target.name] = figure
    if limits.peak is not None and limits.peaks is not None:
        bound, tokens = limits.peaks.least()
        _require(limits.peak, bound)
        found.append(tokens)
        least[limits.peak.name] = bound
    return found, least


def _require(target: Target, least: float) -> None:
    if target.most < least:
        raise InfeasibleError(
            f"{target.name} is {target.most:.{DIGITS}g}{_unit(target)}, but no network of this "
            f"space needs less than {rounded_up(least)}{_unit(target)}, whatever its accuracy"
        )


def _unit(target: Target) -> str:
    return f" {target.unit}" if target.unit else ""


def rounded_up(value: float) -> str:
    """Return a number with at most six digits that is not below the value."""
    if value == 0 or value == int(value):
        return f"{value:.0f}"
    step = 10.0 ** (math.floor(math.log10(abs(value))) - DIGITS + 1)
    return f"{math.ceil(value / step) * step:.{DIGITS}g}"


def _listed(limits: Limits) -> str:
    return " and ".join(str(target) for target in limits.targets)


def _alone(limits: Limits, least: dict[str, float]) -> str:
    figures = ", ".join(
        f"{target.term} {rounded_up(least[target.name])}{_unit(target)}"
        for target in limits.targets
    )
    return f"the least of each alone: {figures}"


def _together(limits: Limits, strings: np.ndarray, least: dict[str, float]) -> np.ndarray:
    """Return further strings [S, T], the cheapest ones under weights of the summed terms.

    Raises:
      InfeasibleError: If weights or the front prove that no string keeps to the summed limits.
    """
    if limits.peak is not None:
        strings = np.concatenate([strings, _less_memory(limits)])
    if len(limits.summed) < 2:
        return strings
    weights = np.full(len(limits.summed), 1 / len(limits.summed))
    for _ in range(WEIGHTINGS):
        scaled = {t.term: w / t.most for t, w in zip(limits.summed, weights, strict=True)}
        tokens, bound = exact.cheapest(limits.costs, scaled)
        if bound > 1 + CLOSE:
            raise _refuted(limits, least)
        tokens = limits.space.canonical(tokens[None])
        known = (strings == tokens).all(axis=1).any()
        strings = strings if known else np.concatenate([strings, tokens])
        if limits.within(tokens)[0] or known:
            break
        weights = _best_weights(limits.ratios(strings))
    if not limits.within(strings).any() and len(limits.summed) <= MOST_OBJECTIVES:
        strings = _of_front(limits, strings, least)
    return strings


def _less_memory(limits: Limits) -> np.ndarray:
    """Return strings [S, T] that are cheapest where memory, as a sum, counts ever more."""
    most = limits.targets[-1].most
    found = []
    for share in np.linspace(0.1, 0.9, WEIGHTED_MEMORY):
        scaled = {target.term: (1 - share) / target.most for target in limits.summed}
        scaled["memory"] = share / most
        found.append(exact.cheapest(limits.costs, scaled)[0])
    return limits.space.canonical(np.stack(found))


def _best_weights(ratios: np.ndarray) -> np.ndarray:
    """Return the weights [K], of sum 1, under which the least of ratios [K, S] is the largest.

    By exponentiated gradient steps, averaged (Kivinen and Warmuth 1997); any weights prove
    something, so that they need not be the best to the last digit.
    """
    logits, total = np.zeros(len(ratios)), np.zeros(len(ratios))
    unit = np.abs(ratios).max()
    for step in range(1, 2001):
        weights = np.exp(logits - logits.max())
        weights /= weights.sum()
        total += weights
        logits += ratios[:, np.argmin(weights @ ratios)] / unit / math.sqrt(step)
    return total / total.sum()


def _of_front(limits: Limits, strings: np.ndarray, least: dict[str, float]) -> np.ndarray:
    """Return strings with the front of the summed terms among them."""
    terms = [target.term for target in limits.summed]
    try:
        front = exact.front(limits.costs, terms, most=MOST_PARTIAL)
    except TooEntangledError:
        return strings
    tokens = limits.space.canonical(front.tokens)
    if front.exact and not (limits.ratios(tokens) <= 1 + CLOSE).all(axis=0).any():
        raise _refuted(limits, least)
    return np.concatenate([strings, tokens])


def _refuted(limits: Limits, least: dict[str, float]) -> InfeasibleError:
    return InfeasibleError(
        f"no network of this space keeps to {_listed(limits)} together, whatever its accuracy; "
        f"{_alone(limits, least)}"
    )


def _edited(limits: Limits, strings: np.ndarray) -> np.ndarray:
    """Return strings [S, T] that single edits reach from the one that exceeds its limits least."""
    excess = limits.excess(strings)
    best, lowest = strings[np.argmin(excess)], float(excess.min())
    for _ in range(EDITS):
        edits = limits.space.neighbours(best)
        excess = limits.excess(edits)
        if excess.min() >= lowest:
            break
        best, lowest = edits[np.argmin(excess)], float(excess.min())
        if limits.within(best[None])[0]:
            break
    return best[None]
