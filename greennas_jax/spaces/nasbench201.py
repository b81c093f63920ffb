"""The space of NAS-Bench-201: 15,625 cells of six edges with one of five operations each.

Cells of one isomorphism class (6,466; Dong and Yang 2020) have one canonical string, the last of
the class: `none` where nothing depends on an edge. The string of zeros is the cell of 3x3
convolutions alone. In 5 classes no path leads through the cell; those strings have no network and
are neither drawn nor offered as edits.

Shapes: n strings, T = 6 positions, V = 5 choices, F labels, K terms.
"""

import dataclasses
import functools
import itertools
from collections.abc import Sequence

import numpy as np

from greennas_jax.costs import devices, layer_table
from greennas_jax.costs import terms as cost_terms
from greennas_jax.costs.devices import Device
from greennas_jax.costs.settings import CostSettings
from greennas_jax.costs.terms import Term
from greennas_jax.spaces import nasbench201_network as networks
from greennas_jax.spaces import nasbench201_strings as strings
from greennas_jax.spaces import space as spaces
from greennas_jax.spaces.factors import Factors
from greennas_jax.spaces.nasbench201_network import CellConfig
from greennas_jax.spaces.space import Position
from greennas_jax.spec import path_structure
from greennas_jax.spec.network import Network, SpecError

_CHOICES = len(strings.OPERATIONS)


@dataclasses.dataclass(frozen=True, kw_only=True)
class CellSpace:
    """The cells of NAS-Bench-201; see `space.Space` for what each method returns.

    Attributes:
      config: What a cell is built into.
    """

    config: CellConfig = CellConfig()

    @property
    def name(self) -> str:
        """The space's name."""
        return "nasbench201"

    @property
    def given(self) -> Network:
        """The network of 3x3 convolutions alone."""
        return self.decode(np.zeros(len(strings.EDGES), np.int32))

    @property
    def positions(self) -> tuple[Position, ...]:
        """One position for each edge."""
        return tuple(
            Position(f"{a}to{b}.operation", f"{a}to{b}", "operation", strings.OPERATIONS)
            for a, b in strings.EDGES
        )

    @property
    def steps(self) -> tuple[tuple[int, ...], ...]:
        """The edges into each node."""
        return ((0,), (1, 2), (3, 4, 5))

    @property
    def sizes(self) -> np.ndarray:
        """The number of choices per position, int32 [T]."""
        return np.full(len(strings.EDGES), _CHOICES, np.int32)

    @property
    def valid_mask(self) -> np.ndarray:
        """Which tokens are choices, bool [T, V]."""
        return spaces.mask(self.sizes)

    def parse(self, text: str) -> np.ndarray:
        """Return the tokens int32 [T] of a cell's public text, as they stand.

        Raises:
          SpecError: If the text is not that of a cell.
        """
        return strings.parse(text)

    def text(self, tokens: np.ndarray) -> str:
        """Return the public text of a string [T]."""
        return strings.text(tokens)

    def encode(self, network: Network) -> np.ndarray:
        """Return the canonical string of a network that `decode` made, int32 [T].

        Raises:
          SpecError: If the network is no point of the space.
        """
        for row in _candidates(network):
            if self.connected(row)[0] and self.decode(row).layers == network.layers:
                return self.canonical(row)[0]
        raise SpecError(f"network '{network.name}' is no cell of {self.name} in this setting")

    def decode(self, tokens: np.ndarray) -> Network:
        """Return the network of a string [T], without what is on no path to the output.

        Raises:
          SpecError: If a token is no choice, or no path leads through the cell.
        """
        return networks.expand(spaces.check(tokens, self.sizes)[0], self.config)

    def canonical(self, tokens: np.ndarray) -> np.ndarray:
        """Return the canonical strings of strings [n, T], int32 [n, T]."""
        rows = strings.codes(spaces.check(tokens, self.sizes))
        return strings.every()[strings.classes()[rows]]

    def connected(self, tokens: np.ndarray) -> np.ndarray:
        """Return which strings [n, T] have a path through the cell, bool [n]."""
        return strings.connected()[strings.codes(spaces.check(tokens, self.sizes))]

    def every(self) -> np.ndarray:
        """Return the canonical strings of all networks, int32 [6461, T]."""
        rows = np.unique(strings.classes())
        return strings.every()[rows[strings.connected()[rows]]]

    def sample(self, rng: np.random.Generator, n: int) -> np.ndarray:
        """Return canonical strings of networks, uniform over the strings, int32 [n, T]."""
        rows = np.flatnonzero(strings.connected())
        return self.canonical(strings.every()[rows[rng.integers(len(rows), size=n)]])

    def neighbours(self, tokens: np.ndarray) -> np.ndarray:
        """Return the distinct canonical strings of networks one edit away, int32 [m, T]."""
        start = spaces.check(tokens, self.sizes)[0]
        found = spaces.single_edits(start, self.sizes, self.canonical)
        return found[self.connected(found)]

    @property
    def label_names(self) -> tuple[str, ...]:
        """Names of the labels, [F]."""
        return path_structure.NAMES

    def labels(self, tokens: np.ndarray) -> np.ndarray:
        """Return descriptors of the live graph of the cells of strings [n, T], float64 [n, F].

        Cells in a row repeat what their paths go through, so that depths of the whole network
        differ from its cell's by a factor and a constant.
        """
        rows = strings.codes(self.canonical(tokens))
        table, filled = _label_table()
        for row in np.unique(rows[~filled[rows]]):
            table[row], filled[row] = _labels(int(row)), True
        return table[rows]

    def factors(self, device: Device, terms: Sequence[Term], settings: CostSettings) -> Factors:
        """Return the cost of every string as one table over all positions.

        Which operations are live depends on all tokens together. A cell without a path costs what
        the networks around the cells do.

        Args:
          device: The device.
          terms: Additive cost terms.
          settings: Settings of the cost functions.
        """
        every, owner = strings.every(), {}
        kinds = np.asarray([owner.setdefault(networks.parts(row), len(owner)) for row in every])
        _, first = np.unique(kinds, return_index=True)
        once = dataclasses.replace(self.config, cells=1)
        tables = [layer_table.from_network(networks.surrounded(every[i], once)) for i in first]
        costs = np.asarray(
            [
                [
                    np.sum(np.asarray(term.function(table, device, settings), float))
                    for table in tables
                ]
                for term in terms
            ]
        ).reshape(len(terms), -1)
        # The cells of a stage cost the same, each of them.
        around = costs[:, [owner[()]]]
        costs = around + self.config.cells * (costs - around)
        scope = tuple(range(len(strings.EDGES)))
        return Factors(
            tables=(costs[:, kinds],),
            maps=(),
            constant=np.zeros(len(terms)),
            terms=tuple(term.name for term in terms),
            units=tuple(term.unit for term in terms),
            sizes=(_CHOICES,) * len(scope),
            parents=(),
            scopes=(scope,),
            names=(("cells",), ()),
        )


@functools.cache
def _label_table() -> tuple[np.ndarray, np.ndarray]:
    """Return the labels of all strings, and which of them have been found yet."""
    count = len(strings.every())
    return np.zeros((count, len(path_structure.NAMES))), np.zeros(count, bool)


def _labels(row: int) -> np.ndarray:
    """Return the labels float64 [F] of a row of `strings.every`; zeros without a path."""
    tokens = strings.every()[row]
    if not strings.connected()[row]:
        return np.zeros(len(path_structure.NAMES))
    found = path_structure.descriptors(networks.one_cell(tokens))
    return np.asarray(list(found.values()))


def tabulated(name: str, unit: str, tokens: np.ndarray, costs: np.ndarray) -> Factors:
    """Return known costs of all networks as one table over all positions.

    Args:
      name: Of the cost term.
      unit: Its unit.
      tokens: Canonical strings of all networks, int32 [N, T].
      costs: Their costs, float64 [N]; a cell without a path costs as much as the dearest.
    """
    table = np.full(len(strings.every()), np.max(costs))
    table[strings.codes(tokens)] = costs
    scope = tuple(range(len(strings.EDGES)))
    return Factors(
        tables=(table[strings.classes()][None],),
        maps=(),
        constant=np.zeros(1),
        terms=(name,),
        units=(unit,),
        sizes=(_CHOICES,) * len(scope),
        parents=(),
        scopes=(scope,),
        names=(("cells",), ()),
    )


def operation_counts(space: CellSpace, name: str) -> Factors:
    """Return the FLOPs of every string, under a name; they do not depend on a device."""
    found = space.factors(devices.load("titan_x"), [cost_terms.get("flops")], CostSettings())
    return dataclasses.replace(found, terms=(name,))


def _candidates(network: Network) -> np.ndarray:
    """Return the strings whose operations are the layers of a network's first cell, [n, T]."""
    types = {layer.name: layer for layer in network.layers}
    choices = []
    for start, end in strings.EDGES:
        layer = types.get(f"stage1_1/{start}to{end}")
        if layer is None:
            choices.append((strings.SKIP, strings.NONE))
        elif layer.type == "AvgPool":
            choices.append((strings.OPERATIONS.index("avg_pool_3x3"),))
        else:
            choices.append((0, 1))
    return np.asarray(list(itertools.product(*choices)), np.int32)
