"""Networks as programs that can be called again and again, for a clock to watch.

What is timed must not be what the compiler knows beforehand: weights, inputs and the gradient from
above are arguments, drawn at random, and every result is returned. Arguments are passed as a flat
list, so that no time goes into walking a module's tree.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from greennas_jax.build import flax_network
from greennas_jax.build.convolution import Method
from greennas_jax.spec import shapes as shape_rules
from greennas_jax.spec.network import Layer, Network

# Arrays' dtype and the precision of products; on a CPU the latter has no effect.
FORMATS = {
    "fp32": (jnp.float32, "float32"),
    "tf32": (jnp.float32, "tensorfloat32"),
    "bf16": (jnp.bfloat16, "default"),
    "fp16": (jnp.float16, "default"),
}
RATE = 1e-6
MOMENTUM = 0.9
FLAT = "measured"


class Wanted(NamedTuple):
    """How a network is run.

    Attributes:
      mode: "inference" or "training".
      dtype: Number format, one of FORMATS.
      method: How convolutions are computed.
    """

    mode: str = "inference"
    dtype: str = "fp32"
    method: Method = "lax"


def check_dtype(dtype: str) -> None:
    """Check that a number format can be executed.

    Raises:
      ValueError: If it cannot.
    """
    if dtype not in FORMATS:
        raise ValueError(f"dtype '{dtype}' cannot be executed here; allowed: {', '.join(FORMATS)}")


def _flattened(network: Network, batch: int | None) -> Network:
    """Return a network whose output is its last layer's, every number of it.

    Executed, a network ends in logits: its last Softmax left out, averaged over positions. A layer
    alone must not.
    """
    last = network.layers[-1]
    output = shape_rules.infer(network, batch)[last.name].output
    layer = Layer(
        name=FLAT,
        type="Reshape",
        parents=(last.name,),
        attributes={"output_shape": [output[0], int(np.prod(output[1:]))]},
    )
    return network.replace(layers=(*network.layers, layer))


def _input(
    network: Network, batch: int | None, generator: np.random.Generator, dtype: Any
) -> jax.Array:
    """Return a random input; token numbers where the network begins with an embedding."""
    source = next(layer.name for layer in network.layers if layer.type == "Input")
    reader = next(layer for layer in network.layers if source in layer.parents)
    shape = shape_rules.infer(network, batch)[source].output
    vocabulary = reader.attributes.get("vocabulary") if reader.type == "Embedding" else None
    if vocabulary:
        return jnp.asarray(generator.integers(0, vocabulary, shape), jnp.int32)
    return jnp.asarray(generator.standard_normal(shape, np.float32), dtype)


def _filled(shapes: Any, generator: np.random.Generator) -> Any:
    """Return arrays of given shapes with random numbers above zero, as variances must be."""
    return jax.tree.map(
        lambda leaf: jnp.asarray(0.1 * generator.random(leaf.shape, np.float32) + 0.01), shapes
    )


def _cast(tree: Any, dtype: Any) -> Any:
    return jax.tree.map(
        lambda leaf: leaf.astype(dtype) if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf,
        tree,
    )


def _step(module, statistics, images, above):
    """Return the forward pass, both gradients and the update's inputs of a training step."""

    def forward(module, images):
        return flax_network.apply(module, statistics, images, training=True, key=jax.random.key(0))

    if jnp.issubdtype(images.dtype, jnp.floating):
        out, pull, statistics = jax.vjp(forward, module, images, has_aux=True)
        of_module, of_images = pull(above)
        return out, statistics, of_module, of_images
    out, pull, statistics = jax.vjp(lambda m: forward(m, images), module, has_aux=True)
    return out, statistics, pull(above)[0], None


def _train(module, momentum, statistics, images, above):
    """Return what a step of gradient descent with momentum leaves behind."""
    out, statistics, gradient, of_images = _step(module, statistics, images, above)
    momentum = jax.tree.map(lambda m, g: MOMENTUM * m + g, momentum, gradient)
    module = jax.tree.map(lambda w, m: w - RATE * m, module, momentum)
    return module, momentum, (statistics, out, of_images)


def program(
    network: Network, batch: int | None, wanted: Wanted, *, seed: int = 0, alone: bool = False
) -> Callable[[], Any]:
    """Return a call that runs a network once.

    Args:
      network: The network.
      batch: Batch size; None for the text's own.
      wanted: How it is run.
      seed: Of weights and inputs.
      alone: Whether the network stands for its only layer, whose whole output counts.

    Raises:
      SpecError: If a layer cannot be executed.
      ValueError: If the number format cannot.
    """
    check_dtype(wanted.dtype)
    dtype, precision = FORMATS[wanted.dtype]
    if alone:
        network = _flattened(network, batch)

    def build():
        module = flax_network.build(network, jax.random.key(seed), convolution=wanted.method)
        return module, flax_network.initial_statistics(module)

    generator = np.random.default_rng(seed)
    # Compiling a generator for every shape would take longer than timing the layer.
    module, statistics = _filled(jax.eval_shape(build), generator) if alone else build()
    module, statistics = _cast(module, dtype), _cast(statistics, dtype)
    images = _input(network, batch, generator, dtype)
    with jax.default_matmul_precision(precision):
        if wanted.mode == "inference":
            return _inference(module, statistics, images)
        return _training(module, statistics, images, generator)


def _inference(module, statistics, images) -> Callable[[], Any]:
    leaves, structure = jax.tree.flatten((module, statistics, images))

    def forward(leaves):
        return flax_network.apply(*jax.tree.unflatten(structure, leaves))[0]

    compiled = jax.jit(forward)
    compiled(leaves)
    return lambda: compiled(leaves)


def _training(module, statistics, images, generator) -> Callable[[], Any]:
    out = jax.eval_shape(lambda: flax_network.apply(module, statistics, images)[0])
    above = jnp.asarray(generator.standard_normal(out.shape, np.float32), out.dtype)
    zeros = jax.tree.map(jnp.zeros_like, module)
    state, of_state = jax.tree.flatten((module, zeros))
    rest, of_rest = jax.tree.flatten((statistics, images, above))

    def step(state, rest):
        module, momentum = jax.tree.unflatten(of_state, state)
        module, momentum, made = _train(module, momentum, *jax.tree.unflatten(of_rest, rest))
        return jax.tree.leaves((module, momentum)), jax.tree.leaves(made)

    compiled = jax.jit(step, donate_argnums=0)
    held = [compiled(state, rest)[0]]

    def call():
        held[0], made = compiled(held[0], rest)
        return held[0], made

    return call


def dispatch(clock_call: Callable[[Callable[[], Any]], float]) -> float:
    """Return the time of a call that computes next to nothing [s].

    Args:
      clock_call: Times a call.
    """
    nothing = jax.jit(lambda leaves: leaves[0] + 1.0)
    leaves = [jnp.zeros(()) for _ in range(4)]
    return clock_call(lambda: nothing(leaves))
