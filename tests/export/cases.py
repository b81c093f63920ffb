"""Built networks with weights that are nowhere their initial zeros and ones, and inputs."""

import importlib.util

import jax
import numpy as np

from greennas_jax.build import flax_network, graph


def built(network, seed=0):
    """Return a module and its statistics, every bias, scale and moment perturbed."""
    rng = np.random.default_rng(seed)

    def perturbed(values):
        if values.ndim > 1:
            return values
        return values + rng.uniform(0.0, 0.3, values.shape).astype(np.float32)

    module = jax.jit(lambda key: flax_network.build(network, key))(jax.random.key(seed))
    statistics = flax_network.initial_statistics(module)
    return jax.tree.map(perturbed, module), jax.tree.map(perturbed, statistics)


def inputs(module, count=3):
    """Return images, or token numbers where the network reads them."""
    rng = np.random.default_rng(1)
    entry = next(node for node in module.nodes if node.type == "Input").output
    tokens = graph.vocabulary(module.nodes)
    if tokens:
        return rng.integers(0, tokens, (count, *entry[1:])).astype(np.int32)
    return rng.normal(size=(count, *entry[1:])).astype(np.float32)


@jax.jit
def logits(module, statistics, images):
    """Return what the built network gives."""
    return flax_network.apply(module, statistics, images)[0]


def imported(path):
    """Return a Python file as a module."""
    spec = importlib.util.spec_from_file_location(f"generated_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
