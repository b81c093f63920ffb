"""NAO's space of convolutional networks: a normal and a reduction cell of five nodes each.

Strings that compute the same network have one canonical string (`nao_cell_strings.canonical`);
where no live cell of the stack is a reduction, that of the reduction cell is zeros. Sums alone are
seen through: pools of sums that equal sums of pools count as different, for they cost differently.

Shapes: n strings, T = 40 positions, V = 6 choices at most, F labels, K terms.
"""

import dataclasses
import functools
from collections.abc import Sequence

import numpy as np

from greennas_jax.costs.devices import Device
from greennas_jax.costs.settings import CostSettings
from greennas_jax.costs.terms import Term
from greennas_jax.spaces import nao_cell_costs as costs
from greennas_jax.spaces import nao_cell_network as networks
from greennas_jax.spaces import nao_cell_strings as strings
from greennas_jax.spaces import space as spaces
from greennas_jax.spaces.factors import Factors
from greennas_jax.spaces.nao_cell_network import NORMAL, REDUCTION, PairConfig
from greennas_jax.spaces.space import Position
from greennas_jax.spec import path_structure
from greennas_jax.spec.network import Layer, Network, SpecError


@dataclasses.dataclass(frozen=True, kw_only=True)
class PairSpace:
    """The pairs of cells of NAO; see `space.Space` for what each method returns.

    Attributes:
      config: What a pair is built into.
    """

    config: PairConfig = PairConfig()

    @property
    def name(self) -> str:
        """The space's name."""
        return "nao_cell"

    @property
    def given(self) -> Network:
        """The network of the string of zeros."""
        return self.decode(np.zeros(strings.POSITIONS, np.int32))

    @property
    def positions(self) -> tuple[Position, ...]:
        """Four positions for each node of each cell."""
        found = []
        for place, size in enumerate(self.sizes):
            node = place % strings.CELL // 4
            layer = f"{strings.CELLS[place // strings.CELL]}/node{node}"
            name = f"{layer}/{networks.SIDES[place % 4 // 2]}"
            if place % 2:
                found.append(Position(f"{name}.operation", layer, "operation", strings.OPERATIONS))
            else:
                sources = tuple(map(str, range(size)))
                found.append(Position(f"{name}.index", layer, "index", sources))
        return tuple(found)

    @property
    def steps(self) -> tuple[tuple[int, ...], ...]:
        """The positions of each node."""
        return tuple(tuple(range(i, i + 4)) for i in range(0, strings.POSITIONS, 4))

    @property
    def sizes(self) -> np.ndarray:
        """The number of choices per position, int32 [T]."""
        return strings.sizes()

    @property
    def valid_mask(self) -> np.ndarray:
        """Which tokens are choices, bool [T, V]."""
        return spaces.mask(self.sizes)

    def parse(self, text: str) -> np.ndarray:
        """Return the tokens int32 [T] of 40 whole numbers, as they stand.

        Raises:
          SpecError: If the text is not that of a pair of cells.
        """
        return strings.parse(text)

    def text(self, tokens: np.ndarray) -> str:
        """Return the text of a string [T]."""
        return strings.text(tokens)

    def encode(self, network: Network) -> np.ndarray:
        """Return the canonical string of a network that `decode` made, int32 [T].

        Raises:
          SpecError: If the network is no point of the space.
        """
        wrong = SpecError(f"network '{network.name}' is no point of {self.name} in this setting")
        layers = network.by_name()
        found = np.zeros((len(strings.CELLS), strings.CELL), np.int32)
        try:
            for place in networks.places(self.config):
                if f"{place.name}/node0" in layers:
                    found[place.kind] = _read_cell(layers, place.name)
        except (KeyError, ValueError, TypeError, IndexError):
            raise wrong from None
        tokens = found.reshape(-1)
        if (tokens >= self.sizes).any() or self.decode(tokens).layers != network.layers:
            raise wrong
        return self.canonical(tokens)[0]

    def decode(self, tokens: np.ndarray) -> Network:
        """Return the network of a string [T], without what is on no path to the output.

        Raises:
          SpecError: If a token is no choice.
        """
        return networks.expand(spaces.check(tokens, self.sizes)[0], self.config)

    def canonical(self, tokens: np.ndarray) -> np.ndarray:
        """Return the canonical strings of strings [n, T], int32 [n, T]."""
        cells = spaces.check(tokens, self.sizes).reshape(-1, strings.CELL)
        different, place = np.unique(strings.codes(cells), return_inverse=True)
        least = strings.canonical(strings.from_codes(different))[place]
        found = least.reshape(-1, strings.POSITIONS)
        found[~self._reduces(found), strings.CELL :] = 0
        return found

    def _reduces(self, tokens: np.ndarray) -> np.ndarray:
        """Return whether a live cell of each string [n, T] is a reduction, bool [n]."""
        # The first reduction in front of the last stage decides: whether the last one is live
        # follows from what normal cells read.
        known: dict[networks.Reads, bool] = {}
        stack, found = networks.places(self.config), np.zeros(len(tokens), bool)
        for row, cell in enumerate(tokens[:, : strings.CELL]):
            reads = strings.reads(cell)
            if reads not in known:
                live = networks.live_places(self.config, (reads, (True, True)))
                kinds = [p.kind for p, alive in zip(stack, live, strict=True) if alive]
                known[reads] = REDUCTION in kinds
            found[row] = known[reads]
        return found

    def connected(self, tokens: np.ndarray) -> np.ndarray:
        """Return which strings [n, T] have a path to the output: all, bool [n]."""
        return np.ones(len(spaces.check(tokens, self.sizes)), bool)

    def sample(self, rng: np.random.Generator, n: int) -> np.ndarray:
        """Return canonical strings, int32 [n, T].

        Indices are uniform; each cell draws its own shares of the operations, so that cells of few
        kinds of operations are as frequent as mixed ones.
        """
        drawn = rng.integers(0, self.sizes, (n, strings.POSITIONS))
        shares = rng.dirichlet(np.ones(len(strings.OPERATIONS)), (n, len(strings.CELLS)))
        limits = np.cumsum(shares, axis=2)[:, :, None, :-1]
        where = rng.random((n, len(strings.CELLS), strings.CELL // 2, 1))
        drawn[:, 1::2] = (where > limits).sum(3).reshape(n, -1)
        return self.canonical(drawn)

    def neighbours(self, tokens: np.ndarray) -> np.ndarray:
        """Return the distinct canonical strings one edit away, int32 [m, T]."""
        start = spaces.check(tokens, self.sizes)[0]
        return spaces.single_edits(start, self.sizes, self.canonical)

    @property
    def label_names(self) -> tuple[str, ...]:
        """Names of the labels, [F]."""
        return tuple(f"{kind}.{name}" for kind in strings.CELLS for name in path_structure.NAMES)

    def labels(self, tokens: np.ndarray) -> np.ndarray:
        """Return descriptors of the graphs of both cells of strings [n, T], float64 [n, F].

        Cells in a row repeat what their paths go through. A reduction cell that no live cell is
        has zeros.
        """
        canonical = self.canonical(tokens)
        cells = canonical.reshape(len(canonical), len(strings.CELLS), strings.CELL)
        codes = [strings.codes(cells[:, kind]).tolist() for kind in (NORMAL, REDUCTION)]
        found = np.asarray(
            [[*_labels(a, NORMAL), *_labels(b, REDUCTION)] for a, b in zip(*codes, strict=True)]
        )
        found[~self._reduces(canonical), len(path_structure.NAMES) :] = 0
        return found

    def factors(self, device: Device, terms: Sequence[Term], settings: CostSettings) -> Factors:
        """Return the cost of every string as tables; see `nao_cell_costs`."""
        return costs.fill(self.config, device, terms, settings)


@functools.lru_cache(2**16)
def _labels(code: int, kind: int) -> tuple[float, ...]:
    """Return the labels of a cell by its number."""
    cell = strings.from_codes(np.asarray([code]))[0]
    network = networks.one_cell(cell, 1 + (kind == REDUCTION))
    return tuple(path_structure.descriptors(network).values())


def _read_cell(layers: dict[str, Layer], name: str) -> list[int]:
    """Return the 20 tokens of a cell whose layers bear a name."""
    sources = [f"{name}/input0", f"{name}/input1"]
    tokens: list[int] = []
    for node in range(strings.NODES):
        for side, parent in zip(networks.SIDES, layers[f"{name}/node{node}"].parents, strict=True):
            own = f"{name}/node{node}/{side}"
            operation, at = strings.IDENTITY, parent
            if parent == own:
                operation = _operation(layers, own)
                while at.startswith(own):
                    (at,) = layers[at].parents
            tokens += [sources.index(at), operation]
        sources.append(f"{name}/node{node}")
    return tokens


def _operation(layers: dict[str, Layer], name: str) -> int:
    """Return the operation of a branch by the layer it ends in."""
    kind = layers[name].type
    if kind == "Convolution":
        spread = layers.get(f"{name}/depthwise1")
        return strings.IDENTITY if spread is None else (3, 5).index(spread.attributes["filter"][0])
    return 2 + ("AvgPool", "Pooling").index(kind)
