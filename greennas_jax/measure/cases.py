"""One layer alone, as measurements and sweeps name it: its text, its shapes, its row of a table.

Conventions that a case leaves unsaid: a convolution has a bias and a ReLU, an inner product a
bias, an element-wise layer two inputs, a feed-forward layer a GELU. A sequence's length stands in
`in_height`, an embedding's vocabulary in `in_channels`.

Shapes: L cases.
"""

import dataclasses
from collections.abc import Sequence

from greennas_jax.costs import layer_table
from greennas_jax.costs.layer_table import LayerTable
from greennas_jax.spec import shapes as shape_rules
from greennas_jax.spec.network import Layer, Network

LAYER = "layer"
# Types measured several in a row, as they stand in a network: each reads what its like writes, and
# one cannot be computed together with the next. Alone, what surrounds a small one hides it.
CHAINED = ("MultiHeadAttention", "FeedForward", "LayerNorm")
CHAIN = 4
WINDOWS = ("Pooling", "AvgPool")
OF_IMAGES = ("BatchNorm", "LRN", "ReLU", "Elementwise")
OF_SEQUENCES = ("LayerNorm", "MultiHeadAttention", "FeedForward", "Activation")
TYPES = (
    "Convolution",
    "InnerProduct",
    *WINDOWS,
    *OF_IMAGES,
    "Softmax",
    *OF_SEQUENCES,
    "Embedding",
)
MODES = ("inference", "training")
DTYPES = ("fp32", "tf32", "bf16", "fp16", "int8")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Case:
    """A layer alone. None where a field does not apply to its type.

    Attributes:
      type: Its type, one of TYPES.
      mode: "inference", or "training": forward, backward and update.
      dtype: Number format of weights and activations.
      batch: Batch size.
      in_height: Height of the input, or length of the sequence.
      in_width: Width of the input.
      in_channels: Channels, features or width of the input; vocabulary of an embedding.
      out_channels: Channels, features or width of the output.
      kernel_height: Height of a window.
      kernel_width: Width of a window.
      stride_height: Vertical stride.
      stride_width: Horizontal stride.
      padding: "SAME", "VALID" or, per side, "1x1".
      groups: Groups of a convolution.
      heads: Heads of an attention.
      hidden: Hidden width of a feed-forward layer.
    """

    type: str
    mode: str = "inference"
    dtype: str = "fp32"
    batch: int
    in_height: int = 1
    in_width: int = 1
    in_channels: int
    out_channels: int
    kernel_height: int | None = None
    kernel_width: int | None = None
    stride_height: int | None = None
    stride_width: int | None = None
    padding: str | None = None
    groups: int | None = None
    heads: int | None = None
    hidden: int | None = None

    def __post_init__(self):
        for name, allowed in (("type", TYPES), ("mode", MODES), ("dtype", DTYPES)):
            if getattr(self, name) not in allowed:
                raise ValueError(
                    f"'{name}' is {getattr(self, name)!r}; allowed: {', '.join(allowed)}"
                )
        for field in dataclasses.fields(self)[3:]:
            value = getattr(self, field.name)
            if isinstance(value, int) and value < 1:
                raise ValueError(f"'{field.name}' is {value}; allowed: whole numbers from 1")
        for name in _NEEDED.get(self.type, ()):
            if getattr(self, name) is None:
                raise ValueError(f"'{name}' is missing; a {self.type} needs it")


_WINDOW = ("kernel_height", "kernel_width", "stride_height", "stride_width", "padding")
_NEEDED = {
    "Convolution": (*_WINDOW, "groups"),
    **dict.fromkeys(WINDOWS, _WINDOW),
    "MultiHeadAttention": ("heads",),
    "FeedForward": ("hidden",),
}


def input_shape(case: Case) -> tuple[int, ...]:
    """Return the shape of a case's input."""
    if case.type == "Embedding":
        return case.batch, case.in_height
    if case.type == "Softmax" or (case.type == "InnerProduct" and case.in_height == 1):
        return case.batch, case.in_channels
    if case.type in (*OF_SEQUENCES, "InnerProduct"):
        return case.batch, case.in_height, case.in_channels
    return case.batch, case.in_height, case.in_width, case.in_channels


def _padding(text: str) -> str | list[int]:
    if text in ("SAME", "VALID"):
        return text
    sides = text.split("x")
    if len(sides) != 2 or not all(side.isdecimal() for side in sides):
        raise ValueError(f"'padding' is {text!r}; allowed: SAME, VALID, or as 1x1")
    return [int(side) for side in sides]


def _attributes(case: Case) -> dict:
    """Return a case's layer attributes in Paleo's text."""
    match case.type:
        case "Convolution":
            return {
                "filter": [case.kernel_height, case.kernel_width, -1, case.out_channels],
                "strides": [1, case.stride_height, case.stride_width, 1],
                "padding": _padding(case.padding or ""),
                "groups": case.groups,
                "activation_fn": "relu",
            }
        case "Pooling" | "AvgPool":
            return {
                "ksize": [1, case.kernel_height, case.kernel_width, 1],
                "strides": [1, case.stride_height, case.stride_width, 1],
                "padding": _padding(case.padding or ""),
            }
        case "InnerProduct":
            positions = {} if case.in_height == 1 else {"per_position": True}
            return {"num_outputs": case.out_channels, **positions}
        case "Softmax":
            return {"num_classes": case.out_channels}
        case "MultiHeadAttention":
            return {"heads": case.heads}
        case "FeedForward":
            return {"hidden": case.hidden, "activation_fn": "gelu"}
        case "Activation":
            return {"activation_fn": "gelu"}
        case "Embedding":
            return {"vocabulary": case.in_channels, "width": case.out_channels}
        case _:
            return {}


def chained(case: Case) -> tuple[Network, int]:
    """Return the network in which a case is measured, and how often its layer stands there."""
    alone = network(case)
    if case.type not in CHAINED:
        return alone, 1
    source, layer = alone.layers
    layers = [source, layer]
    for number in range(2, CHAIN + 1):
        layers.append(layer.replace(name=f"{LAYER}{number}", parents=(layers[-1].name,)))
    return alone.replace(layers=tuple(layers)), CHAIN


def network(case: Case) -> Network:
    """Return the network of one layer that a case stands for.

    Raises:
      ValueError: If its shapes are impossible: heads that do not divide the width, windows larger
        than the padded input, groups that do not divide the channels, another output.
    """
    shape = list(input_shape(case))
    parents = ("data", "data") if case.type == "Elementwise" else ("data",)
    layers = (
        Layer(name="data", type="Input", parents=(), attributes={"tensor": shape}),
        Layer(name=LAYER, type=case.type, parents=parents, attributes=_attributes(case)),
    )
    made = Network(name=f"{case.type} alone", layers=layers)
    found = shape_rules.infer(made)[LAYER]
    if case.type in WINDOWS:
        _check_window(case)
    if found.output[-1] != case.out_channels:
        raise ValueError(
            f"'out_channels' is {case.out_channels}, but this {case.type} writes {found.output[-1]}"
        )
    return made


def _check_window(case: Case) -> None:
    """Check a pooling window, which the shapes' rules would clip."""
    padding = _padding(case.padding or "")
    if padding == "SAME":
        return
    pads = (0, 0) if padding == "VALID" else padding
    kernel = (case.kernel_height or 1, case.kernel_width or 1)
    room = (case.in_height + 2 * int(pads[0]), case.in_width + 2 * int(pads[1]))
    if kernel[0] > room[0] or kernel[1] > room[1]:
        raise ValueError(f"kernel {kernel} is larger than the padded input {room}")


def table(cases: Sequence[Case]) -> LayerTable:
    """Return the table of cases, one row each [L].

    Raises:
      ValueError: If a case is impossible.
    """
    layers, shapes = [], []
    for case in cases:
        alone = network(case)
        layers.append(alone.layers[1])
        shapes.append(shape_rules.infer(alone)[LAYER])
    # None reads a source: what is fitted must hold for layers inside a network.
    return layer_table.rows(layers, shapes, sources=())
