"""Typed, checked views of a layer's attributes: what Paleo's JSON means by them.

Keys of Paleo's text: `filter` [kh, kw, Cin, Cout] (Cin -1: as many as the input has), `strides` and
`ksize` [1, h, w, 1], `padding` "VALID", "SAME" or [ph, pw], `activation_fn`, `normalizer_fn`,
`num_outputs`, `dim`, `output_shape`, `dropout_keep_prob`, `num_classes`. Ours: `groups` on
Convolution, `use_bias`, and on InnerProduct `per_position` (it acts on the last axis of [N, S, D])
and `weights_of` (an Embedding whose table it uses). Padding of one side is symmetric.
"""

from typing import Any, Literal, NamedTuple

from greennas_jax.spec import limits
from greennas_jax.spec.network import Layer, SpecError, shown

Padding = Literal["VALID", "SAME"] | tuple[int, int]

KNOWN_TYPES = (
    "Input",
    "Convolution",
    "Deconvolution",
    "Pooling",
    "AvgPool",
    "InnerProduct",
    "Dropout",
    "Concatenate",
    "Elementwise",
    "Reshape",
    "Softmax",
    "Sigmoid",
    "UpSampling2D",
    "BatchNorm",
    "LRN",
    "ReLU",
    "Embedding",
    "LayerNorm",
    "MultiHeadAttention",
    "FeedForward",
    "Activation",
    "SequencePool",
)
ACTIVATIONS = ("relu", "relu6", "tanh", "sigmoid", "gelu", "silu")
LARGEST_SIZE = limits.LARGEST_SIZE


class Convolution(NamedTuple):
    """A convolution's hyper-parameters; `in_channels` is -1 when it follows the input."""

    kernel: tuple[int, int]
    in_channels: int
    out_channels: int
    strides: tuple[int, int]
    padding: Padding
    groups: int
    use_bias: bool
    activation: str | None
    normalizer: str | None


class Pool(NamedTuple):
    """A pooling layer's hyper-parameters."""

    kernel: tuple[int, int]
    strides: tuple[int, int]
    padding: Padding
    average: bool


class InnerProduct(NamedTuple):
    """An inner product's hyper-parameters."""

    out_features: int
    use_bias: bool
    activation: str | None
    per_position: bool = False
    weights_of: str | None = None


def fault(layer: Layer, key: str, value: Any, allowed: str) -> SpecError:
    """Return the error that says what an attribute is and what is allowed."""
    return SpecError(f"layer '{layer.name}': '{key}' is {shown(value)}; allowed: {allowed}")


def _require(layer: Layer, key: str, allowed: str) -> Any:
    if key not in layer.attributes:
        raise SpecError(
            f"layer '{layer.name}' ({layer.type}): '{key}' is missing; {allowed} needed"
        )
    return layer.attributes[key]


def is_integer(value: Any) -> bool:
    """Return whether a JSON value is a whole number (booleans are not)."""
    return isinstance(value, int) and not isinstance(value, bool)


def integers(layer: Layer, key: str, length: int, least: int = 1) -> list[int]:
    """Return an attribute that must be a list of whole numbers.

    Raises:
      SpecError: If it is missing, of another length, or an entry is out of range.
    """
    allowed = f"a list of {length} whole numbers from {least} to {LARGEST_SIZE}"
    value = _require(layer, key, allowed)
    if not isinstance(value, (list, tuple)) or len(value) != length:
        raise fault(layer, key, value, allowed)
    if not all(is_integer(v) and least <= v <= LARGEST_SIZE for v in value):
        raise fault(layer, key, value, allowed)
    return list(value)


def _spatial(layer: Layer, key: str) -> tuple[int, int]:
    value = integers(layer, key, 4)
    if value[0] != 1 or value[3] != 1:
        raise fault(layer, key, value, "[1, height, width, 1]")
    return value[1], value[2]


def padding(layer: Layer) -> Padding:
    """Return the padding of a convolution or pooling layer."""
    allowed = '"VALID", "SAME" or [ph, pw]'
    value = _require(layer, "padding", allowed)
    if value in ("VALID", "SAME"):
        return value
    if isinstance(value, (list, tuple)) and len(value) == 2:
        if all(is_integer(v) and 0 <= v <= LARGEST_SIZE for v in value):
            return value[0], value[1]
    raise fault(layer, "padding", value, allowed)


def whole_number(layer: Layer, key: str, least: int = 1) -> int:
    """Return an attribute that must be a whole number.

    Raises:
      SpecError: If it is missing or out of range.
    """
    allowed = f"a whole number from {least} to {LARGEST_SIZE}"
    value = _require(layer, key, allowed)
    if not is_integer(value) or not least <= value <= LARGEST_SIZE:
        raise fault(layer, key, value, allowed)
    return value


def flag(layer: Layer, key: str, default: bool) -> bool:
    """Return an attribute that must be true or false.

    Raises:
      SpecError: If it is neither.
    """
    value = layer.attributes.get(key, default)
    if not isinstance(value, bool):
        raise fault(layer, key, value, "true or false")
    return value


def activation(layer: Layer, default: str | None = None) -> str | None:
    """Return the activation's name, or None."""
    value = layer.attributes.get("activation_fn", default)
    if value in (None, "", "linear", "none"):
        return None
    if value not in ACTIVATIONS:
        raise fault(layer, "activation_fn", value, ", ".join(ACTIVATIONS) + " or null")
    return value


def normalizer(layer: Layer) -> str | None:
    """Return the normaliser's name, or None."""
    value = layer.attributes.get("normalizer_fn")
    if value in (None, "batch_norm"):
        return value
    raise fault(layer, "normalizer_fn", value, '"batch_norm" or null')


def convolution(layer: Layer) -> Convolution:
    """Return the typed view of a Convolution.

    Raises:
      SpecError: If an attribute is missing or malformed.
    """
    filters = integers(layer, "filter", 4, least=-1)
    if any(size < 1 for size in (*filters[:2], filters[3])) or filters[2] == 0:
        allowed = f"[kh, kw, Cin, Cout] from 1 to {LARGEST_SIZE}, or Cin -1 for the input's"
        raise fault(layer, "filter", filters, allowed)
    groups = layer.attributes.get("groups", 1)
    if not is_integer(groups) or not 1 <= groups <= LARGEST_SIZE:
        raise fault(layer, "groups", groups, "a whole number from 1")
    if filters[3] % groups:
        raise fault(layer, "groups", groups, f"a divisor of the {filters[3]} output channels")
    return Convolution(
        kernel=(filters[0], filters[1]),
        in_channels=filters[2],
        out_channels=filters[3],
        strides=_spatial(layer, "strides"),
        padding=padding(layer),
        groups=groups,
        use_bias=flag(layer, "use_bias", True),
        activation=activation(layer),
        normalizer=normalizer(layer),
    )


def pool(layer: Layer) -> Pool:
    """Return the typed view of a Pooling or AvgPool layer.

    Raises:
      SpecError: If an attribute is missing or malformed.
    """
    return Pool(
        kernel=_spatial(layer, "ksize"),
        strides=_spatial(layer, "strides"),
        padding=padding(layer),
        average=layer.type == "AvgPool",
    )


def inner_product(layer: Layer) -> InnerProduct:
    """Return the typed view of an InnerProduct.

    Raises:
      SpecError: If an attribute is missing or malformed.
    """
    return InnerProduct(
        out_features=whole_number(layer, "num_outputs"),
        use_bias=flag(layer, "use_bias", True),
        activation=activation(layer),
        per_position=flag(layer, "per_position", False),
        weights_of=weights_of(layer),
    )


def weights_of(layer: Layer) -> str | None:
    """Return the name of the Embedding whose table a layer uses, or None.

    Raises:
      SpecError: If it is not a name.
    """
    value = layer.attributes.get("weights_of")
    if value is None or (isinstance(value, str) and value):
        return value
    raise fault(layer, "weights_of", value, "the name of an Embedding")


def keep_probability(layer: Layer) -> float:
    """Return a Dropout layer's probability of keeping a value."""
    value = layer.attributes.get("dropout_keep_prob", 0.5)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value <= 1:
        raise fault(layer, "dropout_keep_prob", value, "a number above 0, at most 1")
    return float(value)
