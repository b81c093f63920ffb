"""Peak memory of inference over a space: what every string needs, and the least that any needs.

The peak is no sum over layers: it is the weights and the largest set of activations alive at once.
A layer that runs keeps its input, its output and what is inside it alive, so that the weights and
the largest such layer are a floor of the peak; in a chain, where nothing else is alive, it is the
peak itself. Elsewhere the string is decoded.

Shapes: n strings, T positions, R rows of a layer table.
"""

import dataclasses
import functools
import heapq
from collections.abc import Callable

import numpy as np

from greennas_jax.costs import counts, memory
from greennas_jax.costs.devices import Device
from greennas_jax.costs.layer_table import LayerTable, Operation
from greennas_jax.costs.settings import CostSettings
from greennas_jax.costs.terms import Term
from greennas_jax.spaces import exact, values
from greennas_jax.spaces import factors as space_factors
from greennas_jax.spaces.edits import EditSpace
from greennas_jax.spec.network import Network

# Bisections of the least peak; each fills and solves the space's tables once.
MOST_SOLVED = 96
# Whose inputs are not one tensor of the input's size.
_JOINING = (Operation.INPUT, Operation.CONCATENATE, Operation.ATTENTION)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Peaks:
    """The peak memory of a space's strings.

    Attributes:
      space: The space.
      device: The device; any, for memory does not depend on it.
      settings: What is costed, inference.
      batch_size: Batch size, None for the network's own.
      known: Peaks of decoded strings, by their bytes.
    """

    space: EditSpace
    device: Device
    settings: CostSettings
    batch_size: int | None = None
    known: dict[bytes, float] = dataclasses.field(default_factory=dict)

    @functools.cached_property
    def chain(self) -> bool:
        """Whether every layer reads one layer and is read by one at most."""
        layers = self.space.given.layers
        read = [parent for layer in layers for parent in layer.parents]
        return len(read) == len(set(read)) and all(len(layer.parents) < 2 for layer in layers)

    @functools.cached_property
    def _weights(self) -> space_factors.Factors:
        return self._filled(lambda table: counts.weight_bytes(table, self.settings))

    @functools.cached_property
    def _alive(self) -> list[np.ndarray]:
        """Return for each slot the largest layer's bytes, by geometry."""
        found = []
        for slot in self.space.slots:
            largest = np.zeros(len(slot.node.values))
            np.maximum.at(largest, slot.owner, alive_bytes(slot.rows, self.settings))
            found.append(largest)
        return found

    def _filled(self, function: Callable[[LayerTable], np.ndarray]) -> space_factors.Factors:
        term = Term("bytes", "bytes", lambda table, *_: function(table), "")
        return self.space.factors(self.device, [term], self.settings)

    def floors(self, tokens: np.ndarray) -> np.ndarray:
        """Return what strings [n, T] need at least [bytes], float64 [n]; in a chain, what they do.

        Args:
          tokens: Canonical strings.
        """
        tokens = np.asarray(tokens)
        numbers = values.evaluate(self.space.space_values.nodes, tokens)
        alive = np.zeros(len(tokens))
        for slot, table in zip(self.space.slots, self._alive, strict=True):
            geometry = slot.node.index[tuple(numbers[parent] for parent in slot.node.parents)]
            alive = np.maximum(alive, table[geometry])
        return space_factors.exact(self._weights, tokens.T)[0] + alive

    def exact(self, tokens: np.ndarray) -> np.ndarray:
        """Return the peak memory of canonical strings [n, T], float64 [n] [bytes]."""
        if self.chain:
            return self.floors(tokens)
        return np.array([self._decoded(row) for row in np.asarray(tokens, np.int32)])

    def _decoded(self, tokens: np.ndarray) -> float:
        key = tokens.tobytes()
        if key not in self.known:
            self.known[key] = self.of_network(self.space.decode(tokens))
        return self.known[key]

    def of_network(self, network: Network) -> float:
        """Return the peak memory of a network [bytes]."""
        return memory.of_network(network, self.settings, self.batch_size)

    def within(self, tokens: np.ndarray, most: float) -> np.ndarray:
        """Return whether canonical strings [n, T] need at most so many bytes, bool [n]."""
        tokens = np.asarray(tokens, np.int32)
        found = self.floors(tokens) <= most
        if not self.chain:
            found[found] = self.exact(tokens[found]) <= most
        return found

    def least(self) -> tuple[float, np.ndarray]:
        """Return a bound that no string's peak is below [bytes], and a string [T] near it.

        With layers above t bytes forbidden, the fewest weights plus t bound every string whose
        largest layer is t. The range of t whose bound is the lowest is halved until one value is
        left. In a chain the string reaches the bound.
        """
        steps = np.unique(np.concatenate([table for table in self._alive]))
        solved: dict[int, tuple[float, np.ndarray]] = {}

        def fewest(last: int) -> float:
            if last not in solved:
                solved[last] = self._fewest_weights(float(steps[last]))
            return solved[last][0]

        ranges = [(fewest(len(steps) - 1) + steps[0], 0, len(steps) - 1)]
        while True:
            bound, first, last = heapq.heappop(ranges)
            if first == last or len(solved) >= MOST_SOLVED:
                return float(bound), self.space.canonical(solved[last][1][None])[0]
            middle = (first + last) // 2
            for low, high in ((first, middle), (middle + 1, last)):
                weights = fewest(high)
                if np.isfinite(weights):
                    heapq.heappush(ranges, (weights + steps[low], low, high))

    def _fewest_weights(self, most: float) -> tuple[float, np.ndarray]:
        """Return the fewest bytes of weights where no layer is above, and the string; or inf."""

        def barred(table: LayerTable) -> np.ndarray:
            over = alive_bytes(table, self.settings) > most
            return np.where(over, barrier, 0.0) + counts.weight_bytes(table, self.settings)

        barrier = 1e3 * sum(
            float(counts.weight_bytes(slot.rows, self.settings).max(initial=1.0))
            for slot in self.space.slots
        )
        tokens, cost = exact.cheapest(self._filled(barred), (1.0,))
        return (np.inf if cost >= barrier else cost), tokens


def alive_bytes(table: LayerTable, settings: CostSettings) -> np.ndarray:
    """Return what is at least alive while each layer runs, float64 [R] [bytes].

    Its output, what is inside it, and its input where that is one tensor; of joined inputs none is
    counted, so that it stays a floor where they share memory.
    """
    one = np.where(table.inputs > 1, 1.0 / np.maximum(table.inputs, 1), 1.0) * table.input_elements
    read = np.where(table.is_any(*_JOINING), 0.0, settings.element_bytes * one)
    inside = counts.working_bytes(table, settings)
    return np.asarray(read + counts.activation_bytes(table, settings) + inside, np.float64)
