"""A cell of NAS-Bench-201 as a network: three stages of cells between residual reductions.

Dong and Yang (2020), section 2.1 and figure 1: 3x3 convolution to 16 channels with batch
normalisation; three stages of N = 5 cells at 16, 32 and 64 channels; between them residual blocks
of stride 2 (two 3x3 convolutions, and 2x2 average pooling with a 1x1 convolution beside them);
batch normalisation, rectifier, global average pooling and the classifier. A convolution of the
cell is rectifier, convolution, batch normalisation; pooling does not count its padding.
"""

import dataclasses

import numpy as np

from greennas_jax.spaces import cell_layers
from greennas_jax.spaces import nasbench201_strings as strings
from greennas_jax.spec.network import Layer, Network, SpecError

STEM = 16


@dataclasses.dataclass(frozen=True, kw_only=True)
class CellConfig:
    """What a cell is built into.

    Attributes:
      cells: Cells in a stage.
      stages: Stages; each after the first has half the resolution and twice the channels.
      channels: Channels of the first stage.
      image: Height and width of an image.
      colours: Channels of an image.
      classes: Outputs of the classifier.
      batch_size: Images in a batch.
    """

    cells: int = 5
    stages: int = 3
    channels: int = STEM
    image: int = 32
    colours: int = 3
    classes: int = 100
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


def _rectified(name: str, parent: str, kernel: int, channels: int, stride: int = 1) -> list[Layer]:
    """Return rectifier, convolution and batch normalisation, the last under the name itself."""
    return [
        cell_layers.layer(f"{name}/relu", "ReLU", (parent,)),
        cell_layers.convolution(
            name, f"{name}/relu", kernel, channels, stride, normalizer_fn="batch_norm"
        ),
    ]


def _pooled(name: str, parent: str) -> Layer:
    return cell_layers.layer(
        name, "AvgPool", (parent,), ksize=[1, 3, 3, 1], strides=[1, 1, 1, 1], padding=[1, 1]
    )


def cell(tokens: np.ndarray, name: str, source: str, channels: int) -> tuple[list[Layer], str]:
    """Return the live layers of one cell and the name of its output.

    Args:
      tokens: A connected string [6].
      name: Prefix of the layers' names.
      source: The layer that is node 0.
      channels: Channels of all nodes.
    """
    live, layers, nodes = strings.live_edges(tokens), [], [source]
    for node in range(1, strings.OUTPUT + 1):
        arriving = []
        for number, (start, end) in enumerate(strings.EDGES):
            if end != node or not live[number]:
                continue
            operation = strings.OPERATIONS[int(tokens[number])]
            edge = f"{name}/{start}to{end}"
            if operation == "skip_connect":
                arriving.append(nodes[start])
            elif operation == "avg_pool_3x3":
                layers.append(_pooled(edge, nodes[start]))
                arriving.append(edge)
            else:
                kernel = 3 if operation == "nor_conv_3x3" else 1
                layers.extend(_rectified(edge, nodes[start], kernel, channels))
                arriving.append(edge)
        if len(arriving) > 1:
            layers.append(cell_layers.layer(f"{name}/node{node}", "Elementwise", tuple(arriving)))
            arriving = [f"{name}/node{node}"]
        nodes.append(arriving[0] if arriving else "")
    return layers, nodes[strings.OUTPUT]


def one_cell(tokens: np.ndarray) -> Network:
    """Return a connected cell [6] alone, between an input and a rectifier."""
    layers, last = cell(tokens, "cell", "data", STEM)
    data = cell_layers.layer("data", "Input", (), tensor=[1, 8, 8, STEM])
    return Network(name="cell", layers=(data, *layers, cell_layers.layer("relu", "ReLU", (last,))))


def _reduction(name: str, source: str, channels: int) -> tuple[list[Layer], str]:
    """Return the residual block of stride 2 between two stages, and its output's name."""
    layers = [
        *_rectified(f"{name}/first", source, 3, channels, 2),
        *_rectified(f"{name}/second", f"{name}/first", 3, channels),
        cell_layers.layer(
            f"{name}/pool",
            "AvgPool",
            (source,),
            ksize=[1, 2, 2, 1],
            strides=[1, 2, 2, 1],
            padding="VALID",
        ),
        cell_layers.convolution(f"{name}/shortcut", f"{name}/pool", 1, channels),
        cell_layers.layer(f"{name}/add", "Elementwise", (f"{name}/shortcut", f"{name}/second")),
    ]
    return layers, f"{name}/add"


def parts(tokens: np.ndarray) -> tuple[int, ...]:
    """Return what a cell of a string [6] is made of: live operations and sums by their addends.

    Cells of the same parts cost the same, layer by layer.
    """
    live = strings.live_edges(tokens)
    kinds = [int(token) for token, used in zip(tokens, live, strict=True) if used]
    addends = [
        sum(used and end == node for used, (_, end) in zip(live, strings.EDGES, strict=True))
        for node in range(1, strings.OUTPUT + 1)
    ]
    operations = [kinds.count(kind) for kind in range(strings.SKIP)]
    if not any(live):
        return ()
    return (*operations, *(addends.count(number) for number in range(2, strings.OUTPUT + 1)))


def expand(tokens: np.ndarray, config: CellConfig) -> Network:
    """Return the network of a string [6]; what is on no path to the output is left out.

    Raises:
      SpecError: If `none` cuts every path through the cell: its output is zero whatever it reads.
    """
    if not any(strings.live_edges(tokens)):
        raise SpecError(f"cell {strings.text(tokens)}: 'none' cuts every path to its output")
    return surrounded(tokens, config)


def surrounded(tokens: np.ndarray, config: CellConfig) -> Network:
    """Return the network of a string [6]; without cells where no path leads through them."""
    cells = config.cells if any(strings.live_edges(tokens)) else 0
    size = [config.batch_size, config.image, config.image, config.colours]
    layers = [
        cell_layers.layer("data", "Input", (), tensor=size),
        cell_layers.convolution("stem", "data", 3, config.channels, normalizer_fn="batch_norm"),
    ]
    last, channels, size = "stem", config.channels, config.image
    for stage in range(1, config.stages + 1):
        if stage > 1:
            channels, size = 2 * channels, size // 2
            found, last = _reduction(f"reduction{stage - 1}", last, channels)
            layers.extend(found)
        for number in range(1, cells + 1):
            found, last = cell(tokens, f"stage{stage}_{number}", last, channels)
            layers.extend(found)
    layers += [
        cell_layers.layer("norm", "BatchNorm", (last,)),
        cell_layers.layer("relu", "ReLU", ("norm",)),
        cell_layers.layer(
            "pool",
            "AvgPool",
            ("relu",),
            ksize=[1, size, size, 1],
            strides=[1, 1, 1, 1],
            padding="VALID",
        ),
        cell_layers.layer(
            "fc", "InnerProduct", ("pool",), num_outputs=config.classes, activation_fn=None
        ),
        cell_layers.layer("softmax", "Softmax", ("fc",), num_classes=config.classes),
    ]
    return Network(name=f"NAS-Bench-201 {strings.text(tokens)}", layers=tuple(layers))
