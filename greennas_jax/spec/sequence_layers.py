"""Typed, checked views of the layers of transformers.

Tensors are [N, S, D]: batch, sequence, width; token numbers are [N, S]. Types and their keys
(Vaswani et al., "Attention is all you need", NeurIPS 2017, unless said otherwise):

Embedding: `width`; `vocabulary` (0 or absent: the input is [N, S, D] already and positions alone
  are added), `positions` (learned, one for each place), `segments` (Devlin et al., BERT, 2019),
  `class_token` (one more token in front: Dosovitskiy et al., ViT, ICLR 2021), `weights_of` (another
  Embedding whose table it uses).
LayerNorm: `rms` (scale by the root mean square alone: Zhang, Sennrich, NeurIPS 2019), `use_bias`.
MultiHeadAttention: `heads`; `key_value_heads` (Ainslie et al., grouped-query attention, EMNLP
  2023), `head_width`, `causal`, `use_bias`, `rotary` (Su et al., RoFormer, 2021),
  `relative_buckets` (a bias for each head and bucket of distances: Raffel et al., T5, JMLR 2020).
  Its parents are the input and, for attention to another sequence, that sequence.
FeedForward: `hidden`, `activation_fn`; `gated` (Shazeer, GLU variants, 2020), `use_bias`.
Activation: `activation_fn`.
SequencePool: `method`, "first" or "mean": [N, S, D] becomes [N, D].
"""

from typing import Any, NamedTuple

from greennas_jax.spec import layers as layer_views
from greennas_jax.spec.network import Layer

TYPES = (
    "Embedding",
    "LayerNorm",
    "MultiHeadAttention",
    "FeedForward",
    "Activation",
    "SequencePool",
)
POOLING_METHODS = ("first", "mean")


class Embedding(NamedTuple):
    """An embedding's hyper-parameters; absent tables have zero rows."""

    width: int
    vocabulary: int
    positions: int
    segments: int
    class_token: bool
    weights_of: str | None


class LayerNorm(NamedTuple):
    """A layer normalisation's hyper-parameters."""

    rms: bool
    use_bias: bool


class Attention(NamedTuple):
    """An attention's hyper-parameters; `head_width` 0 stands for width / heads."""

    heads: int
    key_value_heads: int
    head_width: int
    causal: bool
    use_bias: bool
    rotary: bool
    relative_buckets: int


class FeedForward(NamedTuple):
    """A feed-forward layer's hyper-parameters."""

    hidden: int
    activation: str | None
    gated: bool
    use_bias: bool


def _whole(layer: Layer, key: str, least: int, default: int | None = None) -> int:
    """Return a whole number, or its default where the key is absent."""
    if default is not None and layer.attributes.get(key) is None:
        return default
    return layer_views.whole_number(layer, key, least)


def embedding(layer: Layer) -> Embedding:
    """Return the typed view of an Embedding.

    Raises:
      SpecError: If an attribute is missing or malformed.
    """
    return Embedding(
        width=_whole(layer, "width", 1),
        vocabulary=_whole(layer, "vocabulary", 0, 0),
        positions=_whole(layer, "positions", 0, 0),
        segments=_whole(layer, "segments", 0, 0),
        class_token=layer_views.flag(layer, "class_token", False),
        weights_of=layer_views.weights_of(layer),
    )


def layer_norm(layer: Layer) -> LayerNorm:
    """Return the typed view of a LayerNorm; scaled by the root mean square it has no bias.

    Raises:
      SpecError: If an attribute is malformed.
    """
    rms = layer_views.flag(layer, "rms", False)
    return LayerNorm(rms, layer_views.flag(layer, "use_bias", not rms))


def attention(layer: Layer) -> Attention:
    """Return the typed view of a MultiHeadAttention.

    Raises:
      SpecError: If an attribute is missing or malformed.
    """
    heads = _whole(layer, "heads", 1)
    shared = _whole(layer, "key_value_heads", 1, heads)
    if heads % shared:
        raise layer_views.fault(layer, "key_value_heads", shared, f"a divisor of the {heads} heads")
    return Attention(
        heads=heads,
        key_value_heads=shared,
        head_width=_whole(layer, "head_width", 1, 0),
        causal=layer_views.flag(layer, "causal", False),
        use_bias=layer_views.flag(layer, "use_bias", True),
        rotary=layer_views.flag(layer, "rotary", False),
        relative_buckets=_whole(layer, "relative_buckets", 0, 0),
    )


def feed_forward(layer: Layer) -> FeedForward:
    """Return the typed view of a FeedForward.

    Raises:
      SpecError: If an attribute is missing or malformed.
    """
    return FeedForward(
        hidden=_whole(layer, "hidden", 1),
        activation=layer_views.activation(layer, "gelu"),
        gated=layer_views.flag(layer, "gated", False),
        use_bias=layer_views.flag(layer, "use_bias", True),
    )


def pooling_method(layer: Layer) -> str:
    """Return how a SequencePool makes one vector of a sequence.

    Raises:
      SpecError: If it is not known.
    """
    value: Any = layer.attributes.get("method", "mean")
    if value not in POOLING_METHODS:
        raise layer_views.fault(layer, "method", value, ", ".join(POOLING_METHODS))
    return value
