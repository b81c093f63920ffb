"""A pair of NAO's cells as a network: stages of normal cells with a reduction cell between them.

Luo et al. (2018), section 4.1, after Zoph et al. (2018): a 3x3 convolution with batch
normalisation; N normal cells a stage; in front of each later stage one reduction cell, of half the
resolution and twice the width; rectifier, global average pooling and the classifier. Both inputs of
a cell (the outputs of the two cells before it, the stem where there are none) first pass rectifier,
1x1 convolution to the cell's width and batch normalisation. A separable convolution is rectifier,
depthwise, pointwise and batch normalisation, all that twice (Zoph et al. 2018, appendix A.4). In
a reduction cell what reads input 0 or 1 has stride 2, an identity as rectifier, 1x1 convolution and
batch normalisation.

The cell behind a reduction reads one input at twice its resolution: the 1x1 convolution then has
stride 2, as the projections of He et al. (2016), section 3.3. A factorised reduction (two such
convolutions of half the filters, one of them a pixel further on) has the same FLOPs and weights and
drops no pixel; it needs a shift that no layer type has.

A cell need not read both inputs. Whole cells may then lie on no path to the output; they are left
out, as are the 1x1 convolutions of inputs that are not read.
"""

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from greennas_jax.spaces import cell_layers
from greennas_jax.spaces import nao_cell_strings as strings
from greennas_jax.spec.network import Layer, Network

NORMAL, REDUCTION = range(len(strings.CELLS))
STEM = -1
SIDES = ("left", "right")
Reads = tuple[bool, bool]


@dataclasses.dataclass(frozen=True, kw_only=True)
class PairConfig:
    """What a pair of cells is built into.

    Attributes:
      cells: Normal cells in a stage, N.
      stages: Stages; each after the first has half the resolution and twice the channels.
      channels: Channels of the stem and of every node in the first stage.
      image: Height and width of an image.
      colours: Channels of an image.
      classes: Outputs of the classifier.
      batch_size: Images in a batch.
    """

    cells: int = 3
    stages: int = 3
    channels: int = 20
    image: int = 32
    colours: int = 3
    classes: int = 10
    batch_size: int = 1

    def __post_init__(self):
        for field in dataclasses.fields(self):
            if getattr(self, field.name) < 1:
                raise ValueError(f"{field.name} is {getattr(self, field.name)}; allowed: from 1")
        if self.image % 2 ** (self.stages - 1):
            raise ValueError(
                f"image is {self.image}; allowed: multiples of {2 ** (self.stages - 1)}, halved "
                f"{self.stages - 1} times"
            )

    def width(self, stage: int) -> int:
        """Return the channels of a node in a stage, counted from 0."""
        return self.channels * 2**stage

    def size(self, stage: int) -> int:
        """Return the height of the cells' outputs in a stage, counted from 0."""
        return self.image // 2**stage


class Place(NamedTuple):
    """One cell of the stack.

    Attributes:
      name: Prefix of its layers' names.
      kind: NORMAL or REDUCTION.
      stage: Whose width and output resolution it has, from 0.
      inputs: Numbers of the places it may read, STEM where there is none.
    """

    name: str
    kind: int
    stage: int
    inputs: tuple[int, int]

    @property
    def input_stage(self) -> int:
        """The stage whose resolution its inputs are brought to."""
        return self.stage - (self.kind == REDUCTION)


def places(config: PairConfig) -> list[Place]:
    """Return all cells of the stack, in order."""
    found: list[Place] = []

    def append(name: str, kind: int, stage: int) -> None:
        last = len(found)
        found.append(Place(name, kind, stage, (max(last - 2, STEM), max(last - 1, STEM))))

    for stage in range(config.stages):
        if stage:
            append(f"reduction{stage}", REDUCTION, stage)
        for number in range(1, config.cells + 1):
            append(f"normal{stage + 1}_{number}", NORMAL, stage)
    return found


def live_places(config: PairConfig, reads: Sequence[Reads]) -> list[bool]:
    """Return which cells of the stack are on a path to the output.

    Args:
      config: The stack.
      reads: Which inputs each kind of cell reads.
    """
    stack = places(config)
    live = [False] * len(stack)
    live[-1] = True
    for number in reversed(range(len(stack))):
        for source, read in zip(stack[number].inputs, reads[stack[number].kind], strict=True):
            if live[number] and read and source != STEM:
                live[source] = True
    return live


def pointwise(name: str, parent: str, channels: int, stride: int = 1) -> list[Layer]:
    """Return rectifier, 1x1 convolution and batch normalisation, the last under the name itself."""
    return [
        cell_layers.layer(f"{name}/relu", "ReLU", (parent,)),
        cell_layers.convolution(
            name, f"{name}/relu", 1, channels, stride, normalizer_fn="batch_norm"
        ),
    ]


def _separable(name: str, parent: str, kernel: int, channels: int, stride: int) -> list[Layer]:
    """Return a separable convolution, applied twice; the stride is the first one's."""
    layers = []
    for turn, end, step in ((1, f"{name}/first", stride), (2, name, 1)):
        rectified, spread = f"{name}/relu{turn}", f"{name}/depthwise{turn}"
        layers += [
            cell_layers.layer(rectified, "ReLU", (parent,)),
            cell_layers.convolution(spread, rectified, kernel, channels, step, groups=channels),
            cell_layers.convolution(end, spread, 1, channels, normalizer_fn="batch_norm"),
        ]
        parent = end
    return layers


def branch(name: str, parent: str, operation: int, channels: int, stride: int) -> list[Layer]:
    """Return the layers of one branch, the last under the name itself; of an identity none."""
    if operation == strings.IDENTITY:
        return pointwise(name, parent, channels, stride) if stride > 1 else []
    if operation < 2:
        return _separable(name, parent, (3, 5)[operation], channels, stride)
    window = {"ksize": [1, 3, 3, 1], "strides": [1, stride, stride, 1], "padding": [1, 1]}
    return [cell_layers.layer(name, ("AvgPool", "Pooling")[operation - 2], (parent,), **window)]


def added(name: str, parents: tuple[str, ...]) -> Layer:
    """Return the sum of a node's branches."""
    return cell_layers.layer(name, "Elementwise", parents)


def joined(name: str, parents: tuple[str, ...]) -> list[Layer]:
    """Return what concatenates loose ends; of one alone nothing."""
    return [cell_layers.layer(name, "Concatenate", parents, dim=3)] if len(parents) > 1 else []


def cell(
    tokens: np.ndarray, name: str, inputs: tuple[str, str], channels: int, stride: int
) -> tuple[list[Layer], str]:
    """Return the layers of one cell behind its prepared inputs, and the name of its output.

    Args:
      tokens: A cell [20].
      name: Prefix of the layers' names.
      inputs: Names of what indices 0 and 1 read.
      channels: Channels of all nodes.
      stride: Of what reads the inputs.
    """
    layers, sources = [], list(inputs)
    for node, both in enumerate(strings.branches(tokens)):
        arriving = []
        for side, (index, operation) in zip(SIDES, both, strict=True):
            own = f"{name}/node{node}/{side}"
            step = stride if index < strings.INPUTS else 1
            found = branch(own, sources[index], operation, channels, step)
            layers += found
            arriving.append(own if found else sources[index])
        sources.append(f"{name}/node{node}")
        layers.append(added(sources[-1], tuple(arriving)))
    ends = tuple(f"{name}/node{node}" for node in strings.loose_ends(tokens))
    last = f"{name}/out" if len(ends) > 1 else "".join(ends)
    return layers + joined(f"{name}/out", ends), last


def one_cell(tokens: np.ndarray, stride: int = 1) -> Network:
    """Return a cell [20] alone, between the inputs it reads and a rectifier."""
    layers, last = cell(tokens, "cell", ("before", "previous"), 8, stride)
    inputs = [
        cell_layers.layer(name, "Input", (), tensor=[1, 8, 8, 8])
        for name, read in zip(("before", "previous"), strings.reads(tokens), strict=True)
        if read
    ]
    return Network(
        name="cell", layers=(*inputs, *layers, cell_layers.layer("relu", "ReLU", (last,)))
    )


def head(source: str, size: int, classes: int) -> list[Layer]:
    """Return what follows the last cell, whose output has a height and width."""
    window = {"ksize": [1, size, size, 1], "strides": [1, 1, 1, 1], "padding": "VALID"}
    return [
        cell_layers.layer("relu", "ReLU", (source,)),
        cell_layers.layer("pool", "AvgPool", ("relu",), **window),
        cell_layers.layer("fc", "InnerProduct", ("pool",), num_outputs=classes, activation_fn=None),
        cell_layers.layer("softmax", "Softmax", ("fc",), num_classes=classes),
    ]


def stem(config: PairConfig) -> list[Layer]:
    """Return the input and the first convolution."""
    size = [config.batch_size, config.image, config.image, config.colours]
    return [
        cell_layers.layer("data", "Input", (), tensor=size),
        cell_layers.convolution("stem", "data", 3, config.channels, normalizer_fn="batch_norm"),
    ]


def expand(tokens: np.ndarray, config: PairConfig) -> Network:
    """Return the network of a string [40]; what is on no path to the output is left out."""
    cells = np.asarray(tokens).reshape(len(strings.CELLS), strings.CELL)
    reads = [strings.reads(tokens) for tokens in cells]
    stack, layers = places(config), stem(config)
    outputs = {STEM: "stem"}
    for number, live in enumerate(live_places(config, reads)):
        if not live:
            continue
        place = stack[number]
        width, prepared = config.width(place.stage), [f"{place.name}/input{i}" for i in (0, 1)]
        for name, source, read in zip(prepared, place.inputs, reads[place.kind], strict=True):
            if read:
                stride = input_stride(stack, place, source)
                layers += pointwise(name, outputs[source], width, stride)
        names, stride = (prepared[0], prepared[1]), 1 + (place.kind == REDUCTION)
        found, outputs[number] = cell(cells[place.kind], place.name, names, width, stride)
        layers += found
    last = len(stack) - 1
    layers += head(outputs[last], config.size(stack[last].stage), config.classes)
    return Network(name=f"NAO {strings.text(tokens)}", layers=tuple(layers))


def input_stride(stack: Sequence[Place], place: Place, source: int) -> int:
    """Return the stride that brings what a place reads to the resolution its inputs have."""
    return 2 ** (place.input_stage - (0 if source == STEM else stack[source].stage))
