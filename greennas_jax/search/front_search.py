"""NAO's search for a whole front with few queries: expected hypervolume gain in the embedding.

Accuracy is modelled on the structure labels of the live graph: by the heads where a point of the
embedding moves, exactly where it was decoded. The reference of the gain takes turns: every other
query counts from the accuracy of a network that has learned nothing, the others from one near the
best, at any cost and below the middling one, so that neither the cheap end nor the best of the
front is forgotten.

Shapes: n strings, T tokens, F labels, R starts.
"""

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from greennas_jax.nao import front_gain, latent_search
from greennas_jax.nao.acquisition import AccuracyModel, Goal, Worth
from greennas_jax.nao.embedding import Embedding
from greennas_jax.nao.evidence import padded
from greennas_jax.nao.front_gain import BestGoal, FrontGoal, References
from greennas_jax.nao.labels import Warp
from greennas_jax.nao.latent_search import LatentConfig
from greennas_jax.search import archive as archives
from greennas_jax.search import front_models, table_problem
from greennas_jax.search.table_problem import Observed, TableProblem

CANDIDATES = ("latent", "edits", "random", "all")
CHUNK = 1024
SELECTED = 256
POINTS = 64
SAMPLES, STRATA = 2048, 32
SOFT, HARD = 0.05, 0.002


class Turn(NamedTuple):
    """One of the reference points that queries take turns with.

    Attributes:
      share: Reference accuracy, as a share of the way from a network that has learned nothing to
        the best one, on the modelled scale.
      quantile: Reference cost, among all costs that are known.
    """

    share: float
    quantile: float


TURNS = (Turn(0.0, 1.0), Turn(2 / 3, 1.0), Turn(0.0, 1.0), Turn(2 / 3, 0.5))


@dataclasses.dataclass(frozen=True, kw_only=True)
class FrontConfig:
    """How a front is searched.

    Attributes:
      candidates: Where candidates come from: `edits` of the front and of the best of those,
        `latent` (what ascents come by beside them, and samples of all costs), `random` samples,
        or `all` of the space.
      most: Most candidates scored in a step (but for `all`).
      spread: Samples that the start is the widest choice of.
      margin: Ceiling of accuracy above the best observed, as a share of the observed range.
      expanded: Candidates whose single edits are scored together, the best of all so far.
      view: What the accuracy model sees, one of `front_models.VIEWS`; `pairs` has no gradient.
      model: The accuracy model, one of `front_models.MODELS`.
      latent: How the embedding is climbed.
    """

    candidates: str = "latent"
    most: int = 1000
    spread: int = 64
    margin: float = 0.05
    expanded: int = 3
    view: str = "labels"
    model: str = "process"
    latent: LatentConfig = LatentConfig(restarts=64, steps=12, paths="heads")

    def __post_init__(self):
        if self.candidates not in CANDIDATES:
            allowed = ", ".join(CANDIDATES)
            raise ValueError(f"candidates is {self.candidates!r}; allowed: {allowed}")
        for name, among in (("view", front_models.VIEWS), ("model", front_models.MODELS)):
            if getattr(self, name) not in among:
                raise ValueError(f"{name} is {getattr(self, name)!r}; allowed: {', '.join(among)}")
        if self.view == "pairs" and self.candidates == "latent":
            raise ValueError("view 'pairs' has no gradient; allowed candidates: edits, random, all")
        if min(self.most, self.spread, self.expanded) < 1:
            raise ValueError("most, spread and expanded must be positive")


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class FrontSearch:
    """The search of one problem.

    Attributes:
      problem: What is searched.
      embedding: The taught embedding of the space; its first F heads are the labels.
      costs: The searched cost (or one that stands for it) as tables, for the relaxed path.
      term: Name of that cost among the embedding's heads.
      config: How to search.
    """

    problem: TableProblem
    embedding: Embedding
    costs: Any
    term: str
    config: FrontConfig

    def propose(self, observed: Observed, batch: int, rng: np.random.Generator) -> np.ndarray:
        """Return up to `batch` new canonical strings, int32 [n, T]."""
        if len(observed.accuracy) < 2:
            return self._first(observed, max(batch, 1), rng)
        posterior, goal, references = self._fit(observed, batch, rng)
        pool = self._candidates(observed, posterior, goal, references, rng)
        return self._select(pool, posterior, goal, references, batch)

    def labels(self, tokens: np.ndarray) -> np.ndarray:
        """Return the standardised labels float32 [n, F] of strings [n, T]."""
        return front_models.labels(self.problem.space, self.embedding, tokens)

    def rows(self, tokens: np.ndarray) -> np.ndarray:
        """Return what the accuracy model sees of strings [n, T], float32 [n, F]."""
        if self.config.view == "embedding":
            return front_models.embedded(self.embedding, tokens)
        if self.config.view == "pairs":
            return front_models.pairs(self.problem.space, tokens)
        return self.labels(tokens)

    def _model(self, rows: np.ndarray, targets: np.ndarray, rng) -> AccuracyModel:
        return front_models.fit(self.config.model, self.config.view, rows, targets, rng)

    def _first(self, observed: Observed, count: int, rng: np.random.Generator) -> np.ndarray:
        """Return strings that are far apart in what the accuracy model sees."""
        drawn = self.problem.space.sample(rng, self.config.spread)
        drawn = self.problem.admitted(drawn, observed.keys())
        rows = self.rows(drawn)
        chosen = [int(rng.integers(len(drawn)))]
        while len(chosen) < min(count, len(rows)):
            gaps = ((rows[:, None] - rows[chosen][None]) ** 2).sum(-1).min(1)
            chosen.append(int(np.argmax(gaps)))
        return drawn[chosen]

    def _fit(
        self, observed: Observed, batch: int, rng: np.random.Generator
    ) -> tuple[AccuracyModel, Worth, References]:
        """Return the accuracy model, the goal and the references of a batch."""
        problem, accuracy, costs = self.problem, observed.accuracy, np.log(observed.cost)
        best = float(accuracy.max())
        lowest = min(best, problem.floor)
        warp = Warp(best + self.config.margin * (best - lowest) + 1e-6)
        rows = self.rows(observed.tokens)
        posterior = self._model(rows, warp.forward(accuracy), rng)
        cost = None if problem.cost_is_free else self._model(rows, costs, rng)
        known = np.log(problem.costs) if problem.cost_is_free else costs
        references = _references(warp, (lowest, best), known, len(accuracy) + np.arange(batch))
        if problem.objective == "constrained":
            target = float(warp.forward(np.asarray(problem.target)))
            feasible = accuracy >= problem.target
            cheapest = costs[feasible].min() if feasible.any() else costs.max()
            return posterior, Goal(jnp.asarray(target), jnp.asarray(cheapest)), references
        if problem.objective == "accuracy":
            goal = BestGoal(jnp.asarray(best), jnp.asarray(warp.ceiling))
            return posterior, goal, references
        kept = table_problem.nondominated(accuracy, costs)
        points = -(-(int(kept.sum()) + batch) // POINTS) * POINTS
        levels, places = np.full(points, front_gain.ABSENT), np.full(points, known.max())
        levels[: kept.sum()], places[: kept.sum()] = accuracy[kept], costs[kept]
        goal = FrontGoal(
            accuracies=jnp.asarray(levels, jnp.float32),
            log_costs=jnp.asarray(places, jnp.float32),
            floor=jnp.asarray(references.floor[0], jnp.float32),
            limit=jnp.asarray(references.limit[0], jnp.float32),
            ceiling=jnp.asarray(warp.ceiling, jnp.float32),
            softness=jnp.asarray(SOFT, jnp.float32),
            cost=cost,
        )
        return posterior, goal, references

    def _candidates(
        self, observed, posterior, goal, references: References, rng: np.random.Generator
    ) -> np.ndarray:
        """Return new strings [n, T] worth scoring."""
        space, config, known = self.problem.space, self.config, observed.keys()
        if config.candidates == "all":
            return self.problem.admitted(self.problem.tokens, known)
        if config.candidates == "random":
            return self.problem.admitted(space.sample(rng, config.most), known)
        kept = table_problem.nondominated(observed.accuracy, observed.cost)
        edits = self._edited(observed.tokens[kept], known)
        found = edits[rng.permutation(len(edits))[: config.most // 3]]
        if config.candidates == "latent":
            drawn = self._stratified(rng)
            climbed = self._ascended(observed, drawn, posterior, goal, rng)[: config.most // 4]
            parts = [climbed, found[: config.most // 4], drawn[: config.most // 4]]
            found = self.problem.admitted(np.concatenate(parts), known)
        goals = _turns(goal, references) if isinstance(goal, FrontGoal) else [goal]
        return self._grown(found[: config.most], posterior, goals, known)

    def _grown(self, found: np.ndarray, posterior, goals, known: set[archives.Key]) -> np.ndarray:
        """Return strings [n, T] with the edits of the best, of the best of all those and so on.

        The goals take turns in saying which are the best, until there are as many as allowed.
        """
        most, known = self.config.most, set(known)
        worths = [self._worth(found, posterior, goal) for goal in goals]
        tried, idle = np.zeros(len(found), bool), 0
        while len(found) < most and idle < len(goals):
            worth = np.where(tried, -np.inf, worths[0])
            best = np.argsort(-worth, kind="stable")[: self.config.expanded]
            best = best[~tried[best]]
            tried[best] = True
            known.update(archives.key_of(row) for row in found)
            edits = self._edited(found[best], known)[: most - len(found)]
            idle = 0 if len(edits) else idle + 1
            found = np.concatenate([found, edits])
            tried = np.concatenate([tried, np.zeros(len(edits), bool)])
            worths = [
                np.concatenate([worth, self._worth(edits, posterior, goal)])
                for worth, goal in zip(worths, goals, strict=True)
            ]
            goals, worths = [*goals[1:], goals[0]], [*worths[1:], worths[0]]
        return found

    def _stratified(self, rng: np.random.Generator) -> np.ndarray:
        """Return samples spread evenly over log cost, in random order, as far as it is known.

        A space holds far more architectures of middling cost than cheap and dear ones.
        """
        drawn = self.problem.admitted(self.problem.space.sample(rng, SAMPLES), set())
        costs = self._log_cost(drawn)
        share = (costs - costs.min()) / max(float(np.ptp(costs)), 1e-9)
        bins = np.minimum((share * STRATA).astype(int), STRATA - 1)
        place = np.arange(len(bins)) - np.searchsorted(np.sort(bins), np.sort(bins))
        rank = np.empty(len(bins), int)
        rank[np.argsort(bins, kind="stable")] = place
        # The first of every stratum, then the second of every stratum that has one, and so on.
        return drawn[np.lexsort((rng.random(len(bins)), rank))]

    def _edited(self, tokens: np.ndarray, known: set[archives.Key]) -> np.ndarray:
        """Return the new single edits of strings [n, T]."""
        edits = [self.problem.space.neighbours(row) for row in tokens]
        return self.problem.admitted(np.concatenate([tokens[:0], *edits]), known)

    def _ascended(self, observed, drawn, posterior, goal, rng: np.random.Generator) -> np.ndarray:
        """Return the new strings that ascents from the front, its edits and samples come by."""
        config = self.config.latent
        front = observed.tokens[table_problem.nondominated(observed.accuracy, observed.cost)]
        front = front[rng.permutation(len(front))[: config.restarts // 4]]
        edits = self._edited(front, set())
        edits = edits[rng.permutation(len(edits))[: config.restarts // 4]]
        starts = np.concatenate([front, edits, drawn])[: config.restarts]
        posterior, goal = self._shown(posterior, goal)
        visited = latent_search.ascend(
            self.embedding.model,
            posterior,
            self.costs,
            goal,
            self.embedding.heads[self.term],
            starts,
            self.embedding.distance,
            jax.random.key(int(rng.integers(2**31))),
            config=config,
        )
        # The ends of the ascents first: they are worth more than what lies on the way.
        tokens = np.asarray(visited.tokens)[::-1].reshape(-1, starts.shape[1])
        return self.problem.admitted(tokens, observed.keys())

    def _shown(self, posterior, goal):
        """Return models and goal that see their own columns of a point of the embedding alone."""
        model = self.embedding.model
        width = model.decoder.places.shape[1]
        labels = len(self.problem.space.label_names)
        first, last = front_models.columns(self.config.view, self.embedding, labels, width)
        if isinstance(goal, FrontGoal) and goal.cost is not None:
            goal = goal._replace(cost=front_models.Part(goal.cost, first, last))
        return front_models.Part(posterior, first, last), goal

    def _log_cost(self, tokens: np.ndarray) -> np.ndarray:
        if not self.problem.cost_is_free:
            return np.zeros(len(tokens), np.float32)
        return np.log(self.problem.cost(tokens)).astype(np.float32)

    def _worth(self, tokens: np.ndarray, posterior, goal) -> np.ndarray:
        """Return the log of what querying strings [n, T] is worth, [n]."""
        if isinstance(goal, FrontGoal):
            goal = goal._replace(softness=jnp.asarray(HARD, jnp.float32))
        if len(tokens) == 0:
            return np.zeros(0)
        rows, costs, found = self.rows(tokens), self._log_cost(tokens), []
        for first in range(0, len(rows), CHUNK):
            part = slice(first, first + CHUNK)
            worth = _worth(posterior, padded(rows[part], CHUNK), padded(costs[part], CHUNK), goal)
            found.append(np.asarray(worth)[: len(rows[part])])
        return np.concatenate(found)

    def _select(self, pool, posterior, goal, references: References, batch: int) -> np.ndarray:
        """Return the batch of the largest expected gain."""
        if len(pool) == 0:
            return pool
        if batch == 1 or not isinstance(goal, FrontGoal):
            order = np.argsort(-self._worth(pool, posterior, goal), kind="stable")
            return pool[order[:batch]]
        pool = pool[self._promising(pool, posterior, goal, references)]
        chosen = front_gain.select(
            posterior,
            padded(self.rows(pool), SELECTED),
            padded(self._log_cost(pool), SELECTED),
            jnp.arange(SELECTED) < len(pool),
            goal._replace(softness=jnp.asarray(HARD, jnp.float32)),
            References(*(jnp.asarray(part, jnp.float32) for part in references)),
            batch=batch,
        )
        chosen = np.asarray(chosen)
        return pool[chosen[chosen >= 0]]

    def _promising(self, pool, posterior, goal: FrontGoal, references: References) -> np.ndarray:
        """Return which strings of a pool are worth most by any of the references, at most 256."""
        goals = _turns(goal, references)
        found = []
        for one in goals:
            worth = self._worth(pool, posterior, one)
            found.append(np.argsort(-worth, kind="stable")[: SELECTED // len(goals)])
        return np.unique(np.concatenate(found))


def _turns(goal: FrontGoal, references: References) -> list[FrontGoal]:
    """Return a goal with each distinct one of some reference points [n]."""
    points = sorted(set(zip(*(part.tolist() for part in references), strict=True)))
    return [
        goal._replace(floor=jnp.asarray(floor, jnp.float32), limit=jnp.asarray(limit, jnp.float32))
        for floor, limit in points
    ]


def _references(
    warp: Warp, span: tuple[float, float], costs: np.ndarray, numbers: np.ndarray
) -> References:
    """Return the reference points of queries with some numbers [n].

    Args:
      warp: The scale accuracies are modelled on.
      span: Accuracy of a network that has learned nothing, and the best one.
      costs: Log costs that are known.
      numbers: Of the queries.
    """
    turns = [TURNS[number % len(TURNS)] for number in numbers]
    low, high = warp.forward(np.asarray(span))
    floors = warp.backward(low + np.asarray([turn.share for turn in turns]) * (high - low))
    return References(floors, np.quantile(costs, [turn.quantile for turn in turns]))


@jax.jit
def _worth(posterior, rows: jax.Array, log_cost: jax.Array, goal: Worth) -> jax.Array:
    return goal.worth(posterior, rows, log_cost)
