"""Spaces that are written down: positions, their choices, and a function from choices to a network.

Everything that the contract of `spaces.space` asks for follows. Strings whose networks are the same
layer by layer are one architecture. All strings are costed once, so that a space has at most
MOST_STRINGS of them.

Shapes: n strings, T positions, V choices at most, F labels, N all strings.
"""

import functools
import itertools
from collections.abc import Callable, Sequence

import numpy as np

from greennas_jax.costs import devices, layer_table
from greennas_jax.costs import terms as cost_terms
from greennas_jax.costs.devices import Device
from greennas_jax.costs.settings import CostSettings
from greennas_jax.costs.terms import Term
from greennas_jax.spaces import catalogue
from greennas_jax.spaces import space as spaces
from greennas_jax.spaces.catalogue import Entry
from greennas_jax.spaces.factors import Factors
from greennas_jax.spaces.space import Position
from greennas_jax.spec import structure
from greennas_jax.spec.network import Network, SpecError

MOST_STRINGS = 16_384
# Positions that one step of the encoder may hold.
_PER_STEP = 4
_PARTED = "|"


class ListedSpace:
    """A space of few strings, each of them known.

    Attributes:
      name: The space's name.
      positions: Its positions; a choice is a text without "|" and commas.
    """

    def __init__(
        self,
        name: str,
        positions: Sequence[Position],
        network: Callable[[tuple[str, ...]], Network],
    ):
        """Write all strings down.

        Args:
          name: The space's name.
          positions: Positions, in the order of the tokens.
          network: One choice of each position -> the network.

        Raises:
          ValueError: If there are too many strings, or a choice cannot be part of a text.
        """
        self.name = name
        self.positions = tuple(positions)
        self._network = network
        count = int(np.prod([len(place.choices) for place in self.positions], dtype=float))
        if not 1 < count <= MOST_STRINGS:
            raise ValueError(f"space '{name}' has {count} strings; allowed: 2 to {MOST_STRINGS}")
        for place in self.positions:
            if any(set(choice) & set(f"{_PARTED},\n") for choice in place.choices):
                raise ValueError(f"space '{name}', '{place.name}': a choice with '|' or a comma")

    @property
    def given(self) -> Network:
        """The network of the string of zeros."""
        return self.decode(np.zeros(len(self.positions), np.int32))

    @property
    def steps(self) -> tuple[tuple[int, ...], ...]:
        """The positions, four at a time."""
        whole = range(len(self.positions))
        return tuple(tuple(whole[i : i + _PER_STEP]) for i in whole[::_PER_STEP])

    @property
    def sizes(self) -> np.ndarray:
        """The number of choices per position, int32 [T]."""
        return np.asarray([len(place.choices) for place in self.positions], np.int32)

    @property
    def valid_mask(self) -> np.ndarray:
        """Which tokens are choices, bool [T, V]."""
        return spaces.mask(self.sizes)

    @functools.cached_property
    def _strings(self) -> np.ndarray:
        return np.asarray(list(itertools.product(*map(range, self.sizes))), np.int32)

    @functools.cached_property
    def _networks(self) -> tuple[Network, ...]:
        return tuple(self.decode(row) for row in self._strings)

    @functools.cached_property
    def _first(self) -> np.ndarray:
        """Return for each string the number of the first one with the same layers, int64 [N]."""
        known: dict[str, int] = {}
        return np.asarray(
            [known.setdefault(repr(net.layers), row) for row, net in enumerate(self._networks)]
        )

    @functools.cached_property
    def _labels(self) -> np.ndarray:
        found = [list(structure.descriptors(network).values()) for network in self._networks]
        return np.asarray(found, np.float64)

    def codes(self, tokens: np.ndarray) -> np.ndarray:
        """Return the number of each string [n, T], int64 [n]."""
        strings = spaces.check(tokens, self.sizes)
        return np.asarray(np.ravel_multi_index(tuple(strings.T), tuple(self.sizes)))

    def parse(self, text: str) -> np.ndarray:
        """Return the tokens int32 [T] of choices parted by "|".

        Raises:
          SpecError: If the text names another number of choices, or one that there is not.
        """
        told = text.split(_PARTED)
        if len(told) != len(self.positions):
            raise SpecError(f"{len(told)} choices; {len(self.positions)} parted by '|' needed")
        tokens = []
        for choice, place in zip(told, self.positions, strict=True):
            if choice not in place.choices:
                allowed = ", ".join(place.choices)
                raise SpecError(f"'{place.name}' is {choice[:40]!r}; allowed: {allowed}")
            tokens.append(place.choices.index(choice))
        return np.asarray(tokens, np.int32)

    def text(self, tokens: np.ndarray) -> str:
        """Return the choices of a string [T], parted by "|"."""
        (row,) = spaces.check(tokens, self.sizes)
        return _PARTED.join(p.choices[t] for p, t in zip(self.positions, row, strict=True))

    def encode(self, network: Network) -> np.ndarray:
        """Return the canonical string of a network of the space, int32 [T].

        Raises:
          SpecError: If the network is no point of the space.
        """
        for row, known in zip(self._strings, self._networks, strict=True):
            if known.layers == network.layers:
                return row
        raise SpecError(f"network '{network.name}' is no point of space '{self.name}'")

    def decode(self, tokens: np.ndarray) -> Network:
        """Return the network of a string [T]."""
        (row,) = spaces.check(tokens, self.sizes)
        return self._network(tuple(p.choices[t] for p, t in zip(self.positions, row, strict=True)))

    def canonical(self, tokens: np.ndarray) -> np.ndarray:
        """Return the canonical strings of strings [n, T], int32 [n, T]."""
        return self._strings[self._first[self.codes(tokens)]]

    def connected(self, tokens: np.ndarray) -> np.ndarray:
        """Return which strings [n, T] are networks, bool [n]: all are."""
        return np.ones(len(np.atleast_2d(tokens)), bool)

    def every(self) -> np.ndarray:
        """Return the canonical strings of all networks, int32 [N, T] at most."""
        return self._strings[np.unique(self._first)]

    def sample(self, rng: np.random.Generator, n: int) -> np.ndarray:
        """Return canonical strings, uniform over the strings, int32 [n, T]."""
        return self.canonical(self._strings[rng.integers(len(self._strings), size=n)])

    def neighbours(self, tokens: np.ndarray) -> np.ndarray:
        """Return the distinct canonical strings one edit away, int32 [m, T]."""
        return spaces.single_edits(np.asarray(tokens, np.int32), self.sizes, self.canonical)

    @property
    def label_names(self) -> tuple[str, ...]:
        """Names of the labels, [F]."""
        return tuple(structure.descriptors(self.given))

    def labels(self, tokens: np.ndarray) -> np.ndarray:
        """Return descriptors of the live graphs of strings [n, T], float64 [n, F]."""
        return self._labels[self._first[self.codes(tokens)]]

    def factors(self, device: Device, terms: Sequence[Term], settings: CostSettings) -> Factors:
        """Return the cost of every string as one table over all positions.

        Args:
          device: The device.
          terms: Additive cost terms.
          settings: Settings of the cost functions.
        """
        kinds, owner = np.unique(self._first, return_inverse=True)
        tables = [layer_table.from_network(self._networks[row]) for row in kinds]
        costs = [
            [float(np.sum(term.function(table, device, settings))) for table in tables]
            for term in terms
        ]
        found = np.asarray(costs, np.float64).reshape(len(terms), -1)[:, owner]
        return _one_table(self.sizes, [(t.name, t.unit) for t in terms], found)

    def tabulated(self, name: str, unit: str, tokens: np.ndarray, costs: np.ndarray) -> Factors:
        """Return known costs of all networks as one table; what is not told costs the most."""
        table = np.full(len(self._strings), np.max(costs))
        table[self.codes(tokens)] = costs
        return _one_table(self.sizes, [(name, unit)], table[self._first][None])

    def counted(self, name: str) -> Factors:
        """Return the multiply-adds of all networks under a name; no device matters for them."""
        flops = cost_terms.get("flops")
        term = flops._replace(name=name)
        return self.factors(devices.load("titan_x"), [term], CostSettings())


def _one_table(sizes: np.ndarray, named: list[tuple[str, str]], costs: np.ndarray) -> Factors:
    """Return costs [K, N] of all strings as factors."""
    scope = tuple(range(len(sizes)))
    return Factors(
        tables=(costs,),
        maps=(),
        constant=np.zeros(len(named)),
        terms=tuple(name for name, _ in named),
        units=tuple(unit for _, unit in named),
        sizes=tuple(int(size) for size in sizes),
        parents=(),
        scopes=(scope,),
        names=(("networks",), ()),
    )


def register(
    name: str, positions: Sequence[Position], network: Callable[[tuple[str, ...]], Network]
) -> Entry:
    """Add a written-down space to the catalogue; see `ListedSpace`.

    Raises:
      ValueError: If the name is taken, or the space cannot be written down.
    """
    space = ListedSpace(name, positions, network)
    return catalogue.register(
        Entry(name, lambda: space, space.tabulated, lambda _, term: space.counted(term))
    )
