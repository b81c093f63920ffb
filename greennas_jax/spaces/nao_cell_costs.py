"""The cost of NAO's pairs of cells as tables over few tokens each, exact.

What a branch costs depends on its operation, on whether it reads an input of a reduction cell
(stride 2), and on how many of the stack's cells are live, which both cells' readings of their
inputs decide. What follows a cell reads as many channels as it has loose ends. Loose ends and
readings follow from the indices alone, one after another, as sets of what has been read so far; no
table is laid over two nodes that share a token, so expected costs are exact, too.

Shapes: K terms.
"""

import functools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from greennas_jax.costs import layer_table
from greennas_jax.costs.devices import Device
from greennas_jax.costs.layer_table import LayerTable
from greennas_jax.costs.settings import CostSettings
from greennas_jax.costs.terms import Term
from greennas_jax.spaces import factors as cost_factors
from greennas_jax.spaces import nao_cell_network as networks
from greennas_jax.spaces import nao_cell_strings as strings
from greennas_jax.spaces import values
from greennas_jax.spaces.factors import Factors, Priced
from greennas_jax.spaces.nao_cell_network import NORMAL, REDUCTION, PairConfig
from greennas_jax.spaces.values import Node
from greennas_jax.spec import shapes as shape_rules
from greennas_jax.spec.network import Layer, Network

CAP = 2**16
_BRANCHES = 2 * strings.NODES
# Bits of the sets of what is read: the inputs, then the nodes.
_INPUTS = 2**strings.INPUTS - 1


class Part(NamedTuple):
    """Layers that cost the same wherever they stand.

    Attributes:
      kind: `branch`, `sum`, `joined`, `input`, `head` or `stem`.
      size: Height and width of what is read.
      channels: Channels of what is read (of a join and a sum, of each).
      width: Channels of what is written.
      stride: Stride.
      which: Operation of a branch, or number of tensors joined.
    """

    kind: str
    size: int
    channels: int = 0
    width: int = 0
    stride: int = 1
    which: int = 0


class Cells(NamedTuple):
    """Numbers of the nodes that tell about one kind of cell.

    Attributes:
      operations: Positions of the operations.
      reads: Which inputs are read, as bits.
      summary: Which inputs are read, and the number of loose ends.
      strided: Of each branch whether it reads an input, and which inputs the cell reads.
    """

    operations: tuple[int, ...]
    reads: int
    summary: int
    strided: tuple[int, ...]


def _layers(part: Part, config: PairConfig) -> list[Layer]:
    """Return the layers of a part, which read `source`."""
    if part.kind == "branch":
        return networks.branch("part", "source", part.which, part.width, part.stride)
    if part.kind == "input":
        return networks.pointwise("part", "source", part.width, part.stride)
    if part.kind == "sum":
        return [networks.added("part", ("source", "source"))]
    if part.kind == "joined":
        return networks.joined("part", ("source",) * part.which)
    return networks.head("source", part.size, config.classes)


def _table(part: Part, config: PairConfig) -> LayerTable | None:
    """Return the rows of a part; None where it has no layers."""
    if part.kind == "stem":
        return layer_table.from_network(Network(name="stem", layers=tuple(networks.stem(config))))
    layers = _layers(part, config)
    if not layers:
        return None
    tensor = [config.batch_size, part.size, part.size, part.channels]
    given = Layer(name="data", type="Input", parents=(), attributes={"tensor": tensor})
    # Behind a layer, so that gradients flow back as they do in the stack.
    source = Layer(name="source", type="ReLU", parents=("data",))
    found = shape_rules.infer(Network(name="part", layers=(given, source, *layers)))
    return layer_table.rows(layers, [found[layer.name] for layer in layers])


def _union(nodes: list[Node], numbers: Sequence[int], mask: int) -> list[int]:
    """Return nodes of the sets of what the first 1, 2, ... of some indices read, as masked bits."""
    found: list[int] = []
    for number in numbers:
        if found:
            made = values.apply(
                nodes, lambda read, index: read | (1 << index & mask), (found[-1], number), CAP
            )
        else:
            made = values.apply(nodes, lambda index: 1 << index & mask, (number,), CAP)
        found.append(made)
    return found


def _loose(read: np.ndarray) -> np.ndarray:
    """Return which inputs are read and the number of loose ends [m, 2] of sets [m, 1]."""
    unread = [~(read >> strings.INPUTS + node) & 1 for node in range(strings.NODES)]
    return np.concatenate([read & _INPUTS, sum(unread)], axis=1)


def _cells(nodes: list[Node], kind: int) -> Cells:
    """Append and return the nodes of one kind of cell."""
    first = kind * strings.CELL
    index = tuple(range(first, first + strings.CELL, 2))
    everything = _union(nodes, index, -1)
    before = _union(nodes, index, _INPUTS)
    behind = _union(nodes, index[::-1], _INPUTS)[::-1]
    strided = []
    for branch, number in enumerate(index):
        others = [*before[:branch][-1:], *behind[branch + 1 :][:1]]

        def both(own: np.ndarray, *rest: np.ndarray) -> np.ndarray:
            read = 1 << own & _INPUTS
            for more in rest:
                read = read | more
            return np.concatenate([own < strings.INPUTS, read], axis=1)

        strided.append(values.apply(nodes, both, (number, *others), CAP))
    return Cells(
        operations=tuple(number + 1 for number in index),
        reads=before[-1],
        summary=values.apply(nodes, _loose, (everything[-1],), CAP),
        strided=tuple(strided),
    )


def _beside(*columns: np.ndarray) -> np.ndarray:
    return np.concatenate(columns, axis=1)


def _flags(bits: int) -> networks.Reads:
    return bool(bits & 1), bool(bits & 2)


def _live(
    config: PairConfig, normal: int, reduction: int, kind: int | None = None
) -> list[networks.Place]:
    """Return the live places, of one kind where asked, as readings decide."""
    live = networks.live_places(config, (_flags(normal), _flags(reduction)))
    places = [place for place, used in zip(networks.places(config), live, strict=True) if used]
    return [place for place in places if kind is None or place.kind == kind]


def _branches(
    config: PairConfig, kind: int, operation: int, strided: int, normal: int, reduction: int
) -> list[Part]:
    """Return the parts of one branch of all live cells of a kind."""
    parts = []
    for place in _live(config, normal, reduction, kind):
        stage = place.input_stage if strided else place.stage
        width, stride = config.width(place.stage), 1 + place.stage - stage
        parts.append(Part("branch", config.size(stage), width, width, stride, operation))
    return parts


def _sums(config: PairConfig, normal: int, reduction: int) -> list[Part]:
    """Return the sums of the nodes of all live cells."""
    parts = []
    for place in _live(config, normal, reduction):
        width, size = config.width(place.stage), config.size(place.stage)
        parts += strings.NODES * [Part("sum", size, width, width)]
    return parts


def _between(
    config: PairConfig, normal: int, ends: int, reduction: int, reduced: int
) -> list[Part]:
    """Return what joins loose ends and prepares inputs, and the head."""
    loose, reads = (ends, reduced), (_flags(normal), _flags(reduction))
    stack, parts = networks.places(config), []
    for place in _live(config, normal, reduction):
        width, size = config.width(place.stage), config.size(place.stage)
        parts.append(Part("joined", size, width, width, 1, loose[place.kind]))
        for source, read in zip(place.inputs, reads[place.kind], strict=True):
            if not read:
                continue
            stride = networks.input_stride(stack, place, source)
            stage, channels = 0, config.channels
            if source != networks.STEM:
                above = stack[source]
                stage, channels = above.stage, loose[above.kind] * config.width(above.stage)
            parts.append(Part("input", config.size(stage), channels, width, stride))
    last = stack[-1].stage
    return [*parts, Part("head", config.size(last), ends * config.width(last))]


def fill(
    config: PairConfig, device: Device, terms: Sequence[Term], settings: CostSettings
) -> Factors:
    """Return the cost of every string of a stack; see `space.Space.factors`.

    Args:
      config: What a pair of cells is built into.
      device: The device.
      terms: Additive cost terms.
      settings: Settings of the cost functions.
    """

    @functools.cache
    def price(part: Part) -> np.ndarray:
        table = _table(part, config)
        if table is None:
            return np.zeros(len(terms))
        found = [np.sum(np.asarray(term.function(table, device, settings))) for term in terms]
        return np.asarray(found, np.float64)

    nodes: list[Node] = []
    for size in strings.sizes():
        values.token(nodes, np.arange(size)[:, None].tolist())
    normal, reduction = _cells(nodes, NORMAL), _cells(nodes, REDUCTION)
    priced: list[Priced] = []

    def add(name: str, arguments: Sequence[int], parts: Callable[..., Sequence[Part]]) -> None:
        node = values.tabulate(nodes, _beside, arguments, CAP)
        costs = [
            np.sum([price(part) for part in parts(*map(int, row))], axis=0) + np.zeros(len(terms))
            for row in node.values
        ]
        priced.append(Priced(name, node, np.stack(costs, axis=1)))

    def of_normal(operation: int, reads: int, other: int) -> list[Part]:
        return _branches(config, NORMAL, operation, 0, reads, other)

    def of_reduction(operation: int, strided: int, reads: int, other: int) -> list[Part]:
        return _branches(config, REDUCTION, operation, strided, other, reads)

    for branch in range(_BRANCHES):
        place = f"node{branch // 2}/{networks.SIDES[branch % 2]}"
        scope = (normal.operations[branch], normal.reads, reduction.reads)
        add(f"normal/{place}", scope, of_normal)
        scope = (reduction.operations[branch], reduction.strided[branch], normal.reads)
        add(f"reduction/{place}", scope, of_reduction)
    both = (normal.reads, reduction.reads)
    add("sums", both, functools.partial(_sums, config))
    both = (normal.summary, reduction.summary)
    add("between", both, functools.partial(_between, config))
    add("stem", (values.constant(nodes, 0),), lambda _: [Part("stem", config.image)])
    return cost_factors.assemble(nodes, priced, terms)
