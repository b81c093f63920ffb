"""How one given layer may be realised differently, and how a realisation is recognised again.

Every operation is linear up to the given layer's own activation, so each merges in weight space
into one dense kernel [kh, kw, Cin, Cout]:

- given: the layer itself, its kernel and width changed;
- separable: depthwise then pointwise (Sifre 2014; Howard et al. 2017),
  W[., ., i, o] = D[., ., i] P[i, o];
- grouped: a block-diagonal kernel (Krizhevsky et al. 2012; Xie et al. 2017);
- bottleneck: reduce, spatial, expand (Szegedy et al. 2015; He et al. 2016),
  W[., ., i, o] = sum_mn A[i, m] S[., ., m, n] B[n, o];
- skip: the layer is absent and its readers read its parent;
- pooled: global average pooling in front (Lin et al. 2014), the kernel then being 1 x 1.

An attention or feed-forward layer is as given with fewer heads or hidden units (`spec.
sequence_variants`).

Layers added in front of `NAME` are called `NAME/depthwise`, `NAME/reduce`, `NAME/spatial` and
`NAME/pool`; the last layer keeps `NAME`, so that its readers need no change.
"""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from greennas_jax.spec import layers as layer_views
from greennas_jax.spec import sequence_variants
from greennas_jax.spec import shapes as shape_rules
from greennas_jax.spec.network import Layer, SpecError

OPERATIONS = ("given", "separable", "grouped", "bottleneck", "skip", "pooled")
SUFFIXES = ("depthwise", "reduce", "spatial", "pool")


class Variant(NamedTuple):
    """One way to realise a given layer that has choices.

    Attributes:
      operation: One of OPERATIONS.
      kernel: Spatial kernel (height, width); (1, 1) for `pooled` and all but convolutions.
      width: Output channels, heads of an attention, or hidden units of a feed-forward layer; 0 for
        `skip`.
      groups: Wanted groups of `grouped`, else 1; the effective number divides both channel counts.
      middle: Channels between the layers of `bottleneck`, else 0.
    """

    operation: str
    kernel: tuple[int, int]
    width: int
    groups: int = 1
    middle: int = 0


def is_dense_like(layer: Layer, input_shape: tuple[int, ...]) -> bool:
    """Return whether a convolution's VALID kernel covers its whole input (an inner product)."""
    if layer.type != "Convolution" or len(input_shape) != 4:
        return False
    view = layer_views.convolution(layer)
    return (
        view.padding == "VALID"
        and view.kernel == tuple(input_shape[1:3])
        and view.kernel != (1, 1)
        and view.groups == 1
    )


def is_depthwise(layer: Layer, input_shape: tuple[int, ...]) -> bool:
    """Return whether a convolution filters each channel by itself and keeps their number."""
    if layer.type != "Convolution" or len(input_shape) != 4:
        return False
    view = layer_views.convolution(layer)
    return 1 < view.groups == input_shape[3] == view.out_channels


def _filter(layer: Layer, kernel: tuple[int, int], channels: int, width: int) -> list[int]:
    given = layer.attributes["filter"]
    return [kernel[0], kernel[1], -1 if given[2] == -1 else channels, width]


def _inner(layer: Layer, suffix: str, parents: tuple[str, ...], **attributes: Any) -> Layer:
    kind = "AvgPool" if suffix == "pool" else "Convolution"
    extra = {} if kind == "AvgPool" else {"use_bias": False, "activation_fn": None}
    return Layer(
        name=f"{layer.name}/{suffix}",
        type=kind,
        parents=parents,
        attributes={**attributes, **extra},
        block=layer.block,
    )


_UNIT = {"strides": [1, 1, 1, 1], "padding": "VALID"}


def _given(layer: Layer, channels: int, variant: Variant, groups: int) -> Layer:
    changed: dict[str, Any] = {"filter": _filter(layer, variant.kernel, channels, variant.width)}
    if groups != layer.attributes.get("groups", 1):
        changed["groups"] = groups
    return layer.with_attributes(**changed)


def _separable(layer: Layer, channels: int, variant: Variant) -> tuple[Layer, ...]:
    window = {key: layer.attributes[key] for key in ("strides", "padding")}
    depthwise = _inner(
        layer,
        "depthwise",
        layer.parents,
        filter=[*variant.kernel, channels, channels],
        groups=channels,
        **window,
    )
    last = layer.replace(parents=(depthwise.name,)).with_attributes(
        filter=_filter(layer, (1, 1), channels, variant.width), **_UNIT
    )
    return depthwise, last


def _bottleneck(layer: Layer, channels: int, variant: Variant) -> tuple[Layer, ...]:
    window = {key: layer.attributes[key] for key in ("strides", "padding")}
    middle = variant.middle
    reduce = _inner(layer, "reduce", layer.parents, filter=[1, 1, channels, middle], **_UNIT)
    spatial = _inner(
        layer, "spatial", (reduce.name,), filter=[*variant.kernel, middle, middle], **window
    )
    last = layer.replace(parents=(spatial.name,)).with_attributes(
        filter=_filter(layer, (1, 1), middle, variant.width), **_UNIT
    )
    return reduce, spatial, last


def _pooled(layer: Layer, input_shape: tuple[int, ...], variant: Variant) -> tuple[Layer, ...]:
    height, width, channels = input_shape[1:]
    pool = _inner(layer, "pool", layer.parents, ksize=[1, height, width, 1], **_UNIT)
    last = layer.replace(parents=(pool.name,))
    if layer.type == "InnerProduct":
        return pool, last.with_attributes(num_outputs=variant.width)
    return pool, _given(last, channels, variant._replace(kernel=(1, 1)), 1)


def realise(layer: Layer, input_shape: tuple[int, ...], variant: Variant) -> tuple[Layer, ...]:
    """Return the layers that realise a variant of one given layer.

    Args:
      layer: A Convolution, InnerProduct, MultiHeadAttention or FeedForward of the given network,
        its parents already resolved.
      input_shape: Shape of what it reads (first) in the variant network.
      variant: The choice.

    Returns:
      Layers in order, the last one named like the given layer; empty for `skip`. The given layer's
      own record where nothing changes.

    Raises:
      SpecError: If the operation is unknown or does not apply to the layer's type.
    """
    channels = input_shape[-1]
    if variant.operation == "skip":
        return ()
    if variant.operation == "pooled" and len(input_shape) == 4:
        return _pooled(layer, input_shape, variant)
    if layer.type in sequence_variants.TYPES and variant.operation == "given":
        return (sequence_variants.realise(layer, channels, variant.width),)
    if layer.type == "InnerProduct" and variant.operation == "given":
        return (layer.with_attributes(num_outputs=variant.width),)
    if layer.type == "Convolution":
        given_groups = layer_views.convolution(layer).groups
        if variant.operation == "given":
            groups = given_groups
            if given_groups > 1:
                groups = math.gcd(given_groups, channels, variant.width)
            if is_follower(layer):
                groups = channels
            return (_given(layer, channels, variant, groups),)
        if variant.operation == "grouped":
            groups = math.gcd(variant.groups, channels, variant.width)
            return (_given(layer, channels, variant, groups),)
        if variant.operation == "separable":
            return _separable(layer, channels, variant)
        if variant.operation == "bottleneck":
            return _bottleneck(layer, channels, variant)
    raise SpecError(
        f"layer '{layer.name}' ({layer.type}) cannot become '{variant.operation}'; known: "
        + ", ".join(OPERATIONS)
    )


def is_follower(layer: Layer) -> bool:
    """Return whether a given convolution's text is depthwise: its width follows its input."""
    if layer.type != "Convolution":
        return False
    view = layer_views.convolution(layer)
    return 1 < view.groups == view.out_channels and view.in_channels in (-1, view.groups)


def recognise(layer: Layer, layers: Mapping[str, Layer]) -> Variant:
    """Return the variant by which a given layer is realised in another network.

    Args:
      layer: A Convolution, InnerProduct, MultiHeadAttention or FeedForward of the given network.
      layers: The layers of the variant network by name.

    Raises:
      SpecError: If the layer is there, but not as a variant of the given one.
    """
    found = layers.get(layer.name)
    if found is None:
        return Variant("skip", (1, 1), 0)
    if found.type != layer.type:
        raise SpecError(
            f"layer '{layer.name}' is a {found.type}, not a variant of the given {layer.type}"
        )
    if layer.type in sequence_variants.TYPES:
        return Variant("given", (1, 1), sequence_variants.inner_width(found))
    pooled = f"{layer.name}/pool" in layers
    if layer.type == "InnerProduct":
        width = layer_views.inner_product(found).out_features
        return Variant("pooled" if pooled else "given", (1, 1), width)
    view = layer_views.convolution(found)
    if pooled:
        return Variant("pooled", (1, 1), view.out_channels)
    depthwise = layers.get(f"{layer.name}/depthwise")
    if depthwise is not None:
        kernel = layer_views.convolution(depthwise).kernel
        return Variant("separable", kernel, view.out_channels)
    spatial = layers.get(f"{layer.name}/spatial")
    if spatial is not None:
        inner = layer_views.convolution(spatial)
        return Variant("bottleneck", inner.kernel, view.out_channels, middle=inner.out_channels)
    if view.groups > 1 and layer_views.convolution(layer).groups == 1:
        return Variant("grouped", view.kernel, view.out_channels, groups=view.groups)
    return Variant("given", view.kernel, view.out_channels)


def window_shapes(
    layer: Layer, input_shape: tuple[int, ...], variant: Variant
) -> tuple[tuple[Layer, tuple[int, ...], tuple[int, ...]], ...]:
    """Return (layer, input shape, output shape) of every layer that realises a variant."""
    found = []
    shape = input_shape
    for made in realise(layer, input_shape, variant):
        output = shape_rules.layer_output(made, (shape,))
        found.append((made, shape, output))
        shape = output
    return tuple(found)
