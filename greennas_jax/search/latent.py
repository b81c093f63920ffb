"""The search in the embedding: propose by gradient ascent, re-cost exactly, expand, select.

Shapes: n candidates, T tokens, F features, R starts.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from greennas_jax.nao import acquisition, ensemble, gaussian_process, labels, latent_search
from greennas_jax.nao.acquisition import AccuracyModel, Goal
from greennas_jax.nao.labels import Labels, Warp
from greennas_jax.nao.latent_search import CostHead, Guide, LatentConfig
from greennas_jax.nao.model import Model
from greennas_jax.search import archive as archives
from greennas_jax.search import problem as problems
from greennas_jax.search.archive import Archive
from greennas_jax.search.problem import Problem, Proposal

CHUNK = 1024
EXPANDED = 12


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class LatentSearch:
    """Latent search over a trained embedding.

    Attributes:
      problem: What is searched.
      model: The embedding of the problem's space.
      head: The head that predicts the searched log cost.
      distance: One edit's distance in the embedding.
      labels: Most labelled architectures there will be; the padding of the accuracy model.
      config: How to ascend.
      guide: The problem's limits as the ascent feels them, or None.
    """

    problem: Problem
    model: Model
    head: CostHead
    distance: jax.Array
    labels: int
    config: LatentConfig
    guide: Guide | None = None

    def propose(self, archive: Archive, batch: int, rng: np.random.Generator) -> Proposal:
        """Return the batch of highest expected constrained improvement."""
        if not any(query.kind == "search" for query in archive.queries):
            return problems.plain(self._first(archive, batch, rng))
        posterior, warp, goal = self._fit(archive)
        visited = self._ascend(archive, posterior, goal, rng)
        pool, predicted = self._unique(visited, archive)
        if self.problem.limits is not None:
            pool = self._filled(pool, archive, rng)
            if len(pool) == 0:
                return problems.plain(pool)
        worth = self._score(posterior, pool, goal)[1]
        best = pool[np.argsort(-worth, kind="stable")[:EXPANDED]]
        edits = [self.problem.space.neighbours(row) for row in best]
        pool = problems.fresh(self.problem, np.concatenate([pool, *edits]), archive)
        features, worth = self._score(posterior, pool, goal)
        return self._select(posterior, warp, goal, pool, features, worth, predicted, batch)

    def believe(self, archive: Archive) -> tuple[np.ndarray, np.ndarray]:
        """Return the accuracy model's mean and standard deviation of each architecture."""
        posterior, warp, _ = self._fit(archive)
        summary = archives.summarise(archive, self.problem.noise)
        mean, spread = self._predict(posterior, summary.tokens)
        accuracy = warp.backward(mean)
        return accuracy, (warp.backward(mean + spread) - warp.backward(mean - spread)) / 2

    def cheapest(self, rng: np.random.Generator, rounds: int = 4) -> tuple[np.ndarray, float]:
        """Return the tokens [T] and cost of the cheapest architecture found, accuracy left aside.

        Args:
          rng: Host randomness.
          rounds: Ascents, each from the best so far, its edits and samples, and each followed by
            single-edit expansion of its best.
        """
        space, archive = self.problem.space, Archive()
        repeats = jnp.zeros(self.labels).at[:2].set(1.0)
        empty = jnp.zeros((self.labels, self._heads()))
        nothing = Labels(empty, jnp.zeros(self.labels), repeats)
        posterior = gaussian_process.fit(nothing, steps=0)
        best = self.problem.given()[None]
        for _ in range(rounds):
            cost = float(self.problem.cost(best)[0])
            starts = np.concatenate(
                [best, space.neighbours(best[0]), space.sample(rng, self.config.restarts)]
            )
            goal = Goal(jnp.asarray(-1e9), jnp.asarray(np.log(cost)))
            visited = self._move(starts[: self.config.restarts], posterior, goal, rng)
            pool, _ = self._unique(visited, archive)
            pool = np.concatenate([best, pool])
            chosen = pool[np.argsort(self.problem.cost(pool), kind="stable")[:EXPANDED]]
            pool = np.concatenate([chosen, *(space.neighbours(row) for row in chosen)])
            best = pool[[np.argmin(self.problem.cost(pool))]]
        return best[0], float(self.problem.cost(best)[0])

    def _first(self, archive: Archive, batch: int, rng: np.random.Generator) -> np.ndarray:
        """Return starting architectures: strata of log cost, far apart in the head outputs."""
        drawn = problems.draw(self.problem, rng, 2 * CHUNK)
        drawn = problems.fresh(self.problem, drawn, archive)
        if len(drawn) == 0:
            return drawn
        log_cost = np.log(self.problem.cost(drawn))
        order = np.argsort(log_cost, kind="stable")
        outputs = self._features(drawn)[:, : self._heads()]
        chosen: list[int] = []
        for stratum in np.array_split(order, batch):
            if len(stratum) == 0:
                continue
            if not chosen:
                chosen.append(int(stratum[rng.integers(len(stratum))]))
                continue
            gaps = outputs[stratum][:, None] - outputs[chosen][None]
            chosen.append(int(stratum[np.argmax((gaps**2).sum(-1).min(1))]))
        return drawn[chosen]

    def _fit(self, archive: Archive) -> tuple[AccuracyModel, Warp, Goal]:
        """Fit the accuracy model and set the goal from what it believes."""
        summary = archives.summarise(archive, self.problem.noise)
        warp = (
            Warp(np.inf)
            if self.problem.deterministic
            else labels.warp_for(summary.mean, self.problem.noise)
        )
        count = len(summary.mean)
        found = self._features(summary.tokens)
        features = np.zeros((self.labels, found.shape[1]), np.float32)
        targets, repeats = np.zeros(self.labels, np.float32), np.zeros(self.labels, np.float32)
        features[:count] = found
        targets[:count], repeats[:count] = warp.forward(summary.mean), summary.repeats
        posterior = self._model(
            Labels(jnp.asarray(features), jnp.asarray(targets), jnp.asarray(repeats)), count
        )
        mean, spread = self._predict(posterior, summary.tokens)
        best = [
            problems.best_feasible(self.problem, archive, warp.backward(mean + level * spread))
            for level in acquisition.LEVELS
        ]
        threshold = float(warp.forward(np.asarray(self.problem.target)))
        goal = Goal(
            jnp.asarray(threshold), jnp.asarray(np.log(best)), jnp.asarray(acquisition.LEVELS)
        )
        return posterior, warp, goal

    def _model(self, observed: Labels, count: int) -> AccuracyModel:
        """Fit the accuracy model for a number of labelled architectures."""
        heads = self._heads()
        if count > self.config.few:
            width = observed.features.shape[1] - heads
            return ensemble.fit(observed, jax.random.key(count), width=width)
        return gaussian_process.fit(
            dataclasses.replace(observed, features=observed.features[:, :heads])
        )

    def _heads(self) -> int:
        """Return how many of the features are head outputs; they come first."""
        return self.model.heads.outputs.out_features

    def _starts(self, archive: Archive, posterior: AccuracyModel, goal: Goal, rng) -> np.ndarray:
        """Return R starts: the best known, their edits, and samples of the space."""
        space, count = self.problem.space, self.config.restarts
        summary = archives.summarise(archive, self.problem.noise)
        worth = self._score(posterior, summary.tokens, goal._replace(best=goal.best + 0.5))[1]
        best = summary.tokens[np.argsort(-worth, kind="stable")[: max(count // 4, 1)]]
        edits = np.concatenate([space.neighbours(row) for row in best[:4]])
        edits = edits[rng.permutation(len(edits))[: count // 4]]
        samples = problems.draw(self.problem, rng, count)
        return np.concatenate([best, edits, samples])[:count].astype(np.int32)

    def _ascend(self, archive, posterior, goal, rng) -> latent_search.Visited:
        return self._move(self._starts(archive, posterior, goal, rng), posterior, goal, rng)

    def _move(self, starts: np.ndarray, posterior, goal, rng) -> latent_search.Visited:
        key = jax.random.key(int(rng.integers(2**31)))
        return latent_search.ascend(
            self.model,
            posterior,
            self.problem.costs,
            goal,
            self.head,
            starts,
            self.distance,
            key,
            self.guide,
            config=self.config,
        )

    def _filled(self, pool: np.ndarray, archive: Archive, rng: np.random.Generator) -> np.ndarray:
        """Return what of a pool [n, T] is within the limits, with samples and edits that are.

        An ascent that runs against a limit visits little that keeps to it.
        """
        known = archives.summarise(archive, self.problem.noise).tokens
        known = known[self.problem.within(known)]
        near = [self.problem.space.neighbours(row) for row in known[-EXPANDED:]]
        drawn = problems.draw(self.problem, rng, self.config.restarts)
        return problems.fresh(self.problem, np.concatenate([pool, drawn, *near]), archive)

    def _unique(self, visited: latent_search.Visited, archive: Archive):
        """Return new canonical strings [n, T] and the cost predicted before decoding, by key."""
        tokens = np.asarray(visited.tokens).reshape(-1, visited.tokens.shape[-1])
        tokens = self.problem.space.canonical(tokens)
        costs = np.exp(np.asarray(visited.predicted, np.float64).reshape(-1))
        predicted = {archives.key_of(row): cost for row, cost in zip(tokens, costs, strict=True)}
        return problems.unseen(tokens, archive), predicted

    def _padded(self, tokens: np.ndarray):
        """Yield (rows, tokens padded to CHUNK) so that nothing recompiles."""
        for first in range(0, len(tokens), CHUNK):
            rows = tokens[first : first + CHUNK]
            padded = np.zeros((CHUNK, tokens.shape[1]), np.int32)
            padded[: len(rows)] = rows
            yield rows, padded

    def _score(self, posterior, tokens, goal) -> tuple[np.ndarray, np.ndarray]:
        features, worth = [], []
        for rows, padded in self._padded(tokens):
            log_cost = np.log(self.problem.cost(padded)).astype(np.float32)
            found = latent_search.score(
                self.model, posterior, jnp.asarray(padded), jnp.asarray(log_cost), goal
            )
            features.append(np.asarray(found[0])[: len(rows)])
            worth.append(np.asarray(found[1])[: len(rows)])
        return np.concatenate(features), np.concatenate(worth)

    def _features(self, tokens: np.ndarray) -> np.ndarray:
        found = [
            np.asarray(latent_search.features(self.model, jnp.asarray(padded)))[: len(rows)]
            for rows, padded in self._padded(tokens)
        ]
        return np.concatenate(found)

    def _predict(
        self, posterior: AccuracyModel, tokens: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        rows = self._features(tokens)
        padded = np.zeros((self.labels, rows.shape[1]), np.float32)
        padded[: len(rows)] = rows
        mean, spread = acquisition.believe(posterior, jnp.asarray(padded))
        return np.asarray(mean)[: len(rows)], np.asarray(spread)[: len(rows)]

    def _select(self, posterior, warp, goal, pool, seen, worth, predicted, batch: int) -> Proposal:
        order = np.argsort(-worth, kind="stable")[:CHUNK]
        pool, seen = pool[order], seen[order]
        features = np.zeros((CHUNK, seen.shape[1]), np.float32)
        features[: len(pool)] = seen
        log_cost = np.zeros(CHUNK, np.float32)
        log_cost[: len(pool)] = np.log(self.problem.cost(pool))
        allowed = np.arange(CHUNK) < len(pool)
        chosen, mean, spread = acquisition.select(
            posterior,
            jnp.asarray(features),
            jnp.asarray(log_cost),
            jnp.asarray(allowed),
            goal,
            batch=self.batch_size(batch),
        )
        chosen = np.asarray(chosen)[:batch]
        kept = chosen >= 0
        mean, spread = np.asarray(mean)[:batch][kept], np.asarray(spread)[:batch][kept]
        tokens = pool[chosen[kept]]
        return Proposal(
            tokens=tokens,
            expected=warp.backward(mean),
            spread=(warp.backward(mean + spread) - warp.backward(mean - spread)) / 2,
            predicted_cost=np.asarray(
                [predicted.get(archives.key_of(row), np.nan) for row in tokens]
            ),
        )

    @staticmethod
    def batch_size(batch: int) -> int:
        """Return the compiled batch a batch is chosen in: the next multiple of 16."""
        return -(-batch // 16) * 16
