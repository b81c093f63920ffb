"""Network -> executable Flax module.

The module is a pytree of parameters and the first argument of pure functions. Batch statistics
are a dictionary threaded through by the caller; dropout takes an explicit key. A final Softmax or
Sigmoid is left out: logits are its input, averaged over positions where there are several.

Shapes: N images or sequences, H height, W width, C channels, S places, D width of a sequence.
Sequences are [N, S, D], whichever the order of images' axes.
"""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

from greennas_jax.build import (
    convolution,
    graph,
    layout,
    operations,
    pooling,
    registered,
    sequence,
)
from greennas_jax.spec import shapes as shape_rules
from greennas_jax.spec.network import Network

_Method = convolution.Method

Statistics = dict[str, "Moments"]


class Moments(NamedTuple):
    """Running mean and variance of one batch normalisation: float32 [C] each."""

    mean: jax.Array
    variance: jax.Array


class Normalization(nnx.Module):
    """Batch normalisation (Ioffe and Szegedy 2015) with the statistics outside."""

    def __init__(self, channels: int):
        """Create unit scales and zero shifts for a number of channels."""
        self.scale = nnx.Param(jnp.ones(channels))
        self.shift = nnx.Param(jnp.zeros(channels))

    def __call__(
        self, values: jax.Array, moments: Moments, order: layout.Layout, *, training: bool
    ) -> tuple[jax.Array, Moments]:
        """Return the normalised values and, in training, the updated statistics."""
        if values.ndim != 4:
            order = "NHWC"
        if training:
            axes = layout.reduced_axes(order) if values.ndim == 4 else tuple(range(values.ndim - 1))
            batch = Moments(values.mean(axes), values.var(axes))
            moments = jax.tree.map(running, moments, batch)
        else:
            batch = moments
        inverse = jax.lax.rsqrt(batch.variance + operations.BATCH_NORM_EPSILON) * self.scale[...]
        mean, inverse, shift = (
            layout.of_channels(part, order) for part in (batch.mean, inverse, self.shift[...])
        )
        return (values - mean) * inverse + shift, moments


def running(old: jax.Array, new: jax.Array) -> jax.Array:
    """Return a running moment moved towards a batch's."""
    momentum = operations.BATCH_NORM_MOMENTUM
    return momentum * old + (1.0 - momentum) * jax.lax.stop_gradient(new)


class Linear(nnx.Module):
    """Kernel, bias and normalisation of a convolution, transposed convolution or inner product."""

    def __init__(
        self,
        kernel: jax.Array | None,
        outputs: int,
        *,
        use_bias: bool,
        normalize: bool,
    ):
        """Take the kernel, None where an embedding's table is one; biases are zero."""
        self.kernel = None if kernel is None else nnx.Param(kernel)
        self.bias = nnx.Param(jnp.zeros(outputs)) if use_bias else None
        self.normalization = Normalization(outputs) if normalize else None

    def add_bias(self, values: jax.Array, order: layout.Layout) -> jax.Array:
        """Add the bias where there is one."""
        if self.bias is None:
            return values
        bias = self.bias[...]
        return values + (layout.of_channels(bias, order) if values.ndim == 4 else bias)


Module = Linear | Normalization | sequence.Parameters
# Types of nodes that have a module; of registered ones, those with parameters do.
OWNERS = (*graph.WEIGHTED, *sequence.WEIGHTED, "BatchNorm")


def owns(node: graph.Node) -> bool:
    """Return whether a node has a module."""
    return node.type in OWNERS or bool(registered.parameters(node))


def _kernel_shape(node: graph.Node) -> tuple[tuple[int, ...], int]:
    """Return the shape of a weighted node's kernel, and its fan-in."""
    view, channels = node.view, node.inputs[0][-1]
    if node.type == "Convolution":
        shape = (*view.kernel, channels // view.groups, view.out_channels)
        return shape, math.prod(shape[:3])
    if node.type == "Deconvolution":
        shape = (*view.kernel, view.out_channels, channels)
        return shape, math.prod(view.kernel) * channels
    fan_in = channels if view.per_position else math.prod(node.inputs[0][1:])
    return (fan_in, view.out_features), fan_in


def _shares(node: graph.Node) -> bool:
    """Return whether a node's kernel is an embedding's table."""
    return node.type == "InnerProduct" and node.view.weights_of is not None


def _random_numbers(node: graph.Node) -> int:
    """Return how many random numbers a node's parameters need."""
    if node.type in sequence.WEIGHTED:
        return sequence.size(node)
    if registered.is_registered(node):
        return registered.size(node)
    if node.type not in graph.WEIGHTED or _shares(node):
        return 0
    return math.prod(_kernel_shape(node)[0])


def _module(node: graph.Node, numbers: jax.Array, gain: float) -> Module:
    """Return the module of a node with parameters from standard normal numbers."""
    if node.type == "BatchNorm":
        return Normalization(node.output[-1])
    if node.type in sequence.WEIGHTED:
        return sequence.Parameters(sequence.drawn(node, numbers))
    if registered.is_registered(node):
        return sequence.Parameters(registered.drawn(registered.parameters(node), numbers))
    kernel = None
    if not _shares(node):
        shape, fan_in = _kernel_shape(node)
        kernel = operations.initial_scale(fan_in, gain) * numbers.reshape(shape)
    return Linear(
        kernel,
        node.output[-1],
        use_bias=node.view.use_bias,
        normalize=node.type == "Convolution" and node.view.normalizer is not None,
    )


def _modules(nodes: tuple[graph.Node, ...], key: jax.Array) -> list[Module]:
    """Return a module for each node with parameters; kernels have variance gain / fan-in."""
    gains = graph.initial_gains(nodes)
    sizes = [_random_numbers(node) for node in nodes]
    # One draw for all: compiling a generator for each kernel costs more than running it.
    numbers = jax.random.normal(key, (sum(sizes),))
    start = 0
    modules = []
    for node, size in zip(nodes, sizes, strict=True):
        if owns(node):
            modules.append(_module(node, numbers[start : start + size], gains[node.name]))
        start += size
    return modules


class FlaxNetwork(nnx.Module):
    """A network's parameters and its static nodes.

    Attributes:
      modules: One module per node with parameters, in the nodes' order.
      nodes: All nodes, parents first.
      logits: Name of the node whose output are the logits.
      method: How convolutions are computed.
    """

    def __init__(self, network: Network, key: jax.Array, *, convolution: convolution.Method):
        """Draw the parameters of a network; see `build`."""
        self.nodes = graph.nodes(network)
        self.logits = graph.logits_layer(network)
        self.method: _Method = convolution
        self.modules = nnx.List(_modules(self.nodes, key))

    def named_modules(self) -> dict[str, Module]:
        """Return the modules by the names of their layers."""
        owners = [node.name for node in self.nodes if owns(node)]
        return dict(zip(owners, self.modules, strict=True))

    def __call__(
        self, images: jax.Array, statistics: Statistics, *, training: bool, key: jax.Array | None
    ) -> tuple[jax.Array, Statistics]:
        """Return logits and statistics; see `apply`."""
        modules = self.named_modules()
        order = convolution.layout_of(self.method)
        statistics = dict(statistics)
        values: dict[str, jax.Array] = {}
        for index, node in enumerate(self.nodes):
            inputs = [values[parent] for parent in node.parents]
            if node.type == "Input":
                out = layout.from_nhwc(images, order) if images.ndim == 4 else images
            elif node.type in sequence.WEIGHTED:
                out = sequence.apply(node, _roles(node, modules), inputs)
            elif registered.is_registered(node):
                own: Any = modules.get(node.name)
                roles = {} if own is None else own.roles()
                out = registered.apply(node, roles, inputs, order)
            elif _shares(node):
                out = _shared_product(node, modules, inputs[0], order)
            elif node.name in modules:
                out = _weighted(
                    node, modules[node.name], inputs[0], statistics, training, self.method
                )
            elif node.type == "Dropout":
                out = inputs[0]
                if training and node.view < 1.0:
                    if key is None:
                        raise ValueError(f"layer '{node.name}': dropout in training needs a key")
                    out = operations.drop(out, node.view, jax.random.fold_in(key, index))
            else:
                out = _weightless(node, inputs, self.method)
            values[node.name] = operations.activate(node.activation, out)
            if node.name == self.logits:
                break
        return layout.average_positions(values[self.logits], order), statistics


def _roles(node: graph.Node, modules: dict[str, Module]) -> dict[str, jax.Array]:
    """Return the parameters of a layer of a transformer, another one's table among them."""
    own: Any = modules[node.name]
    roles = own.roles()
    if node.type == "Embedding" and node.view.weights_of:
        owner: Any = modules[node.view.weights_of]
        roles["table"] = owner.table[...]
    return roles


def _shared_product(
    node: graph.Node, modules: dict[str, Module], values: jax.Array, order: layout.Layout
) -> jax.Array:
    """Multiply with an embedding's table, whose rows are the outputs."""
    owner: Any = modules[node.view.weights_of]
    own: Any = modules[node.name]
    return own.add_bias(values @ owner.table[...].T, order)


def _weighted(
    node: graph.Node,
    module: Module,
    values: jax.Array,
    statistics: Statistics,
    training: bool,
    method: convolution.Method,
) -> jax.Array:
    """Apply a layer with parameters, without its activation; statistics are updated in place."""
    order = convolution.layout_of(method)
    normalization = module
    if isinstance(module, Linear) and module.kernel is not None:
        values = module.add_bias(_product(node, module.kernel[...], values, method), order)
        normalization = module.normalization
    if isinstance(normalization, Normalization):
        values, statistics[node.name] = normalization(
            values, statistics[node.name], order, training=training
        )
    return values


def _product(
    node: graph.Node, kernel: jax.Array, values: jax.Array, method: convolution.Method
) -> jax.Array:
    view = node.view
    if node.type == "InnerProduct" and view.per_position:
        return values @ kernel
    if node.type == "InnerProduct":
        return layout.features(values, convolution.layout_of(method)) @ kernel
    if node.type == "Convolution":
        size = (node.inputs[0][1], node.inputs[0][2])
        pads = shape_rules.pad_amounts(view.padding, size, view.kernel, view.strides)
        return convolution.convolve(
            values, kernel, strides=view.strides, pads=pads, groups=view.groups, method=method
        )
    pads = shape_rules.pad_amounts(view.padding, view.output_size, view.kernel, view.strides)
    return convolution.convolve_transposed(
        values,
        kernel,
        strides=view.strides,
        pads=pads,
        output_size=view.output_size,
        method=method,
    )


def _concatenate(inputs: list[jax.Array], axis: int, order: layout.Layout) -> jax.Array:
    if inputs[0].ndim == 4:
        axis = order.index("NHWC"[axis])
    return jnp.concatenate(inputs, axis=axis)


def _reshape(values: jax.Array, shape: tuple[int, ...], order: layout.Layout) -> jax.Array:
    flat = layout.features(values, order)
    out = flat.reshape(flat.shape[0], *shape[1:])
    return layout.from_nhwc(out, order) if out.ndim == 4 else out


def _weightless(node: graph.Node, inputs: list[jax.Array], method: convolution.Method) -> jax.Array:
    """Apply a layer without parameters, without its activation."""
    first = inputs[0]
    order = convolution.layout_of(method)
    match node.type:
        case "Pooling" | "AvgPool":
            view = node.view
            size = (node.inputs[0][1], node.inputs[0][2])
            pads = shape_rules.pad_amounts(view.padding, size, view.kernel, view.strides)
            pool = pooling.average_pool if view.average else pooling.max_pool
            return pool(first, view.kernel, view.strides, pads, method)
        case "Concatenate":
            return _concatenate(inputs, node.view, order)
        case "Elementwise":
            return sum(inputs[1:], start=first)
        case "Reshape":
            return _reshape(first, node.output, order)
        case "SequencePool":
            return sequence.pool(node.view, first)
        case "Softmax" if first.ndim == 3 and len(node.output) == 3:
            return jax.nn.softmax(first, axis=-1)
        case "Softmax":
            return jax.nn.softmax(layout.average_positions(first, order), axis=-1)
        case "Sigmoid":
            return jax.nn.sigmoid(layout.features(first, order).mean(1, keepdims=True))
        case "UpSampling2D":
            return operations.upsample(first, node.view)
        case "LRN":
            return operations.local_response(first, order if first.ndim == 4 else "NHWC")
        case _:
            return first


def build(
    network: Network, key: jax.Array, *, convolution: convolution.Method = "lax"
) -> FlaxNetwork:
    """Return a network as a Flax module with freshly drawn parameters.

    Args:
      network: A network with one input.
      key: Typed random key; kernels are normal with variance gain / fan in (He et al. 2015), the
        tables of embeddings with a deviation of 0.02.
      convolution: "lax" (XLA's own) or "im2col" (for compiled loops on a CPU).

    Raises:
      SpecError: If a layer cannot be executed.
    """
    return FlaxNetwork(network, key, convolution=convolution)


def initial_statistics(module: FlaxNetwork) -> Statistics:
    """Return zero means and unit variances for every batch normalisation of a module."""
    found = {}
    for name, part in module.named_modules().items():
        normalization = part.normalization if isinstance(part, Linear) else part
        if isinstance(normalization, Normalization):
            channels = normalization.scale[...].shape[0]
            found[name] = Moments(jnp.zeros(channels), jnp.ones(channels))
    return found


def apply(
    module: FlaxNetwork,
    statistics: Statistics,
    images: jax.Array,
    *,
    training: bool = False,
    key: jax.Array | None = None,
) -> tuple[jax.Array, Statistics]:
    """Return logits and batch statistics.

    Args:
      module: From `build`.
      statistics: From `initial_statistics` or the last step.
      images: float32 [N, H, W, C], [N, F] or [N, S, D], or int32 token numbers [N, S]; any batch
        size.
      training: Whether batch moments normalise and dropout drops.
      key: Typed random key, needed for dropout in training.

    Returns:
      Logits float32 [N, classes] and the statistics, updated in training.
    """
    return module(images, statistics, training=training, key=key)


def parameter_count(module: FlaxNetwork) -> int:
    """Return how many numbers the module's parameters hold."""
    return sum(leaf.size for leaf in jax.tree.leaves(module))
