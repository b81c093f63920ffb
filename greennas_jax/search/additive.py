"""The exact solver with an additive + pairwise accuracy model: the embedding's strongest rival.

Accuracy is a Bayesian linear model of the tokens and of pairs of tokens (within a layer, and of
neighbouring layers). A model of that form is a handful of small tables like the cost,
so the cheapest string that meets the guard under a draw of the model's weights (Thompson sampling)
is found exactly over the whole space, by variable elimination on cost - lambda x accuracy.

Shapes: A labelled architectures, W weights, T tokens.
"""

import dataclasses
from typing import NamedTuple

import numpy as np

from greennas_jax.nao import labels
from greennas_jax.nao.labels import Warp
from greennas_jax.search import archive as archives
from greennas_jax.search import problem as problems
from greennas_jax.search import random_search
from greennas_jax.search.archive import Archive
from greennas_jax.search.problem import Problem, Proposal
from greennas_jax.spaces import exact
from greennas_jax.spaces.factors import Factors

PAIR_SCALE = 0.5
NOISES = (0.1, 0.2, 0.4, 0.8)
SCALES = (0.25, 0.5, 1.0)
BISECTIONS = 14
DRAWS = 4
# Shares of the posterior's spread that draws take in turn: the mean itself, a little, all of it.
TEMPERATURES = (0.0, 0.3, 0.6, 1.0)
# Weights that limited terms take in turn, beside the searched cost, until the limits are kept.
PRESSURES = (0.3, 1.0, 3.0, 10.0, 30.0, 100.0)


class LinearModel(NamedTuple):
    """Gaussian posterior of the weights of standardised accuracy.

    Attributes:
      mean: Mean of the weights [W].
      root: Matrix [W, W] whose product with its transpose is their covariance.
      centre: Mean accuracy, on the scale of `warp`.
      spread: Standard deviation of the accuracies on that scale.
      warp: The scale accuracies are modelled on, the same as the Gaussian process's.
      needed: The guard on that scale.
    """

    mean: np.ndarray
    root: np.ndarray
    centre: float
    spread: float
    warp: Warp
    needed: float


@dataclasses.dataclass(frozen=True, eq=False)
class AdditiveSolver:
    """Thompson sampling of an additive + pairwise model, each draw solved exactly."""

    problem: Problem

    def propose(self, archive: Archive, batch: int, rng: np.random.Generator) -> Proposal:
        """Return the cheapest strings that draws of the model hold feasible."""
        space = self.problem.space
        if not any(query.kind == "search" for query in archive.queries):
            drawn = problems.draw(self.problem, rng, 4 * batch)
            drawn = problems.fresh(self.problem, drawn, archive)
            return problems.plain(drawn[:batch])
        model = self._fit(archive)
        found = np.zeros((0, len(space.positions)), np.int32)
        for draw in range(DRAWS * batch):
            noise = TEMPERATURES[draw % len(TEMPERATURES)] * rng.normal(size=len(model.mean))
            weights = model.mean + model.root @ noise
            string = self._solve_within(model, weights)[None]
            new = problems.fresh(self.problem, np.concatenate([found, string]), archive)
            if len(new) == len(found):
                # The draw's own optimum is known already: its cheapest new single edit instead.
                edits = problems.fresh(self.problem, space.neighbours(string[0]), archive)
                score = self._features(edits) @ weights * model.spread + model.centre
                edits = edits[score >= model.needed]
                order = np.argsort(self.problem.cost(edits)) if len(edits) else []
                new = problems.fresh(
                    self.problem, np.concatenate([found, edits[order[:1]]]), archive
                )
            found = new
            if len(found) >= batch:
                break
        if len(found) == 0:
            return random_search.RandomSearch(self.problem).propose(archive, batch, rng)
        mean, spread = self._predict(model, found)
        return Proposal(found, mean, spread, np.full(len(found), np.nan))

    def believe(self, archive: Archive) -> tuple[np.ndarray, np.ndarray]:
        """Return the model's mean and standard deviation, blended with what was observed."""
        summary = archives.summarise(archive, self.problem.noise)
        mean, spread = self._predict(self._fit(archive), summary.tokens)
        own, other = 1 / summary.error**2, 1 / np.maximum(spread, 1e-6) ** 2
        return (own * summary.mean + other * mean) / (own + other), (own + other) ** -0.5

    def _pairs(self) -> list[tuple[int, int]]:
        steps = self.problem.space.steps
        inside = [(a, b) for step in steps for i, a in enumerate(step) for b in step[i + 1 :]]
        between = [
            (a, b)
            for one, other in zip(steps[:-1], steps[1:], strict=True)
            for a in one
            for b in other
        ]
        return inside + between

    def _tables(self, weights: np.ndarray) -> list[tuple[tuple[int, ...], np.ndarray]]:
        """Return a model's weights [W] as tables over one or two positions."""
        sizes, tables, first = self.problem.space.sizes, [], 0
        for scope in [(p,) for p in range(len(sizes))] + self._pairs():
            shape = [int(sizes[p]) - 1 for p in scope]
            table = np.zeros([n + 1 for n in shape])
            count = int(np.prod(shape))
            table[tuple(slice(1, None) for _ in scope)] = weights[first : first + count].reshape(
                shape
            )
            tables.append((scope, table))
            first += count
        return tables

    def _features(self, tokens: np.ndarray) -> np.ndarray:
        """Return the indicators [A, W] whose sum with weights is the model, constant aside."""
        sizes = self.problem.space.sizes
        marks = [
            (tokens[:, p, None] == np.arange(1, sizes[p])).astype(float) for p in range(len(sizes))
        ]
        pairs = [
            (marks[a][:, :, None] * marks[b][:, None]).reshape(len(tokens), -1)
            for a, b in self._pairs()
        ]
        return np.concatenate([*marks, *pairs], axis=1)

    def _fit(self, archive: Archive) -> LinearModel:
        """Fit the model; noise and scale of the weights at the largest marginal likelihood."""
        summary = archives.summarise(archive, self.problem.noise)
        features = self._features(summary.tokens)
        noise = self.problem.noise
        warp = Warp(np.inf) if self.problem.deterministic else labels.warp_for(summary.mean, noise)
        values = warp.forward(summary.mean)
        centre, spread = float(values.mean()), max(float(values.std()), 1e-6)
        target = (values - centre) / spread
        single = int(np.sum(self.problem.space.sizes - 1))
        unit = np.where(np.arange(features.shape[1]) < single, 1.0, PAIR_SCALE)
        scaled = features * unit
        # The constant is a weight of its own, as wide as the data.
        gram = scaled @ scaled.T
        best = None
        for share in NOISES:
            for scale in SCALES:
                errors = np.diag(share**2 / summary.repeats)
                covariance = scale**2 * gram + 1.0 + errors
                factor = np.linalg.cholesky(covariance)
                solved = np.linalg.solve(factor, target)
                evidence = -0.5 * solved @ solved - np.log(np.diag(factor)).sum()
                if best is None or evidence > best[0]:
                    best = evidence, scale, covariance
        _, scale, covariance = best  # pyright: ignore[reportGeneralTypeIssues] -- the grids are not empty
        gain = np.linalg.solve(covariance, scale**2 * scaled * unit).T
        prior = np.diag((scale * unit) ** 2)
        posterior = prior - gain @ (scale**2 * scaled * unit)
        values, vectors = np.linalg.eigh((posterior + posterior.T) / 2)
        root = vectors * np.sqrt(np.maximum(values, 0))
        constant = float(np.ones(len(target)) @ np.linalg.solve(covariance, target))
        needed = float(warp.forward(np.asarray(self.problem.target)))
        centre += spread * constant
        return LinearModel(gain @ target, root, centre, spread, warp, needed)

    def _predict(self, model: LinearModel, tokens: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        features = self._features(tokens)
        mean = model.centre + model.spread * (features @ model.mean)
        spread = model.spread * np.sqrt(((features @ model.root) ** 2).sum(1))
        back = model.warp.backward
        return back(mean), (back(mean + spread) - back(mean - spread)) / 2

    def _solve_within(self, model: LinearModel, weights: np.ndarray) -> np.ndarray:
        """Return the canonical string [T] of `_solve`, with limits pressed for until it keeps them.

        Where the strongest pressure does not do, the string breaks a limit.
        """
        canonical = self.problem.space.canonical
        string = canonical(self._solve(model, weights, 0.0)[None])
        for pressure in PRESSURES:
            if self.problem.within(string)[0]:
                break
            string = canonical(self._solve(model, weights, pressure)[None])
        return string[0]

    def _costs(self, pressure: float) -> tuple[Factors, dict[str, float]]:
        """Return the costs and weights by term that a draw is solved on.

        Args:
          pressure: Weight of each limited term over its limit.
        """
        costs, limits = self.problem.costs, self.problem.limits
        term = costs.terms[0]
        unit = float(self.problem.cost(self.problem.given()[None])[0])
        if limits is None or pressure == 0:
            return costs, {term: 1 / unit}
        weights = {target.term: pressure / target.most for target in limits.targets}
        return limits.costs, weights | {term: weights.get(term, 0.0) + 1 / unit}

    def _solve(self, model: LinearModel, weights: np.ndarray, pressure: float) -> np.ndarray:
        """Return the cheapest string [T] of the least multiplier that meets the guard."""
        costs, scaled = self._costs(pressure)
        tables = self._tables(weights)
        needed = (model.needed - model.centre) / model.spread

        def solved(multiplier: float) -> tuple[np.ndarray, bool]:
            extra = [exact.Extra(scope, -multiplier * table) for scope, table in tables]
            tokens, _ = exact.cheapest(costs, scaled, extra=extra)
            return tokens, float((self._features(tokens[None]) @ weights)[0]) >= needed

        low, high = 1e-4, 1e2
        best, feasible = solved(high)
        if not feasible:
            return best
        for _ in range(BISECTIONS):
            middle = float(np.sqrt(low * high))
            tokens, feasible = solved(middle)
            if feasible:
                best, high = tokens, middle
            else:
                low = middle
        return best
